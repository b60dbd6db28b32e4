"""What `/status` and `/ready` say of the derivation, in every state that an operator may meet."""

from types import SimpleNamespace
from typing import Any

from node.funds import Funds
from node.rollup_report import (
    BEHIND_MAX,
    L1_SECONDS_MAX,
    SEQUENCER_SECONDS_MAX,
    RollupReport,
    Sequencer,
)
from node.status import render
from rollup.proposer import Tally
from tests.rollup_rig import Rig

SIGNER = b"\x05" * 20


def report_of(rig: Rig, *, sequences: bool = True) -> RollupReport:
    silent: Any = None
    proposer: Any = SimpleNamespace(tally=Tally(proposed=2, last=6))
    sequencer = Sequencer(
        rig.sequencing, rig.batcher, proposer, Funds(silent, SIGNER, wei=10**18), 100_000
    )
    return RollupReport(
        driver=rig.driver,
        clock=rig.time,
        problems=[lambda: rig.driver.watch.problem],
        unsafe_signer=lambda: SIGNER,
        peers=lambda: 3,
        sequencer=sequencer if sequences else None,
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
    assert section["batcher"]["l1_balance"] == "1000000000000000000"
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


async def test_a_window_that_runs_out_is_told() -> None:
    rig = await running()
    report = report_of(rig)
    for _ in range(rig.config.seq_window_size // 2 + 1):
        rig.l1.mine()
    await rig.driver._look()

    (said,) = report.trouble()
    assert report.sequencer is not None
    report.sequencer.funds.wei = 0

    assert len(report.trouble()) == 2
    assert f"after {rig.config.seq_window_size} the blocks above it are lost" in said
