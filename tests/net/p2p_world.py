"""Real nodes on loopback for the tests of p2p, with a registry in memory instead of a chain."""

import gc
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import trio
from libp2p import new_host
from libp2p.abc import IHost
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from p2p.identity import key_pair, peer_id
from p2p.network import Network, Plan, Registry, Rollup, open_network
from protocol.errors import Malformed
from protocol.signature import address_of, sign

CHAIN, FORK = 31337, b"\x00\x00\x00\x01"
ANY_PORT = "/ip4/127.0.0.1/tcp/0"
PATIENCE = 10.0  # nothing is asserted about time; this only ends a test that would hang


@dataclass(frozen=True, slots=True)
class Note:
    """A message of the tests; b"bug" makes its decoder raise what no decoder should."""

    TOPIC: ClassVar[str] = "notes"
    text: bytes

    def encode(self) -> bytes:
        return b"note:" + self.text

    @classmethod
    def decode(cls, data: bytes) -> "Note":
        if data == b"note:bug":
            raise KeyError("a bug in a decoder")
        if not data.startswith(b"note:"):
            raise Malformed("no note")
        return cls(data[5:])


@dataclass(frozen=True, slots=True)
class Key:
    secret: bytes

    @property
    def address(self) -> bytes:
        return address_of(self.secret)

    def sign(self, digest: bytes) -> bytes:
        return sign(self.secret, digest)


def secret(seed: int) -> bytes:
    return seed.to_bytes(32, "big")


@dataclass
class World:
    """Who is registered. Every node of a test shares it."""

    folder: Path
    operators: dict[bytes, bytes] = field(default_factory=dict)

    def register(self, *seeds: int) -> None:
        for seed in seeds:
            self.operators[peer_id(secret(seed))] = Key(secret(seed)).address

    @property
    def registry(self) -> Registry:
        def registered(address: bytes) -> bool:
            return address in self.operators.values()

        return Registry(self.operators.get, registered, list)

    @asynccontextmanager
    async def node(
        self,
        seed: int,
        bootstrap: Sequence[str] = (),
        listen: str = ANY_PORT,
        rollup: Rollup | None = None,
    ) -> AsyncIterator[Network]:
        plan = Plan(secret(seed), listen, CHAIN, FORK, [Note], self.folder / str(seed), bootstrap)
        registry, key = self.registry, Key(secret(seed))
        async with open_network(plan, registry, key, rollup=rollup) as network:
            yield network


def forget_attackers() -> None:
    """Collect the sockets that bare hosts leak when they are thrown out; ours must not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@asynccontextmanager
async def attacker(seed: int, victim: Network) -> AsyncIterator[tuple[IHost, ID]]:
    """A bare libp2p host, connected to `victim`, that reads and ignores what it is sent."""
    host = new_host(key_pair=key_pair(secret(seed)))

    async def sink(stream: object) -> None:
        try:
            while await stream.read(65536):  # type: ignore[attr-defined]
                pass
        except Exception:
            return

    host.set_stream_handler(TProtocol("/meshsub/1.1.0"), sink)
    info = info_from_p2p_addr(Multiaddr(victim.address))
    async with host.run(listen_addrs=[]):
        await host.connect(info)
        try:
            yield host, info.peer_id
        finally:
            with trio.CancelScope(deadline=trio.current_time() + 2, shield=True):
                await host.close()


async def meshed(*nodes: Network) -> None:
    """Wait until each node has every other in its mesh."""
    for node in nodes:
        topic = node.gossip.topics[0]
        others = {ID(other.peer) for other in nodes if other is not node}

        def complete(node: Network = node, others: set[ID] = others, topic: str = topic) -> bool:
            return others <= set(node.host.router.mesh.get(topic, ()))

        await until(complete)


async def until(condition: Callable[[], object]) -> None:
    """Poll a condition that the network brings about; libp2p offers no event for most."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


async def heard(channel: "trio.MemoryReceiveChannel[object]", text: bytes) -> None:
    """Wait for one note, skipping others."""
    with trio.fail_after(PATIENCE):
        async for received in channel:
            if received.message.text == text:  # type: ignore[attr-defined]
                return
