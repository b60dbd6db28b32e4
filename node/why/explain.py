"""Explains one answer of a batch from what the batch, the corpus and the features say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from node.why.examples import Features, examples_why, line_of
from node.why.library import HeldCorpus, Library
from node.why.spans import pieces_of, spans_why
from node.why.split import split_of
from node.why.values import Explanation
from protocol.batch import Body
from protocol.claims import CLAIMS_MAX
from protocol.parameters import INFLUENCES_CAP, Parameters

UNQUERIED = "the adapter has no features in force: nothing is paid by influence"
UNATTRIBUTED = "which examples moved the answer is worked out when it is attributed"
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Known:
    """What is at hand besides the batch; `missing` says of the rest why it is not, in sentences."""

    host_bps: int = 0  # the host's part of the model's share, as the adapter is registered
    adapter_name: str | None = None
    corpus: HeldCorpus | None = None
    features: Features | None = None
    hidden: Mapping[int, frozenset[int]] = field(default_factory=dict)  # taken down by now
    missing: tuple[str, ...] = field(default=())
    attributed: bool = True  # else `body` is this node's own reading of an answer in no batch yet


def explain(
    body: Body, number: int, digest: bytes, version: int, parameters: Parameters, known: Known
) -> Explanation:
    """All about answer `number` of `body`, whose receipt has this digest.

    The body may be a liar's: any decodable one is explained as it says.
    """
    answer, text, query = body.answers[number], body.texts[number], body.queries[number]
    claims = _rows(body.claims, answer.first_claim, answer.claim_count, CLAIMS_MAX)
    listed = _rows(body.influences, answer.first_influence, answer.influence_count, INFLUENCES_CAP)
    library, missing = Library.of(known.corpus, known.hidden), list(known.missing)
    spans = spans_why(claims, answer.first_claim, library, parameters)
    examples = examples_why(listed, query, library, known.features)
    nothing_left = answer.covered >= answer.receipt.output_size
    line = line_of(query, examples, library, known.features, parameters, nothing_left=nothing_left)
    if (len(claims), len(listed)) != (answer.claim_count, answer.influence_count):
        missing.append("the batch names more claims or influences of this answer than it has")
    if line is None:
        missing.append(UNQUERIED if known.attributed else UNATTRIBUTED)
    fee = answer.receipt.amount
    earned = sum(span.amount for span in spans), sum(one.amount for one in examples)
    return Explanation(
        digest=digest,
        receipt=answer.receipt,
        adapter_name=known.adapter_name,
        version=version,
        prompt=text.prompt,
        output=text.output,
        covered=answer.covered,
        spans=spans,
        pieces=pieces_of(text.output, spans),
        examples=examples,
        line=line,
        split=split_of(fee, parameters, known.host_bps, *earned),
        missing=tuple(missing),
    )


def _rows(rows: tuple[R, ...], first: int, count: int, limit: int) -> tuple[R, ...]:
    return rows[first : first + min(count, limit)]
