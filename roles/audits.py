"""Audits of what is not exact: features of answers and of examples, recomputed by samples.

A validator with the base model recomputes some, drawn where nobody can foresee them; once somebody
has objected on chain, all.  The verdict is three-way (PROTOCOL.md 4), and only "invalid" objects.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from attribution.corpus import Corpus
from attribution.influence.audit import Verdict, compare
from attribution.influence.store import FeatureSet
from protocol.batch import Body
from protocol.errors import Malformed, Refused
from protocol.ledger import BatchRecord, FeatureSetRecord
from protocol.messages import Finding
from roles.feature_sets import lens_of
from roles.ports import Featurizer, Lens, Ports

SAMPLE = 16  # features of one batch or set that each validator recomputes
CHUNK = 32  # at a time


Source = bytes | tuple[bytes, bytes]  # the text of an example; prompt and output of an answer


@dataclass(frozen=True, slots=True)
class Audit:
    finding: Finding
    reason: str = ""
    unusable: bool = False  # the basis under which it should be computed is none


VALID = Audit(Finding.VALID)


async def audit_queries(ports: Ports, batch: BatchRecord, body: Body, *, every: bool) -> Audit:
    """Whether the features that a batch gives are those of its answers.

    `Temporary` while weights or basis cannot be had.
    """
    ledger, as_of = ports.chain.ledger, batch.header.as_of
    numbers = [number for number, query in enumerate(body.queries) if query]
    drawn = numbers if every else _sample(ports, batch.header.data_root, numbers)
    rest = VALID
    for name in {body.answers[number].receipt.adapter for number in drawn}:
        rows = [number for number in drawn if body.answers[number].receipt.adapter == name]
        record = ledger.features_in_force(name, as_of)
        if record is None:
            continue  # a feature too many, which is proven
        texts = {number: body.texts[number] for number in rows}
        given = {number: body.queries[number] for number in rows}
        pairs = {number: (text.prompt, text.output) for number, text in texts.items()}
        found = await _recomputed(ports, record, given, pairs)
        if found.finding is Finding.INVALID:
            return Audit(found.finding, f"answer {found.reason}")
        rest = found if found is not VALID else rest
    return rest


async def audit_rows(
    ports: Ports, record: FeatureSetRecord, features: FeatureSet, corpus: Corpus, *, every: bool
) -> Audit:
    """Whether the features that a set gives are those of its adapter's documents."""
    numbers = range(features.rows)
    drawn = list(numbers) if every else _sample(ports, record.features.root, numbers)
    texts = dict[int, bytes]()
    given = dict[int, bytes]()
    for number in drawn:
        row = features.decoded(number)
        shard = corpus.shards[row.shard]
        place = shard.documents[row.document]
        texts[number] = bytes(shard.text[place.start : place.end])
        given[number] = row.phi
    found = await _recomputed(ports, record, given, texts)
    if found.unusable:  # rows and basis are the posted ones, so nobody else is to blame
        return Audit(Finding.INVALID, found.reason)
    return found


async def _recomputed(
    ports: Ports,
    record: FeatureSetRecord,
    given: Mapping[int, bytes],
    sources: Mapping[int, Source],
) -> Audit:
    adapter = ports.chain.ledger.adapters[record.adapter]
    if ports.featurizer is None or not ports.featurizer.has(adapter.base):
        return Audit(Finding.CANNOT_TELL, f"the base model of {adapter.name} is not here")
    featurizer, lens = await lens_of(ports, record)
    rest, numbers = VALID, list(given)
    for at in range(0, len(numbers), CHUNK):
        chunk = numbers[at : at + CHUNK]
        some = [sources[number] for number in chunk]
        try:
            made = await _made(featurizer, lens, some)
        except Malformed as error:
            return Audit(Finding.CANNOT_TELL, f"the basis cannot be used: {error}", unusable=True)
        except Refused as error:
            return Audit(Finding.CANNOT_TELL, str(error))
        for number, feature in zip(chunk, made, strict=True):
            match compare(given[number], feature).verdict:
                case Verdict.INVALID:
                    return Audit(Finding.INVALID, f"{number} has not the feature of its text")
                case Verdict.CANNOT_TELL:
                    rest = Audit(Finding.CANNOT_TELL, f"feature {number} is near the tolerance")
    return rest


async def _made(featurizer: Featurizer, lens: Lens, sources: Sequence[Source]) -> list[bytes]:
    pairs = [source for source in sources if isinstance(source, tuple)]
    if pairs:
        return await featurizer.queries(lens, pairs)
    return await featurizer.examples(lens, [s for s in sources if isinstance(s, bytes)])


def _sample(ports: Ports, root: bytes, numbers: Sequence[int]) -> list[int]:
    """The same after a restart, and foreseen by nobody: it hangs on what only the key can make."""
    digest = hashlib.sha256(b"audit/" + root + ports.signer.address).digest()
    draw = Random(hashlib.sha256(ports.signer.sign(digest)).digest())
    return sorted(draw.sample(numbers, min(SAMPLE, len(numbers))))
