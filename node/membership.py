"""Keeps the node's registration on chain in step with its settings."""

from dataclasses import dataclass, field

import trio

from protocol.calls import RegisterNode, UpdateNode
from protocol.ledger import RoleBit
from roles.ports import Chain

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
    _asked: set[str] = field(default_factory=set)

    async def run(self, chain: Chain) -> None:
        async for _ in chain.heads():
            record = chain.ledger.nodes.get(self.operator)
            wanted = (self.roles, self.peer, self.endpoint)
            if record and (record.roles, record.peer_id, record.multiaddr) == wanted:
                self.confirmed.set()
                self.problem = ""
                continue
            self.problem = "the registration on chain is not confirmed yet"
            name = f"{int(self.roles)}/{self.peer.hex()}/{self.endpoint}/{len(chain.ledger.nodes)}"
            if record:
                await self._send(chain, f"update/{name}", UpdateNode(*self._row()))
            else:
                free = chain.ledger.stakes.get(self.operator, 0)
                short = max(0, chain.ledger.current.bond_min - free)
                await self._send(chain, f"register/{name}", RegisterNode(*self._row(), short))

    def _row(self) -> tuple[int, bytes, str]:
        return int(self.roles), self.peer, self.endpoint

    async def _send(self, chain: Chain, key: str, call: object) -> None:
        if key not in self._asked:  # the amount of a second call may differ: ask once a run
            self._asked.add(key)
            await chain.intend(key, call)
        outcome = chain.outcome(key)
        if outcome is not None and not outcome.succeeded:
            self.problem = f"the registration was refused: {outcome.reason}"


def roles_of(names: tuple[str, ...]) -> RoleBit:
    bits = RoleBit(0)
    for name in names:
        bits |= ROLE_BITS[name]
    return bits
