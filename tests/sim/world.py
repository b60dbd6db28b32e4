"""A whole network in one process, on virtual time, every fault drawn from one random source."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, TypeVarTuple

import trio

from node.supervisor import Duty, Supervisor
from protocol.errors import Temporary
from protocol.ledger import Ledger
from protocol.merkle import Commitment, byte_root
from protocol.messages import Message
from protocol.signature import address_of, sign
from roles.ports import Ports, Role
from tests.sim.chain import SimChain, SimOutcome

R = TypeVar("R")
Args = TypeVarTuple("Args")

REPAIR = 20.0  # seconds after which range sync has brought what gossip lost
Roles = Callable[[], list[Role]]


@dataclass(frozen=True)
class Faults:
    """How bad the network is; delays in seconds."""

    loss: float = 0.0
    repeat: float = 0.0
    delay_max: float = 0.0
    missing: float = 0.0  # how often a body cannot be had at once
    restarts: int = 0  # of drawn nodes at drawn moments


@dataclass(frozen=True)
class Received:
    message: Any
    sender: bytes


class World:
    """Nodes, the messages between them, and the one chain."""

    def __init__(self, random: Random, chain: SimChain, faults: Faults) -> None:
        self.random, self.chain, self.faults = random, chain, faults
        self.nodes: list[Node] = []
        self.featurizer: Any = None  # of all nodes
        self.availability: Any = None
        self.said: list[tuple[bytes, type[Any], bytes]] = []  # in the real codec

    def node(self, secret: bytes, roles: Roles) -> "Node":
        self.nodes.append(Node(self, secret, roles))
        return self.nodes[-1]

    async def run(self, seconds: float) -> None:
        """Let everything run; blocks come every `BLOCK` seconds."""
        with TemporaryDirectory() as folder:
            self.folder = Path(folder)
            await self._run(seconds)

    async def _run(self, seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self.chain.run)
            for node in self.nodes:
                nursery.start_soon(node.run, seconds)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()

    def late(self) -> float:
        return self.random.uniform(0, self.faults.delay_max)

    async def deliver(self, sender: bytes, message: Message) -> None:
        kind, wire = type(message), message.encode()
        self.said.append((sender, kind, wire))
        await trio.lowlevel.checkpoint()
        for node in self.nodes:
            for _ in range(1 + (self.random.random() < self.faults.repeat)):
                lost = self.random.random() < self.faults.loss
                delay = self.late() + (REPAIR if lost else 0)
                self._nursery.start_soon(node.receive, sender, kind, wire, delay)


class Node:
    """A node's world: what is durable survives `restart`, all else is lost."""

    featurizer: Any = None  # of a node with the base model

    def __init__(self, world: World, secret: bytes, roles: Roles) -> None:
        self._world, self._secret, self._roles = world, secret, roles
        self.address = address_of(secret)
        self.store = MemoryStore()
        self.held: dict[bytes, bytes] = {}  # bodies
        self.intents: dict[str, SimOutcome | None] = {}
        self._start()

    def _start(self) -> None:
        self.inboxes: dict[type[Any], list[trio.MemorySendChannel[Received]]] = {}
        self.view = ChainView(self._world, self)
        self.ports = Ports(
            gossip=self,
            bodies=self,
            chain=self.view,
            store=self.store,
            signer=Signer(self._secret),
            compute=inline,
            clock=VirtualClock(),
            featurizer=self.featurizer or self._world.featurizer,
            availability=self._world.availability,
        )

    async def run(self, seconds: float) -> None:
        """Run the roles, and kill them at drawn moments."""
        count = self._world.random.randint(0, self._world.faults.restarts)
        moments = sorted(self._world.random.uniform(0, seconds) for _ in range(count))
        for moment in [*moments, math.inf]:
            with trio.move_on_at(moment):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.view.follow)
                    nursery.start_soon(self._catch_up)
                    nursery.start_soon(self._supervise)
            self._start()

    async def _supervise(self) -> None:
        def duty(role: Role, number: int) -> Duty:
            async def run() -> None:
                await role.run(self.ports)

            return Duty(f"{type(role).__name__} {number}", run)

        await Supervisor([duty(role, n) for n, role in enumerate(self._roles())]).run()

    async def _catch_up(self) -> None:
        """What range sync does after a start."""
        await trio.sleep(1 + self._world.late())
        for sender, kind, wire in list(self._world.said):
            await self.receive(sender, kind, wire, 0)

    # ------------------------------------------------------------ gossip

    def subscribe(self, kind: type[Any]) -> Any:
        send, receive = trio.open_memory_channel[Received](math.inf)
        self.inboxes.setdefault(kind, []).append(send)
        return receive

    async def publish(self, message: Message) -> None:
        await self._world.deliver(self.address, message)

    async def receive(self, sender: bytes, kind: type[Any], wire: bytes, late: float) -> None:
        await trio.sleep(late)
        for inbox in self.inboxes.get(kind, []):
            inbox.send_nowait(Received(kind.decode(wire), sender))

    # ------------------------------------------------------------ bodies

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        assert byte_root(commitment.kind, data) == commitment.root
        self.held[commitment.root] = data

    async def fetch(self, commitment: Commitment) -> bytes:
        if commitment.root not in self.held:
            await trio.sleep(self._world.late())
            if self._world.random.random() < self._world.faults.missing:
                raise Temporary("no peer gives the body now")
            for node in self._world.nodes:
                if data := node.held.get(commitment.root):
                    self.held[commitment.root] = data
                    return data
            raise Temporary("no peer has the body")
        return self.held[commitment.root]

    async def fetch_file(self, commitment: Commitment) -> Path:
        data = await self.fetch(commitment)
        path = self._world.folder / commitment.root.hex()
        if not path.exists():
            path.write_bytes(data)
        return path


