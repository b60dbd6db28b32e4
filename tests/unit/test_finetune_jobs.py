"""A fine-tuning job is kept, worked off after any crash, and registered once."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from node.compute import Compute
from protocol import events as e
from protocol.datanet import datanet_root
from protocol.errors import Refused, Temporary
from roles.finetune import PREFIX, RETRY_SECONDS, Job
from tests.sim.chain import SimOutcome
from tests.unit.finetune_world import BASE, BOOKS, FEE, US, Crash, Shop, job


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


async def test_a_job_becomes_an_adapter_of_the_shards_it_names(shop: Shop) -> None:
    shop.jobs.submit(shop.ports, job(shards=2))
    await shop.work()

    (call,) = shop.chain.intents.values()
    texts, source = shop.factory.runs[0]
    assert texts == [text[row.start : row.end].decode() for text, rows in BOOKS for row in rows]
    assert source == {"datanet": 1, "shards": 2, "root": datanet_root(shop.shards)}
    weights = shop.held[call.weights_root]
    assert (call.weights_size, call.base, call.value) == (len(weights), BASE, FEE)
    assert (call.datanet, call.shard_count, call.host_bps, call.name) == (1, 2, 5_000, "cat")
    done = shop.seen()["cat"]
    assert (done.status, done.adapter, done.error) == ("succeeded", call.adapter.hex(), "")
    assert shop.jobs.progress["cat"] == (3, 3, 0.0), "what is no number is not shown as one"


async def test_jobs_are_worked_off_one_after_the_other_also_those_that_come_late(
    shop: Shop,
) -> None:
    shop.jobs.submit(shop.ports, job("b"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.jobs.run, shop.ports)
        await trio.testing.wait_all_tasks_blocked()
        shop.jobs.submit(shop.ports, job("a", shards=2))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert {name: done.status for name, done in shop.seen().items()} == {
        "a": "succeeded", "b": "succeeded",
    }  # fmt: skip
    assert len(shop.factory.runs) == 2


def test_what_cannot_be_made_is_refused_with_the_reason(shop: Shop) -> None:
    with pytest.raises(Refused, match="2 final shards, not 3"):
        shop.jobs.submit(shop.ports, job(shards=3))
    with pytest.raises(Refused, match="0 final shards"):
        shop.jobs.submit(shop.ports, replace(job(), datanet=9))
    with pytest.raises(Refused, match="not 0"):
        shop.jobs.submit(shop.ports, job(shards=0))
    row = e.AdapterRegistered(
        *(b"\x01" * 32, BASE, bytes(20), 1, 1, bytes(32), 1, bytes(32), bytes(32), 0, "cat")
    )
    shop.chain.ledger.apply(row)
    with pytest.raises(Refused, match="registered already"):
        shop.jobs.submit(shop.ports, job())
    assert shop.seen() == {}


async def test_the_same_name_is_the_same_job(shop: Shop) -> None:
    """Also when it is asked for in another way, after a restart, or when it is done."""
    first = shop.jobs.submit(shop.ports, job())
    shop.start()
    assert shop.jobs.submit(shop.ports, job(shards=2)) == first
    await shop.work()
    assert shop.jobs.submit(shop.ports, job()).status == "succeeded"
    shop.start()
    await shop.work()
    assert len(shop.factory.runs) == len(shop.chain.intents) == 1


@pytest.mark.parametrize("differs", [False, True])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", [1, 2, 3, 4, "intent"])
async def test_a_crash_anywhere_registers_one_adapter(
    shop: Shop, dies_at: Any, after: bool, differs: bool
) -> None:
    """What was asked of the chain is not trained again, so that nothing is paid for twice."""
    shop.factory.differs = differs
    shop.jobs.submit(shop.ports, job())
    if dies_at == "intent":
        shop.chain.dies = True
    else:
        shop.disk.dies_at, shop.disk.after = dies_at, after
    with pytest.raises(ExceptionGroup) as caught:
        await shop.work()
    assert caught.group_contains(Crash)

    shop.start()
    await shop.work()
    (call,) = shop.chain.intents.values()
    done = shop.seen()["cat"]
    assert (done.status, done.adapter) == ("succeeded", call.adapter.hex())
    assert call.adapter in shop.chain.ledger.adapters
    assert call.weights_root in shop.held


async def test_a_crash_before_a_job_is_kept_is_told_to_who_asks(shop: Shop) -> None:
    shop.disk.dies_at = 0
    with pytest.raises(Crash):
        shop.jobs.submit(shop.ports, job())
    shop.start()
    assert shop.seen() == {}
    shop.jobs.submit(shop.ports, job())
    assert Job.decode(shop.disk.rows[PREFIX + b"cat"]) == job()


async def test_a_refused_training_is_told_and_stops_no_other(shop: Shop) -> None:
    shop.factory.fails = Refused("3 tokens are too few to train on")
    shop.jobs.submit(shop.ports, job("a"))
    await shop.work()
    failed = shop.seen()["a"]
    assert (failed.status, failed.error) == ("failed", "3 tokens are too few to train on")

    shop.factory.fails = None
    shop.jobs.submit(shop.ports, job("b"))
    shop.start()
    await shop.work()
    assert (shop.seen()["a"].status, shop.seen()["b"].status) == ("failed", "succeeded")
    assert len(shop.factory.runs) == 2, "what failed is not tried again"


async def test_a_refused_registration_is_told(shop: Shop) -> None:
    shop.chain.refuses = "NameTaken"
    shop.jobs.submit(shop.ports, job())
    await shop.work()
    assert shop.seen()["cat"].status == "failed"
    assert "NameTaken" in shop.seen()["cat"].error


async def test_what_is_temporary_is_told_and_tried_again_and_does_not_stop_the_host(
    shop: Shop, autojump_clock: trio.testing.MockClock
) -> None:
    shop.missing = True
    shop.jobs.submit(shop.ports, job())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.jobs.run, shop.ports)
        await trio.sleep(1)
        assert (shop.seen()["cat"].status, shop.seen()["cat"].error) == (
            "queued", "no peer has the body",
        )  # fmt: skip
        shop.missing, shop.factory.fails = False, OSError(28, "No space left on device")
        await trio.sleep(RETRY_SECONDS)
        assert "No space left" in shop.seen()["cat"].error
        shop.factory.fails = None
        await trio.sleep(RETRY_SECONDS)
        nursery.cancel_scope.cancel()
    assert (shop.seen()["cat"].status, shop.seen()["cat"].error) == ("succeeded", "")


async def test_what_failed_may_be_asked_for_again(shop: Shop) -> None:
    shop.factory.fails = Refused("3 tokens are too few to train on")
    shop.jobs.submit(shop.ports, job())
    await shop.work()
    shop.factory.fails = None
    assert shop.jobs.submit(shop.ports, job(shards=2)) == job(shards=2)
    await shop.work()
    assert shop.seen()["cat"].status == "succeeded"


async def test_a_refused_registration_succeeds_when_it_is_asked_for_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.chain.refuses = "TooPoor"
    shop.jobs.submit(shop.ports, job())
    await shop.work()
    (first,) = shop.chain.intents
    shop.jobs.submit(shop.ports, job())
    monkeypatch.setattr(shop.chain, "outcome", lambda key: (
        SimOutcome(False, reason="TooPoor") if key == first else None
    ))  # fmt: skip
    shop.chain.refuses = ""
    shop.chain.ledger.time += 1_000
    await shop.work()
    assert shop.seen()["cat"].status == "succeeded"
    assert len(shop.chain.intents) == 2


@pytest.mark.parametrize(("owner", "name"), [(b"\x66" * 20, "cat"), (US.address, "lion")])
async def test_weights_that_are_registered_otherwise_are_no_success(
    shop: Shop, owner: bytes, name: str
) -> None:
    shop.chain.owner = owner
    intend = shop.chain.intend

    async def otherwise(key: str, call: Any) -> None:
        await intend(key, replace(call, name=name))

    shop.chain.intend = otherwise  # type: ignore[method-assign]
    shop.jobs.submit(shop.ports, job())
    await shop.work()
    assert shop.seen()["cat"].status == "failed"
    assert ("0x6666" in shop.seen()["cat"].error) == (owner != US.address)


async def test_what_is_trained_and_kept_is_not_trained_again(shop: Shop) -> None:
    shop.disk.dies_at, shop.disk.after = 2, True  # before the chain is asked
    shop.jobs.submit(shop.ports, job())
    with pytest.raises(ExceptionGroup):
        await shop.work()
    assert not shop.chain.intents
    shop.start()
    await shop.work()
    assert len(shop.factory.runs) == len(shop.chain.intents) == 1


async def test_a_name_leads_into_no_folder_but_the_jobs_own(shop: Shop) -> None:
    for name in ("..", "../../etc", "."):
        shop.jobs.submit(shop.ports, job(name))
    await shop.work()
    assert {out.parent for out in shop.factory.outs} == {shop.folder / "finetunes"}
    assert len(set(shop.factory.outs)) == 3
    assert not any("." in out.name for out in shop.factory.outs)


async def test_a_cancelled_training_is_stopped_and_waited_for(shop: Shop) -> None:
    """In a thread, as the node's compute leaves one alone that is cancelled."""
    began, ended = threading.Event(), threading.Event()

    def block(should_stop: Callable[[], bool]) -> None:
        began.set()
        while not should_stop():
            time.sleep(0.001)
        ended.set()
        raise Temporary("stopped")

    shop.factory.block, shop.compute = block, Compute()
    shop.start()
    shop.jobs.submit(shop.ports, job())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shop.jobs.run, shop.ports)
        await trio.to_thread.run_sync(began.wait, 20)
        nursery.cancel_scope.cancel()
    assert ended.is_set()
    assert shop.seen()["cat"].status == "running"


async def test_nothing_is_trained_before_the_chain_is_followed(shop: Shop) -> None:
    shop.chain.live, looks = False, []

    async def sleep(seconds: float) -> None:
        looks.append(len(shop.factory.runs))
        await trio.lowlevel.checkpoint()
        shop.chain.live = len(looks) > 2
        shop.chain.confirm()

    shop.sleep = sleep  # type: ignore[method-assign]
    shop.jobs.submit(shop.ports, job())
    await shop.work()
    assert looks[:3] == [0, 0, 0]
    assert shop.seen()["cat"].status == "succeeded"


async def test_a_document_that_is_no_text_fails_its_job_alone(shop: Shop) -> None:
    """A curator may publish bytes that a contributor signed; that must not end the node."""
    text, table = BOOKS[0]
    place = table[1].start
    shard = shop.publish(shop.chain.ledger, 2, text[:place] + b"\xc3(" + text[place + 2 :], table)
    assert shop.chain.ledger.final_shards(1)[2] == shard
    shop.jobs.submit(shop.ports, job(shards=3))
    await shop.work()
    assert shop.seen()["cat"].status == "failed"
    assert f"byte {place} of its shard is not UTF-8" in shop.seen()["cat"].error
    assert not shop.factory.runs
