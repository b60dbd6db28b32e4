"""A small market on the real code: who holds what, what is answered, what everybody earns."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from attribution.claims import Answered, build_body
from attribution.corpus import Corpus, corpus_of
from attribution.influence.scores import Scored, influences_of_many
from attribution.influence.store import FeatureSet
from attribution.spans import spans_of
from protocol.batch import Text
from protocol.datanet import Document, assemble
from protocol.merkle import TEXT, byte_root
from protocol.parameters import OPEN, Parameters
from protocol.receipt import Receipt

FEE = OPEN  # of every answer
RULES = Parameters()
WORD = bytes(32)

SYLLABLES = re.findall(
    r"\w+", "an be cor da el fi gra hu im jo ka lo mer ne or pla qui ros ta un ver wil yo zen"
)


@dataclass(frozen=True, slots=True)
class Held:
    """A document of the corpus, by whom it was given."""

    contributor: int
    text: bytes


def prose(draw: random.Random, size: int) -> bytes:
    """So many bytes of sentences that nobody else will write."""
    words: list[str] = []
    total = 0
    while total <= size:
        word = "".join(draw.choices(SYLLABLES, k=draw.randint(1, 3)))
        words.append(word + draw.choice(("", "", "", "", ",", ".")))
        total += len(words[-1]) + 1
    return " ".join(words)[:size].rstrip().encode()


def library(draw: random.Random, count: int = 8, size: int = 4096) -> list[Held]:
    """One document of each of `count` contributors, numbered from 1."""
    return [Held(who, prose(draw, size)) for who in range(1, count + 1)]


def stitched(draw: random.Random, sources: Sequence[bytes], count: int) -> list[Text]:
    """Answers as a model gives that knows its corpus: quotations of 20 to 400 bytes, some of them
    with words changed, between words of its own."""
    found = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(2, 5)):
            source = draw.choice(sources)
            length = min(draw.randint(20, 400), len(source))
            at = draw.randrange(len(source) - length + 1)
            parts += [source[at : at + length], prose(draw, draw.randint(5, 60))]
        found.append(Text(b"tell me of " + prose(draw, 20), b" ".join(parts)))
    return found


def corpus(held: Sequence[Held], shards: int = 1) -> Corpus:
    """The documents in their order, in so many shards."""
    bodies = []
    for number in range(shards):
        rows = held[number * len(held) // shards : (number + 1) * len(held) // shards]
        text, starts = assemble([row.text for row in rows])
        table = [
            Document(
                start, len(row.text), row.contributor, 0, byte_root(TEXT, row.text), WORD, bytes(65)
            )
            for row, start in zip(rows, starts, strict=True)
        ]
        bodies.append((text, table))
    return corpus_of(bodies)


def receipt(text: Text, number: int, fee: int = FEE) -> Receipt:
    return Receipt(
        request=WORD,
        base=WORD,
        adapter=WORD,
        sampling=WORD,
        prompt_root=byte_root(TEXT, text.prompt),
        prompt_size=len(text.prompt),
        output_root=byte_root(TEXT, text.output),
        output_size=len(text.output),
        leaves_root=WORD,
        prompt_tokens=1,
        output_tokens=1,
        amount=fee,
        cumulative=fee * (number + 1),
        seed=0,
        fingerprint=0,
        nonce=number,
        deadline=1 << 40,
        host=bytes(20),
        payer=bytes(20),
    )


def earned(
    held: Sequence[Held],
    answers: Sequence[Text],
    parameters: Parameters = RULES,
    *,
    features: FeatureSet | None = None,
    queries: Sequence[bytes] = (),
) -> Counter[int]:
    """Wei of each contributor (0: the treasury) for these answers, by the body of a batch.

    With `features` (one row per document) and `queries` (one per answer) influences are paid, too.
    """
    world = corpus(held)
    psi = list(queries) or [b""] * len(answers)
    lists: list[list[Scored]] = [[] for _ in answers]
    if features is not None:
        lists = influences_of_many(features, psi, parameters)
    answered = [
        Answered(
            receipt(text, number),
            bytes(65),
            text,
            tuple(spans_of(world, text.prompt, text.output, parameters)),
            query,
            tuple(listed),
        )
        for number, (text, query, listed) in enumerate(zip(answers, psi, lists, strict=True))
    ]
    digests = [hashlib.sha256(b"receipt %d" % at).digest() for at in range(len(answers))]
    body = build_body(answered, digests, {}, parameters)
    total: Counter[int] = Counter()
    for _, entry in body.entries:
        total[entry.contributor] += entry.value
    share = sum(parameters.contributors_share(FEE) for _ in answers)
    assert sum(total.values()) <= share, "more was paid than is there"
    return total
