"""What `/status` and `/ready` say of the derivation, in every state that an operator may meet."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from node.rollup_report import (
    BEHIND_MAX,
    FUNDS_WARN,
    L1_SECONDS_MAX,
    SEQUENCER_SECONDS_MAX,
    Funds,
    RollupReport,
    Sequencer,
)
from node.status import render
from protocol.errors import Temporary
from tests.rollup_rig import Rig

SIGNER = b"\x05" * 20


@dataclass
class Layer1:
    answers: dict[str, Any] = field(default_factory=dict)

    async def call(self, method: str, *params: Any) -> Any:
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def report_of(rig: Rig, *, sequences: bool = True) -> RollupReport:
    proposer: Any = Layer1()
    proposer.tally = type("Tally", (), {"proposed": 2, "last": 6})
    funds = Funds(Layer1(), SIGNER, 100_000)
    return RollupReport(
        driver=rig.driver,
        clock=rig.time,
        problems=[lambda: rig.driver.watch.problem],
        unsafe_signer=lambda: SIGNER,
        peers=lambda: 3,
        sequencer=Sequencer(rig.sequencing, rig.batcher, proposer, funds) if sequences else None,
    )


async def running() -> Rig:
    """A sequencer with three blocks."""
    rig = Rig()
    await rig.drive()
    for _ in range(3):
        await rig.sequencing.step()
        await rig.drive()
    return rig


def test_before_l1_has_answered() -> None:
    rig = Rig()
    report = report_of(rig)

    assert report.not_ready() == ["L1 has not answered yet"]
    rig.driver.watch.problem = "cannot reach http://l1"
    assert report.not_ready() == ["L1 has not answered yet: cannot reach http://l1"]
    assert report.section()["unsafe"] is None
    assert report.section()["problems"] == ["cannot reach http://l1"]
    assert "rollup: unsafe not known yet" in render({"rollup": dict(report.section())})


async def test_a_sequencer_that_builds_is_ready() -> None:
    rig = await running()
    report = report_of(rig)
    section = report.section()
    heads = rig.driver.chain.heads

    assert report.not_ready() == []
    assert section["unsafe"]["number"] == heads.unsafe.number >= 3
    assert section["l1"]["behind"] == 0
    assert section["sequencer"] == {"built": 3, "restored": 0}
    assert section["gossip_peers"] == 3
    assert section["unsafe_block_signer"] == "0x" + SIGNER.hex()
    said = render({"rollup": dict(section)})
    assert f"rollup: unsafe {heads.unsafe.number} (" in said
    assert "proposer: proposed 2, last 6" in said


async def test_a_sequencer_that_builds_nothing_is_not_ready() -> None:
    rig = await running()
    rig.time.seconds = rig.driver.chain.heads.unsafe.time + SEQUENCER_SECONDS_MAX + 1
    report = report_of(rig)
    idle = [r for r in report.not_ready() if "newest block is 61 s old" in r]
    assert idle == [
        "the sequencer's newest block is 61 s old; it is catching up, or waits for L1 to be read"
    ]

    rig.sequencing.tally.problem = "L1 stands still"
    assert "the sequencer's newest block is 61 s old: L1 stands still" in report.not_ready()
    assert report_of(rig, sequences=False).not_ready() == []


async def test_l1_that_stands_still() -> None:
    rig = await running()
    assert rig.driver.l1_view.latest is not None
    rig.time.seconds = rig.driver.l1_view.latest.time + L1_SECONDS_MAX + 1

    (reason,) = report_of(rig, sequences=False).not_ready()

    assert reason == "L1's newest block is 301 s old: what is behind rollup.l1_rpc_url lags"


async def test_a_node_far_behind_is_not_ready() -> None:
    rig = await running()
    at = rig.driver.l1_view.current
    assert at is not None
    for _ in range(BEHIND_MAX + 1):
        rig.l1.mine()
    await rig.driver._look()
    report = report_of(rig, sequences=False)
    newest = rig.driver.l1_view.latest
    assert newest is not None
    rig.time.seconds = newest.time

    assert report.not_ready() == [
        f"derivation is {newest.number - at.number} of L1's blocks behind"
    ]
    rig.driver.watch.problem = "the DA server is silent"
    assert report.not_ready()[0].endswith("behind: the DA server is silent")
    rig.driver.watch.problem = None
    await rig.drive()
    rig.time.seconds = newest.time
    assert report.not_ready() == []


@pytest.mark.parametrize("wei", [0, FUNDS_WARN * 4_021_000 * 10**9 - 1])
async def test_too_little_ether_is_told(wei: int) -> None:
    answers = {"eth_getBalance": hex(wei), "eth_gasPrice": hex(10**9)}
    funds = Funds(Layer1(answers), SIGNER, 100_000)
    assert funds.problem() is None, "nobody knows yet"

    await funds.refresh()
    said = funds.problem()
    assert said is not None
    assert f"has {wei / 10**18:.6f} ether, {wei // (4_021_000 * 10**9)} full batch" in said

    answers["eth_getBalance"] = hex(FUNDS_WARN * 4_021_000 * 10**9)
    await funds.refresh()
    assert funds.problem() is None


@pytest.mark.parametrize("answer", [None, "0x", "7", 7, "0xzz", Temporary("down")])
async def test_a_balance_that_l1_does_not_tell(answer: Any) -> None:
    funds = Funds(Layer1({"eth_getBalance": answer, "eth_gasPrice": "0x1"}), SIGNER, 1, wei=5)

    await funds.refresh()

    assert funds.wei is None


async def test_a_window_that_runs_out_is_told() -> None:
    rig = await running()
    report = report_of(rig)
    for _ in range(rig.config.seq_window_size // 2 + 1):
        rig.l1.mine()
    await rig.driver._look()

    (said,) = report.trouble()

    assert f"after {rig.config.seq_window_size} the blocks above it are lost" in said
