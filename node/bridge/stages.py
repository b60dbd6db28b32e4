"""How far a withdrawal is, and when its next step is possible: plain decisions on what was read."""

from dataclasses import dataclass
from enum import Enum

from contracts.bedrock.portal import Output, Proven, Rhythm


class Stage(Enum):
    """In their order; the value is what people read."""

    SENDING = "on its way into an L2 block"
    OUTPUT = "waits for an output on L1 that covers it"
    PROVABLE = "can be proven on L1"
    PERIOD = "proven; waits for the end of the period"
    FINALIZABLE = "can be finalized on L1"
    FINALIZED = "paid on L1"


@dataclass(frozen=True, slots=True)
class Facts:
    """What both chains say about a withdrawal in L2 block `block`; `now` is the L1's time.

    `proven_output` is the oracle's output now at the index that it was proven against.
    """

    block: int
    now: int
    rhythm: Rhythm
    latest: Output | None
    proven: Proven | None
    proven_output: Output | None
    finalized: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """`possible_at`: Unix seconds from which on the next step can be, None when there is none."""

    stage: Stage
    possible_at: int | None


def judge(facts: Facts) -> Judgement:
    """As the portal judges: a proof counts only while its output still stands in the oracle."""
    if facts.finalized:
        return Judgement(Stage.FINALIZED, None)
    proven, output = facts.proven, facts.proven_output
    if proven is not None and output is not None and output.root == proven.root:
        possible = max(proven.time, output.time) + facts.rhythm.period + 1
        stage = Stage.FINALIZABLE if facts.now >= possible else Stage.PERIOD
        return Judgement(stage, possible)
    if facts.latest is not None and facts.latest.block >= facts.block:
        return Judgement(Stage.PROVABLE, facts.latest.time)
    return Judgement(Stage.OUTPUT, facts.rhythm.time_of(facts.rhythm.covering(facts.block)))
