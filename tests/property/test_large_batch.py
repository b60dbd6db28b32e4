"""A batch of 10,000 answers is built, written, read and judged in time and memory."""

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from attribution.claims import build_body
from attribution.fraud import find_fraud
from protocol.batch import Body
from protocol.refute import Missing, convicts
from tests.courtroom import ADAPTER, HOST, PAYER, World
from tests.large_batch import ESCROW, RULES, Large

ANSWERS = 10_000
MONEY = {(PAYER, HOST, ADAPTER): 1 << 100}


class Stages:
    """CPU seconds of each stage, and the most memory so far."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        found = work()
        self.seconds[name] = round(time.process_time() - start, 1)
        return found

    def __str__(self) -> str:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        return f"CPU seconds: {self.seconds}, at most {peak:.2f} GB"


def judged(count: int) -> tuple[Stages, Body]:
    stages, large = Stages(), Large()
    told = stages.run("attribute", lambda: large.answered(count))
    digests = [item.receipt.digest(ESCROW) for item in told]
    body = stages.run("build", lambda: build_body(told, digests, {}, RULES))
    wire = stages.run("encode", body.encode)
    read = stages.run("decode", lambda: Body.decode(wire))
    assert read == body
    case = stages.run("trees", lambda: large.case(read))
    assert stages.run("judge", lambda: find_fraud(case, MONEY, [])) is None

    # The last thing that is looked at: the least example of the last answer.
    last = max(range(count), key=lambda n: digests[n])
    told[last] = replace(told[last], influences=told[last].influences[:-1])
    lie = large.case(build_body(told, digests, {}, RULES))
    fraud = stages.run("judge a lie", lambda: find_fraud(lie, MONEY, []))
    assert isinstance(fraud, Missing)
    world = World(ESCROW, large.world.bodies, RULES, rows=large.rows)
    assert convicts(fraud, lie.trees.header(wire, 0), world)
    return stages, body


def test_a_hundred_answers_are_judged() -> None:
    _, body = judged(100)

    assert (len(body.answers), len(body.claims)) == (100, 500)
    assert len(body.influences) == 100 * RULES.influences_max


@pytest.mark.slow
def test_ten_thousand_answers_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    stages, body = judged(ANSWERS)

    counts = (len(body.answers), len(body.claims), len(body.influences), len(body.entries))
    assert counts[:2] == (ANSWERS, 5 * ANSWERS)
    with capsys.disabled():
        print(f"\n{counts} answers, claims, influences, entries\n{stages}")
