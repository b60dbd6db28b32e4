"""Ways to game the influences by what a feature is: length, luck, a seed known beforehand."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from attribution.influence.duplicates import duplicates_of
from attribution.influence.rounding import to_int8
from attribution.influence.store import FeatureSet, rows_of
from benchmarks.gaming.market import RULES, Held, earned, prose
from benchmarks.gaming.outcome import Outcome
from protocol.batch import Text
from protocol.features import DIMENSION, well_formed
from protocol.parameters import BPS

EXAMPLES, TOPICS, QUERIES = 60, 6, 24
CLOSE = 0.35  # cosine of an example with its topic, as LoRAs of ours show
OWNER, ATTACKER = 1, 100
JUNK = 2000  # crafted sentences that the attacker chooses from
Floats = NDArray[np.float64]


def unit(vectors: Floats) -> Floats:
    """Rows of length one."""
    size: Floats = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return size


@dataclass(frozen=True)
class Field:
    """Examples and answers around a few topics, as real vectors before they are rounded."""

    seed: int

    @cached_property
    def draw(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    @cached_property
    def topics(self) -> Floats:
        return unit(self.draw.standard_normal((TOPICS, DIMENSION)))

    def about(self, topic: int, count: int) -> Floats:
        """Vectors with cosine CLOSE to a topic."""
        noise = unit(self.draw.standard_normal((count, DIMENSION)))
        return unit(CLOSE * self.topics[topic] + np.sqrt(1 - CLOSE**2) * noise)

    @cached_property
    def examples(self) -> Floats:
        return np.concatenate([self.about(t, EXAMPLES // TOPICS) for t in range(TOPICS)])

    @cached_property
    def queries(self) -> Floats:
        return np.concatenate([self.about(t, QUERIES // TOPICS) for t in range(TOPICS)])

    def income(self, more: Floats, who: set[int], queries: Floats | None = None) -> int:
        """Wei of `who` when the vectors `more` are examples of ATTACKER, after all others."""
        vectors = np.concatenate([self.examples, more])
        people = [1 + n for n in range(EXAMPLES)] + [ATTACKER] * len(more)
        return sum(
            paid(vectors, people, self.queries if queries is None else queries)[w] for w in who
        )


def paid(vectors: Floats, people: Sequence[int], queries: Floats) -> dict[int, int]:
    """Wei by contributor for answers that quote nobody: only influence is left to be paid."""
    phi = np.frombuffer(b"".join(map(to_int8, vectors)), np.int8).reshape(-1, DIMENSION)
    places = [(0, at, who, hashlib.sha256(b"%d" % at).digest()) for at, who in enumerate(people)]
    twins = duplicates_of(phi, RULES.duplicate_bps)
    body = b"".join(row.encode() for row in rows_of(phi, twins, places))
    draw = random.Random(1)
    texts = [Text(b"?", prose(draw, 80)) for _ in queries]
    held = [Held(1, prose(random.Random(2), 200))]
    return earned(held, texts, features=FeatureSet(body), queries=[to_int8(q) for q in queries])


def huge(field: Field) -> Outcome:
    """An example whose gradient is a million times as long as the others'."""
    one = field.about(0, 1)
    with_, without = (field.income(one * size, {ATTACKER}) for size in (1e6, 1.0))
    return Outcome("a gradient 10^6 times as long", with_, without, 1.0)


def out_of_band(field: Field) -> Outcome:
    """A posted feature 1.1 times as long as all are: refuted by its row alone."""
    longer = np.clip(np.frombuffer(to_int8(field.examples[0]), np.int8) * 1.1, -127, 127)
    refused = not well_formed(np.rint(longer).astype(np.int8).tobytes())
    return Outcome(
        "a posted feature out of the norm's band", float(not refused), 1.0, 0.0, "refuted"
    )