class ChainView:
    """A node's confirmed view of the chain, some time behind it."""

    def __init__(self, world: World, node: Node) -> None:
        self._world, self._node = world, node
        self.ledger = world.chain.genesis()
        self._heads: list[trio.MemorySendChannel[int]] = []

    def heads(self) -> Any:
        send, receive = trio.open_memory_channel[int](1)
        self._heads.append(send)
        return receive

    async def follow(self) -> None:
        for number in range(10**9):
            block = await self._world.chain.block(number)
            await trio.sleep(self._world.late() / 4)
            self.ledger.begin(number, block.time)
            for event in block.events:
                self.ledger.apply(event)
            for head in self._heads:
                try:
                    head.send_nowait(block.time)
                except trio.WouldBlock:
                    pass
                except trio.BrokenResourceError:
                    pass

    async def intend(self, key: str, call: object) -> None:
        await trio.lowlevel.checkpoint()
        if key not in self._node.intents:
            self._node.intents[key] = None
            self._world.chain.submit(self._node.address, key, call, self._node.intents)

    live = True

    def pending(self, key: str) -> bool:
        return self._node.intents.get(key, SimOutcome(True)) is None

    def outcome(self, key: str) -> SimOutcome | None:
        return self._node.intents.get(key)


class MemoryStore:
    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.rows.get(key)

    def scan(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return sorted(row for row in self.rows.items() if row[0].startswith(prefix))

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        for key, value in puts.items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value


@dataclass(frozen=True)
class Signer:
    secret: bytes
    address: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", address_of(self.secret))

    def sign(self, digest: bytes) -> bytes:
        return sign(self.secret, digest)


class VirtualClock:
    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)


async def inline(job: Callable[[*Args], R], *args: *Args) -> R:
    """`Compute` without threads, which virtual time cannot see."""
    await trio.lowlevel.checkpoint()
    return job(*args)


def ledger_of(node: Node) -> Ledger:
    return node.view.ledger
