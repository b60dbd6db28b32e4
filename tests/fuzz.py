"""Fraud fuzz: honest batches, each changed in one to three places, and what convicts them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from attribution.claims import Answered
from attribution.fraud import find_fraud
from attribution.openings import Case
from protocol.batch import Body, Text
from protocol.errors import Malformed
from protocol.parameters import OPEN
from protocol.refute import Refutation
from tests.courtroom import (
    ADAPTER,
    HOST,
    NOISE,
    PAYER,
    PHRASES,
    REDEEMED,
    World,
)
from tests.mutations import MUTATIONS, retold

MONEY = {(PAYER, HOST, ADAPTER): REDEEMED}
PER_BODY = 12  # changed bodies made of each honest one


@dataclass
class Figures:
    """What a run of the fuzz saw."""

    honest: int = 0  # bodies that were not changed, none of them convicted
    convicted: int = 0
    unchanged: int = 0  # changes that left an honest body: another receipt, another query
    impossible: int = 0  # changes of which no trees can be made
    by_mutation: Counter[str] = field(default_factory=Counter)
    by_refutation: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {n}" for name, n in self.by_refutation.most_common())
        made = ", ".join(f"{name} {n}" for name, n in self.by_mutation.most_common())
        return (
            f"{self.convicted} changed bodies convicted, {self.honest} honest ones and "
            f"{self.unchanged} honest after the change not; {self.impossible} without trees\n"
            f"changes: {made}\nrefutations: {kinds}"
        )


def questions(rng: Random) -> list[tuple[Text, int]]:
    """One to three answers stitched of phrases, parts of them and noise, with their prices."""
    found = []
    for _ in range(rng.randrange(1, 4)):
        parts, asked = [], [b"please: "]
        for _ in range(rng.randrange(1, 7)):
            phrase = rng.choice(PHRASES)
            start = rng.randrange(len(phrase) // 2) if rng.randrange(2) else 0
            piece = phrase[start : rng.randrange(start + 1, len(phrase) + 1)]
            parts += [piece, rng.choice([b" ", *NOISE])]
            if not rng.randrange(4):
                asked.append(piece)
        price = rng.choice([1, rng.randrange(1, 99), OPEN, rng.randrange(1, 5 * OPEN)])
        found.append((Text(b" ".join(asked), b"".join(parts)), price))
    return found


def mutated(
    rng: Random, world: World, honest: Body, told: list[Answered]
) -> tuple[Body, str] | None:
    """The body with one to three changes, and the name of the first of them."""
    if not rng.randrange(6):
        made = retold(rng, world, told)
        return made if made[0] != honest else None
    body, names = honest, list[str]()
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutation = rng.choice(MUTATIONS)
        try:
            changed = mutation(rng, world, body)
        except Malformed:
            continue  # a receipt that keeps no limits: nothing that can be written down
        if changed is not None:
            body = changed
            names.append(mutation.__name__)
    return (body, names[0]) if names and body != honest else None


@dataclass(frozen=True)
class Found:
    """A changed body and what convicts it."""

    case: Case
    refutation: Refutation
    world: World


def run(rng: Random, worlds: list[World], paid: int, count: int, seen: Figures) -> Iterator[Found]:
    """Changed bodies until `count` were convicted; raises where nothing convicts one."""
    stop = seen.convicted + count
    while seen.convicted < stop:
        world = rng.choice(worlds)
        told = world.answered(questions(rng), paid)
        honest = world.body(told)
        final = list(world.final.values())
        assert find_fraud(world.case(2, honest), MONEY, final) is None, honest
        seen.honest += 1
        for _ in range(PER_BODY):
            if seen.convicted == stop:
                return
            try:
                made = mutated(rng, world, honest, told)
                if made is None or not made[0].answers:
                    continue
                case = world.case(2, made[0])
            except Malformed:
                seen.impossible += 1
                continue
            fraud = find_fraud(case, MONEY, final)
            if fraud is None:
                seen.unchanged += 1
                continue
            seen.convicted += 1
            seen.by_mutation[made[1]] += 1
            seen.by_refutation[type(fraud).__name__] += 1
            yield Found(case, fraud, world)
