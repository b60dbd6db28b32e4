"""Keeps the node's registration on chain in step with its settings."""

import hashlib
from dataclasses import dataclass, field

import trio

from protocol.calls import RegisterNode, UpdateNode
from protocol.ledger import RoleBit
from roles.intents import pursue, refused, why
from roles.ports import Ports

RETRY_SECONDS = 20  # between two attempts to register

ROLE_BITS = {
    "curator": RoleBit.CURATOR,
    "validator": RoleBit.VALIDATOR,
    "host": RoleBit.HOST,
    "prover": RoleBit.PROVER,
    "sequencer": RoleBit.SEQUENCER,
}


@dataclass
class Membership:
    """Registers the node, or updates what changed, and tells when the chain has confirmed it."""

    operator: bytes
    roles: RoleBit
    peer: bytes
    endpoint: str
    confirmed: trio.Event = field(default_factory=trio.Event)
    problem: str = ""

    async def run(self, ports: Ports) -> None:
        async with ports.chain.heads() as heads:
            async for _ in heads:
                await self._look(ports)

    async def _look(self, ports: Ports) -> None:
        ledger = ports.chain.ledger
        record = ledger.nodes.get(self.operator)
        wanted = (self.roles, self.peer, self.endpoint)
        if record and (record.roles, record.peer_id, record.multiaddr) == wanted:
            self.confirmed.set()
            self.problem = ""
            return
        self.problem = "the registration on chain is not confirmed yet"
        row = (int(self.roles), self.peer, self.endpoint)
        if record:
            stem = hashlib.sha256(repr((row, record)).encode()).hexdigest()[:32]
            await pursue(ports, stem, UpdateNode(*row), RETRY_SECONDS)
        else:
            free = ledger.stakes.get(self.operator, 0)
            short = max(0, ledger.current.bond_min - free)
            stem = "register"
            await pursue(ports, stem, RegisterNode(*row, short), RETRY_SECONDS)
        if refused(ports, stem):
            self.problem = f"the registration was refused: {why(ports, stem)}"


def roles_of(names: tuple[str, ...]) -> RoleBit:
    bits = RoleBit(0)
    for name in names:
        bits |= ROLE_BITS[name]
    return bits
