"""Following the chain: every confirmed block once, in order, with the logs of our contracts."""

import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import trio
from eth_hash.auto import keccak

from contracts.rpc import LIMIT_EXCEEDED, Node, Rejected, data, hexadecimal, number
from protocol.errors import Malformed, Reset, Temporary

POLL_SECONDS: Final = 1.0
RANGE_BLOCKS_MAX: Final = 100
ADDRESSES_MAX: Final = 64
SILENCE_SECONDS_MAX: Final = 120.0


@dataclass(frozen=True, slots=True)
class Log:
    """One event: `topics` of 32 bytes each, `index` counted in its block."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    transaction: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Block:
    """A confirmed block, also without logs, so that consumers know the time (Unix seconds)."""

    number: int
    hash: bytes
    timestamp: int
    logs: tuple[Log, ...]


class Follower:
    """Reads the chain from block `start` on, `confirmations` behind the head.

    No cursor is persisted: what a consumer derives from the logs lives in memory and is rebuilt
    from the deployment block at every start, so state and cursor can never disagree after a crash,
    and a reorg needs no undo. Catching up costs three requests per hundred blocks. When histories
    outgrow that, a snapshot must hold the derived state and its block in one write.

    The chain may still change under us deeper than `confirmations`; then `run` raises `Reset`
    before anything of the new branch is delivered, this follower is spent, and its consumers start
    over with a new one.
    """

    def __init__(
        self,
        node: Node,
        addresses: Sequence[bytes],
        start: int,
        *,
        confirmations: int,
        poll_seconds: float = POLL_SECONDS,
        silence_seconds_max: float = SILENCE_SECONDS_MAX,
    ) -> None:
        if len(addresses) > ADDRESSES_MAX or any(len(a) != 20 for a in addresses):
            raise ValueError(f"at most {ADDRESSES_MAX} addresses of 20 bytes")
        self._node = node
        self._addresses = [hexadecimal(address) for address in addresses]
        self._wanted = frozenset(addresses)
        self._next = start
        self._parent: bytes | None = None
        self._span = RANGE_BLOCKS_MAX
        self._confirmations = confirmations
        self._poll_seconds = poll_seconds
        self._silence_seconds_max = silence_seconds_max

    async def run(self, deliver: Callable[[Block], Awaitable[object]]) -> NoReturn:
        """Call `deliver` (a bounded channel's `send`, say) for each block.

        A failed poll is a poll without news; after two minutes without an answer `Temporary` is
        raised, and calling `run` again goes on behind the last block delivered. Raises `Reset`.
        """
        heard = trio.current_time()
        while True:
            try:
                blocks = await self._news()
                heard = trio.current_time()
            except (Temporary, Malformed, Rejected) as error:
                if trio.current_time() - heard > self._silence_seconds_max:
                    raise Temporary(f"the chain cannot be followed: {error}") from error
                blocks = []
            for block in blocks:
                await deliver(block)
                self._next, self._parent = block.number + 1, block.hash
            if not blocks:
                await trio.sleep(self._poll_seconds)

    async def _news(self) -> list[Block]:
        """The next range of confirmed blocks, empty when there is none yet."""
        target = number(await self._node.call("eth_blockNumber")) - self._confirmations
        while self._next <= target:
            try:
                return await self._fetch(self._next, min(self._next + self._span - 1, target))
            except Rejected as error:
                if error.code != LIMIT_EXCEEDED or self._span == 1:
                    raise
                self._span = math.ceil(self._span / 2)
        await self._still_ours()
        return []

    async def _still_ours(self) -> None:
        """A branch that does not outgrow the old one brings no new block that could betray it."""
        if self._parent is None:
            return
        last = self._next - 1
        value = await self._node.call("eth_getBlockByNumber", hex(last), False)
        if value is not None and _header(value, last).hash != self._parent:
            raise Reset(f"block {last} is not the block delivered any more")

    async def _fetch(self, first: int, last: int) -> list[Block]:
        """Blocks first..last, proven to be one chain with what was delivered. Raises `Temporary`
        when the node changed its mind between the answers, `Reset` when it did so before."""
        calls = [("eth_getBlockByNumber", (hex(n), False)) for n in range(first, last + 1)]
        headers = [
            _header(answer, first + i) for i, answer in enumerate(await self._node.batch(calls))
        ]
        if self._parent is not None and headers[0].parent != self._parent:
            raise Reset(f"the parent of block {first} is not the block delivered before it")
        for before, after in itertools.pairwise(headers):
            if after.parent != before.hash:
                raise Temporary(f"block {after.number} does not follow block {before.number}")
        logs = await self._logs({"fromBlock": hex(first), "toBlock": hex(last)})
        by_number: dict[int, list[Log]] = {header.number: [] for header in headers}
        for block_number, block_hash, log in logs:
            if (
                not first <= block_number <= last
                or headers[block_number - first].hash != block_hash
            ):
                raise Temporary(f"a log of block {block_number} belongs to another branch")
            by_number[block_number].append(log)
        return [
            Block(h.number, h.hash, h.timestamp, await self._checked(h, by_number[h.number]))
            for h in headers
        ]

    async def _checked(self, header: "_Header", logs: list[Log]) -> tuple[Log, ...]:
        """A node may answer with no logs for a block it has not indexed yet. Where the header's
        bloom says that there may be some, ask by block hash, which such a node cannot answer."""
        if not logs and any(_in_bloom(header.bloom, address) for address in self._wanted):
            answers = await self._logs({"blockHash": hexadecimal(header.hash)})
            logs = [log for _, _, log in answers]
        return tuple(sorted(logs, key=lambda log: log.index))

    async def _logs(self, where: dict[str, str]) -> list[tuple[int, bytes, Log]]:
        if not self._addresses:
            return []
        answer = await self._node.call("eth_getLogs", {**where, "address": self._addresses})
        if not isinstance(answer, list):
            raise Malformed("the node did not answer eth_getLogs with a list")
        logs = [_log(entry) for entry in answer]
        if any(log.address not in self._wanted for _, _, log in logs):
            raise Malformed("the node answered with logs of another contract")
        return logs


@dataclass(frozen=True, slots=True)
class _Header:
    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    bloom: int


def _header(value: Any, expected: int) -> _Header:
    if value is None:
        raise Temporary(f"the node has no block {expected} although its head is beyond")
    if not isinstance(value, dict) or number(value.get("number")) != expected:
        raise Malformed(f"the node answered another block than {expected}")
    return _Header(
        expected,
        data(value.get("hash"), 32),
        data(value.get("parentHash"), 32),
        number(value.get("timestamp")),
        int.from_bytes(data(value.get("logsBloom"), 256), "big"),
    )


def _log(value: Any) -> tuple[int, bytes, Log]:
    if not isinstance(value, dict) or not isinstance(value.get("topics"), list):
        raise Malformed("the node answered with something that is no log")
    log = Log(
        data(value.get("address"), 20),
        tuple(data(topic, 32) for topic in value["topics"]),
        data(value.get("data")),
        data(value.get("transactionHash"), 32),
        number(value.get("logIndex")),
    )
    return number(value.get("blockNumber")), data(value.get("blockHash"), 32), log


def _in_bloom(bloom: int, entry: bytes) -> bool:
    digest = keccak(entry)
    bits = (int.from_bytes(digest[i : i + 2], "big") & 2047 for i in (0, 2, 4))
    return all(bloom >> bit & 1 for bit in bits)
