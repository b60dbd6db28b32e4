"""Filters that are polled: what they see, across reorgs, and how they end."""

from pathlib import Path

import pytest

from rollup.engine import feed, filters
from rollup.engine.errors import Failure
from rollup.engine.filters import FILTER_SECONDS_MAX, Filters
from tests.net.engine_served import Served, served


async def logs_of(one: Served, identity: str) -> list[tuple[str, bool]]:
    changes = await one.call("eth_getFilterChanges", identity)
    return [(log["transactionHash"], log["removed"]) for log in changes]


async def test_each_kind_reports_once_what_is_new(tmp_path: Path) -> None:
    """Blocks, pending transactions and matching logs since the last poll, nothing twice."""
    async with served(tmp_path) as one:
        contract = await one.deploy(0)
        blocks = await one.call("eth_newBlockFilter")
        pending = await one.call("eth_newPendingTransactionFilter")
        logs = await one.call("eth_newFilter", {"address": contract, "fromBlock": "0x0"})
        others = await one.call("eth_newFilter", {"topics": ["0x" + "22" * 32]})
        sent = await one.send(1, to=contract)
        block = await one.build()

        assert await one.call("eth_getFilterChanges", blocks) == [block["hash"]]
        assert await one.call("eth_getFilterChanges", pending) == [sent]
        assert await logs_of(one, logs) == [(sent, False)]
        assert await logs_of(one, others) == []
        for identity in (blocks, pending, logs):
            assert await one.call("eth_getFilterChanges", identity) == []
        assert len(await one.call("eth_getFilterLogs", logs)) == 1
        with pytest.raises(Failure, match="filter not found"):
            await one.call("eth_getFilterLogs", blocks)


async def test_a_reorg_is_told_in_order(tmp_path: Path) -> None:
    """First what left, with `removed`, the last block first; then the new chain."""
    async with served(tmp_path) as one:
        contract = await one.deploy(0)
        logs, blocks = (
            await one.call("eth_newFilter", {}),
            await one.call("eth_newBlockFilter"),
        )
        first = await one.send(1, to=contract)
        await one.build()
        second = await one.send(2, to=contract)
        await one.build()
        assert await logs_of(one, logs) == [(first, False), (second, False)]

        await one.call("openledger_rollback", "0x1")
        other = await one.send(1, to=contract, maxFeePerGas=4 * 10**9)
        block = await one.build()

        assert await logs_of(one, logs) == [(second, True), (first, True), (other, False)]
        assert (await one.call("eth_getFilterChanges", blocks))[-1] == block["hash"]


async def test_a_filter_ends_by_time_or_by_its_owner(tmp_path: Path) -> None:
    """After five minutes without a poll; a poll keeps it."""
    now = [1_000.0]
    async with served(tmp_path) as one:
        kept = Filters(one.methods.feed, lambda: now[0])
        left, polled, closed = (kept.open("blocks") for _ in range(3))
        assert kept.close(closed)
        assert not kept.close(closed)
        now[0] += FILTER_SECONDS_MAX - 1
        kept.changes(polled)
        now[0] += 2

        assert kept.changes(polled) == []
        for gone in (left, closed, "0x0", 7, None, []):
            with pytest.raises(Failure, match="filter not found"):
                kept.changes(gone)


async def test_filters_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In number, in criteria, and in the past that they may ask for."""
    monkeypatch.setattr(filters, "FILTERS_MAX", 2)
    monkeypatch.setattr(feed, "PENDING_KEPT_MAX", 4)
    async with served(tmp_path) as one:
        many = ["0x" + f"{n:040x}" for n in range(filters.CRITERIA_MAX + 1)]
        with pytest.raises(Failure, match="addresses and topics"):
            await one.call("eth_newFilter", {"address": many})
        await one.call("eth_newFilter", {"address": many[1:]})
        pending = await one.call("eth_newPendingTransactionFilter")
        with pytest.raises(Failure, match="more than 2 filters"):
            await one.call("eth_newBlockFilter")

        for n in range(feed.PENDING_KEPT_MAX + 1):
            one.methods.feed.arrive(bytes([n]) * 32)
        with pytest.raises(Failure, match="filter not found"):  # never a hole without a word
            await one.call("eth_getFilterChanges", pending)
        await one.call("eth_newBlockFilter")


async def test_too_many_logs_come_in_portions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next poll goes on where the last one stopped."""
    monkeypatch.setattr(filters.logs, "LOGS_MAX", 0)
    async with served(tmp_path) as one:
        contract = await one.deploy(0)
        logs = await one.call("eth_newFilter", {})
        sent = []
        for nonce in (1, 2, 3):
            sent.append(await one.send(nonce, to=contract))
            await one.build()

        portions = [await logs_of(one, logs) for _ in range(4)]

    assert portions == [[(tx, False)] for tx in sent] + [[]]