def copied(field: Field, likeness: float, most: float) -> Outcome:
    """Another's example, with this cosine to it."""
    noise = unit(field.draw.standard_normal((1, DIMENSION)))
    copy = unit(likeness * field.examples[:1] + np.sqrt(1 - likeness**2) * noise)
    with_ = field.income(copy, {ATTACKER})
    without = field.income(np.zeros((0, DIMENSION)), {OWNER})
    note = "of the victim's income"
    return Outcome(f"a copy with cosine {likeness} to the original", with_, without, most, note)


def many_copied(field: Field, copies: int) -> Outcome:
    """Own variations of one example, each just too different for the rule of duplicates."""
    likeness = RULES.duplicate_bps / BPS - 0.01  # to the original; to each other its square
    noise = unit(field.draw.standard_normal((copies, DIMENSION)))
    rows = unit(likeness * field.examples[:1] + np.sqrt(1 - likeness**2) * noise)
    with_ = field.income(rows, {OWNER, ATTACKER})
    without = field.income(np.zeros((0, DIMENSION)), {OWNER})
    name = f"{copies} variations of one's example under the rule of duplicates"
    return Outcome(name, with_, without, 1.0 + copies, "what remains: see docs/gaming.md")


def lucky(field: Field) -> Outcome:
    """Junk by the hundred, in the hope that the sketch takes some for relevant."""
    junk = unit(field.draw.standard_normal((200, DIMENSION)))
    with_ = field.income(junk, {ATTACKER}) / len(junk)
    without = field.income(field.about(0, 1), {ATTACKER})
    return Outcome("a junk example, of many", with_, without, 0.02, "each, to an honest one's")


def _chosen(field: Field, sentences: Floats, seen: Floats) -> Floats:
    """The document made of those junk sentences whose features say yes to the answers expected."""
    wanted = sentences @ seen.sum(0) > 0
    return unit(sentences[wanted].sum(0, keepdims=True))


def seed_known(field: Field) -> Outcome:
    """Junk sentences chosen by features under the very seed: what a seed drawn early would cost."""
    sentences = unit(field.draw.standard_normal((JUNK, DIMENSION)))
    with_ = field.income(_chosen(field, sentences, field.queries), {ATTACKER})
    without = field.income(field.about(0, 1), {ATTACKER})
    note = "cannot be had: the seed is a block hash after the data is committed"
    return Outcome("junk chosen under the seed itself", with_, without, 10.0, note)


def seed_unknown(field: Field) -> Outcome:
    """The same junk, chosen under another seed than the one that is drawn.

    Another seed is another projection: features of the same gradients that have nothing to do with
    those that the choice was made by.
    """
    before = unit(field.draw.standard_normal((JUNK, DIMENSION)))
    after = unit(field.draw.standard_normal((JUNK, DIMENSION)))
    wanted = before @ field.queries.sum(0) > 0
    document = unit(after[wanted].sum(0, keepdims=True))
    with_ = field.income(document, {ATTACKER})
    without = field.income(field.about(0, 1), {ATTACKER})
    return Outcome("junk chosen under another seed", with_, without, 0.02)


def seed_ground(field: Field, tries: int = 256) -> Outcome:
    """One junk example and the best of many seeds: what a block's author could pick."""
    best, query = 0.0, field.queries[:1]
    for _ in range(tries):
        one = unit(field.draw.standard_normal((1, DIMENSION)))
        best = max(best, float(one[0] @ query[0]))
    rest = unit(field.draw.standard_normal((1, DIMENSION)))
    rest = unit(rest - (rest @ query[0])[:, None] * query)
    row = best * query + np.sqrt(1 - best**2) * rest
    with_ = field.income(row, {ATTACKER}, query)
    without = field.income(field.about(0, 1), {ATTACKER}, query)
    note = f"one answer, the best of {tries} seeds"
    return Outcome("junk under the best of many seeds", with_, without, 0.5, note)


Attack = Callable[[Field], Outcome]

ATTACKS: tuple[Attack, ...] = (
    huge,
    out_of_band,
    partial(copied, likeness=0.99, most=0.0),
    partial(copied, likeness=0.92, most=0.0),
    partial(copied, likeness=0.88, most=1.1),
    partial(many_copied, copies=4),
    lucky,
    seed_unknown,
    seed_known,
    seed_ground,
)
