"""The `Chain` port: follows the contracts into a ledger, and sends intents through the outbox."""

from collections.abc import Callable, Mapping
from typing import Any

import trio

from config.network import Network
from contracts.bindings import Bindings
from contracts.chain import Block, Follower
from contracts.outbox import Outbox
from contracts.rpc import Rejected, Rpc, number
from node.metrics import Metrics
from protocol.errors import Malformed, Refused, Temporary
from protocol.events import BatchPosted, Event
from protocol.ledger import Ledger


class ContractChain:
    """One node's view of one deployment.  `follow` and the outbox's `run` must be running."""

    def __init__(
        self, network: Network, rpc: Rpc, outbox: Outbox, confirmations: int, poll: float,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self.addresses: Mapping[str, bytes] = {
            name: network.contract(name) for name in network.contracts
        }
        self.bindings = Bindings(self.addresses)
        self.outbox = outbox
        self._network, self._rpc, self._metrics = network, rpc, metrics
        self._confirmations, self._poll = confirmations, poll
        self._heads: list[trio.MemorySendChannel[int]] = []
        self.watch: Callable[[Event], None] = lambda event: None  # sees every folded event
        self.postings: dict[int, bytes] = {}  # the transactions that batches came in
        self._caught_up = 0
        self._follower: Follower | None = None
        self._progress: Callable[[], None] = lambda: None
        self.ledger = self._empty()

    def _empty(self) -> Ledger:
        return Ledger(chain_id=self._network.chain_id, contracts=dict(self.addresses))

    async def rebuild(self) -> None:
        """After a reorg: forget everything that was folded; `follow` starts over."""
        await trio.lowlevel.checkpoint()
        self._follower, self.ledger = None, self._empty()

    async def follow(self, progress: Callable[[], None]) -> None:
        """Fold confirmed blocks until cancelled.  Raises `Reset` when the chain moved.

        After a `Temporary` it goes on behind the last block, so the ledger never shows less than
        it did.  Heads are told only from the block on that was the newest at the start: no role
        acts on the past.
        """
        self._progress = progress
        if self._follower is None:
            self._follower = await self._begin()
        await self._follower.run(self._deliver)

    async def _begin(self) -> Follower:
        try:
            head = number(await self._rpc.call("eth_blockNumber"))
        except (Malformed, Rejected) as error:
            raise Temporary(f"the chain does not tell its head: {error}") from error
        self.ledger = self._empty()
        self._caught_up = max(self._network.deployment_block, head - self._confirmations)
        return Follower(
            self._rpc,
            list(self.addresses.values()),
            self._network.deployment_block,
            confirmations=self._confirmations,
            poll_seconds=self._poll,
        )

    @property
    def live(self) -> bool:
        """Whether the ledger has caught up with the chain since the start."""
        return self.ledger.number >= self._caught_up and bool(self.ledger.parameters)

    async def _deliver(self, block: Block) -> None:
        self.ledger.begin(block.number, block.timestamp)
        for entry in block.logs:
            if (event := self.bindings.decode(entry)) is not None:
                self.ledger.apply(event)
                if isinstance(event, BatchPosted):
                    self.postings[event.id] = entry.transaction
                self.watch(event)
        self._metrics.chain_followed.set(block.number)
        self._progress()
        for head in list(self._heads) if self.live else ():
            try:
                head.send_nowait(block.timestamp)
            except trio.WouldBlock:
                pass  # the reader has not looked since the last one: it will see this state too
            except trio.BrokenResourceError:
                self._heads.remove(head)
        await trio.lowlevel.checkpoint()

    def heads(self) -> "trio.MemoryReceiveChannel[int]":
        send, receive = trio.open_memory_channel[int](1)
        self._heads.append(send)
        if self.live:
            send.send_nowait(self.ledger.time)
        return receive

    async def intend(self, key: str, call: object) -> None:
        to, data, value = self.bindings.encode(call)  # type: ignore[arg-type]
        self.outbox.intend(key, to, data, value)
        await trio.lowlevel.checkpoint()

    def pending(self, key: str) -> bool:
        try:
            return self.outbox.result(key) is None
        except Refused:
            return False

    def outcome(self, key: str) -> Any:
        try:
            return self.outbox.result(key)
        except Refused:
            return None  # no such intent here yet
