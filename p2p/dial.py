"""Keeping connections: dial who is known, ping who is connected, drop who went silent."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio
from libp2p.host.ping import ID as PING
from libp2p.host.ping import PING_LENGTH
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo

from p2p.addresses import parse, resolved
from p2p.guard import close
from p2p.host import Host
from p2p.standing import Standing
from p2p.stream import open_stream, read_exactly
from protocol.errors import Malformed, Temporary

ROUND_SECONDS = 0.8  # libp2p by itself takes 62 s to come back
BACK_OFF_SECONDS_MAX = 30.0
DIAL_SECONDS = 6.0
DIALS_MAX = 8  # at a time
OUTBOUND_MAX = 24  # beyond so many connections nobody new is dialled
ADDRESSES_MAX = 1024
PING_EVERY_SECONDS = 5.0
PING_SECONDS = 3.0
PINGS_MISSED_MAX = 2


@dataclass(slots=True)
class _Attempt:
    failures: int
    after: float


class Dialer:
    """`addresses()` are multiaddresses ending in /p2p/<id>: bootstrap nodes and registered ones."""

    def __init__(
        self,
        host: Host,
        standing: Standing,
        addresses: Callable[[], Iterable[str]],
        connected: Callable[[], list[bytes]],
    ) -> None:
        self._host = host
        self._standing = standing
        self._addresses = addresses
        self._connected = connected
        self._attempts: dict[bytes, _Attempt] = {}
        self._slots = trio.CapacityLimiter(DIALS_MAX)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ping_all)
            while True:
                for peer, info in self._due().items():
                    nursery.start_soon(self._dial_quietly, peer, info)
                await trio.sleep(ROUND_SECONDS * random.uniform(0.8, 1.2))

    async def reach(self, peer: bytes) -> None:
        """Connect to one peer now; `Temporary` if he is unknown or does not answer."""
        info = self._known().get(peer)
        if info is None:
            raise Temporary("no address of this peer is known")
        await self._dial(peer, info)

    async def drop(self, peer: bytes) -> None:
        """Close every connection to `peer`, also one whose other end is silent.

        Not by libp2p's `close_peer`: it also forgets, unclosed, what connected in the meantime.
        """
        network, identity = self._host.network, ID(peer)
        connections = list(network.get_connections(identity))
        for connection in connections:
            await close(connection)
            if connection in network.connections.get(identity, []):
                network.connections[identity].remove(connection)
                await network.notify_disconnected(connection)
        if not network.connections.get(identity, [None]):
            del network.connections[identity]

    def _known(self) -> dict[bytes, PeerInfo]:
        known: dict[bytes, PeerInfo] = {}
        for text in list(self._addresses())[:ADDRESSES_MAX]:
            try:
                info = parse(text)
            except Malformed:
                self._standing.count("bad_address")
                continue
            known.setdefault(bytes(info.peer_id.to_bytes()), info)
        known.pop(self._host.peer, None)
        return known

    def _due(self) -> dict[bytes, PeerInfo]:
        connected, now = set(self._connected()), trio.current_time()
        room = OUTBOUND_MAX - len(connected)
        known = self._known()
        self._attempts = {peer: self._attempts[peer] for peer in known if peer in self._attempts}
        due = {
            peer: info
            for peer, info in known.items()
            if peer not in connected
            and not self._standing.banned(peer)
            and self._attempts.get(peer, _Attempt(0, 0.0)).after <= now
        }
        chosen = random.sample(sorted(due), min(len(due), max(room, 0)))
        for peer in chosen:  # not again while this attempt runs
            self._attempts.setdefault(peer, _Attempt(0, 0.0)).after = now + DIAL_SECONDS
        return {peer: due[peer] for peer in chosen}

    async def _dial_quietly(self, peer: bytes, info: PeerInfo) -> None:
        attempt = self._attempts.setdefault(peer, _Attempt(0, 0.0))
        try:
            await self._dial(peer, info)
            attempt.failures, attempt.after = 0, trio.current_time() + ROUND_SECONDS
        except Temporary:
            self._standing.count("dial_failed")
            wait = min(ROUND_SECONDS * 2**attempt.failures, BACK_OFF_SECONDS_MAX)
            attempt.failures = min(attempt.failures + 1, 16)
            attempt.after = trio.current_time() + wait

    async def _dial(self, peer: bytes, info: PeerInfo) -> None:
        async with self._slots:
            network = self._host.network
            network.unblock_peer(info.peer_id)  # libp2p shuns a failed peer for a minute
            network.peerstore.clear_addrs(info.peer_id)  # what strangers said about him
            try:
                with trio.fail_after(DIAL_SECONDS):
                    await self._host.host.connect(await resolved(info))
            except Temporary:
                raise
            except trio.TooSlowError as error:
                raise Temporary(f"{info.addrs} did not answer") from error
            except Exception as error:  # as many classes as there are ways not to be there
                raise Temporary(f"{info.addrs} cannot be reached: {error!r}") from error

    async def _ping_all(self) -> None:
        """A partition that drops packets is noticed by nobody else: libp2p waits forever."""
        missed: dict[bytes, int] = {}
        while True:
            await trio.sleep(PING_EVERY_SECONDS)
            connected = self._connected()
            missed = {peer: missed.get(peer, 0) for peer in connected}
            async with trio.open_nursery() as nursery:
                for peer in connected:
                    nursery.start_soon(self._ping, peer, missed)

    async def _ping(self, peer: bytes, missed: dict[bytes, int]) -> None:
        while missed[peer] < PINGS_MISSED_MAX:
            try:
                await self._ping_once(peer)
            except Temporary:
                missed[peer] += 1
            else:
                missed[peer] = 0
                return
        self._standing.count("silent_peer_dropped")
        await self.drop(peer)

    async def _ping_once(self, peer: bytes) -> None:
        token = random.randbytes(PING_LENGTH)
        async with open_stream(self._host.host, peer, [PING], PING_SECONDS) as stream:
            await stream.write(token)
            if await read_exactly(stream, PING_LENGTH) != token:
                raise Temporary("a pong that is not our ping")
