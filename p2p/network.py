"""One node's place in the network: host, gossip, requests, bodies and sync, wired together."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from p2p.addresses import parse
from p2p.admission import Admission
from p2p.blocks import BlockGossip, Check
from p2p.bodies import Bodies
from p2p.dial import Dialer
from p2p.gossip import Gossip
from p2p.host import Host, run_host
from p2p.payloads import Payloads, Serve
from p2p.peers import Peers
from p2p.standing import Standing
from p2p.sync import RangeSync
from protocol.envelope import Signer


@dataclass(frozen=True, slots=True)
class Registry:
    """What the chain says about peers; each is called often, so it must be a look-up in memory.

    `operator_of(peer id)`: the operator's address, None unless the node is registered.
    `registered(address)`: an operator with stake. `addresses()`: multiaddresses of the registered
    nodes, each ending in /p2p/<id>.
    """

    operator_of: Callable[[bytes], bytes | None]
    registered: Callable[[bytes], bool]
    addresses: Callable[[], Iterable[str]]

    def allowed(self, peer: bytes) -> bool:
        return self.operator_of(peer) is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a node must know before it can join."""

    identity: bytes  # 32 secret bytes, see `p2p.identity`
    listen: str  # /ip4/.../tcp/...; port 0 takes a free one
    chain_id: int
    fork_digest: bytes  # 4 bytes
    kinds: Sequence[type[Any]]  # message classes: one topic each
    folder: Path  # scores and bodies live here
    bootstrap: Sequence[str] = ()  # multiaddresses ending in /p2p/<id>


@dataclass(frozen=True, slots=True)
class Rollup:
    """How this node takes part in the OP Stack's gossip of blocks; see `p2p.blocks`."""

    chain_id: int  # of the L2
    check: Check
    serve: Serve  # blocks by number for others


@dataclass(frozen=True, slots=True)
class Network:
    """What the roles see of it, and what the metrics count."""

    gossip: Gossip
    peers: Peers
    bodies: Bodies
    sync: RangeSync
    standing: Standing
    host: Host
    dialer: Dialer
    blocks: BlockGossip | None = None
    payloads: Payloads | None = None

    @property
    def peer(self) -> bytes:
        return self.host.peer

    @property
    def address(self) -> str:
        return self.host.address

    def mesh(self) -> dict[str, int]:
        """How many peers each topic's mesh has."""
        return {topic: len(peers) for topic, peers in self.host.router.mesh.items()}


@asynccontextmanager
async def open_network(
    plan: Plan,
    registry: Registry,
    signer: Signer,
    clock: Callable[[], float] = time.time,
    rollup: Rollup | None = None,
) -> AsyncIterator[Network]:
    """A node that is connected, gossiping and serving inside the block.

    `Temporary` if the port is taken; `Malformed` if an address in `plan` is none. libp2p wraps
    whatever is raised in the block in five groups of one; they are taken off again.
    """
    try:
        async with _opened(plan, registry, signer, clock, rollup) as network:
            yield network
    except BaseExceptionGroup as group:
        raise _alone(group) from None


def _alone(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def _opened(
    plan: Plan,
    registry: Registry,
    signer: Signer,
    clock: Callable[[], float],
    rollup: Rollup | None,
) -> AsyncIterator[Network]:
    plan.folder.mkdir(parents=True, exist_ok=True)
    standing = Standing(plan.folder / "scores", clock)
    peers = Peers(standing, registry.allowed)
    gossip = Gossip(
        plan.kinds, signer, plan.chain_id, plan.fork_digest, registry.registered, standing, clock
    )
    bodies = Bodies(plan.folder / "bodies", peers, standing)
    sync = RangeSync(gossip, peers, standing)
    expected = {bytes(parse(address).peer_id.to_bytes()) for address in plan.bootstrap}
    admission = Admission(standing, registry.allowed, expected.__contains__, peers.connected)
    blocks = payloads = None
    if rollup is not None:
        blocks = BlockGossip(rollup.chain_id, rollup.check, standing)
        payloads = Payloads(rollup.chain_id, rollup.serve, standing)
    topics = [*gossip.topics, *(blocks.topics if blocks else ())]
    start = partial(run_host, plan.identity, plan.listen, topics, standing)

    def addresses() -> list[str]:
        return [*plan.bootstrap, *registry.addresses()]

    async def prepare(host: Host) -> None:
        host.pubsub.may_publish = registry.allowed
        peers.attach(host)
        await gossip.join(host.pubsub)
        if blocks is not None and payloads is not None:
            payloads.attach(host)
            await blocks.join(host.pubsub)

    async with start(admission.admitted, prepare) as host:
        dialer = Dialer(host, standing, addresses, peers.connected)
        peers.reach = dialer.reach
        async with trio.open_nursery() as nursery:
            standing.on_ban = partial(nursery.start_soon, dialer.drop)
            for task in (standing.run, dialer.run, sync.run):
                nursery.start_soon(task)
            try:
                yield Network(gossip, peers, bodies, sync, standing, host, dialer, blocks, payloads)
            finally:
                standing.on_ban = lambda peer: None
                nursery.cancel_scope.cancel()
