"""What the node says about itself: alive, ready, earning, in figures and in sentences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from config.settings import Settings
from node.chain import ContractChain
from node.funds import Funds
from node.http.health import Report, duty_rows, not_running
from node.membership import Membership
from node.notify import Watchdog
from node.rollup_report import RollupReport
from node.supervisor import Supervisor
from p2p.identity import to_text
from p2p.network import Network
from protocol.ledger import Ledger
from roles.ports import Clock

BEHIND_SECONDS_MAX = 60  # age of the newest confirmed block of a chain that is followed


@dataclass(frozen=True)
class Situation:
    """All the parts that know something about how the node is."""

    settings: Settings
    chain: ContractChain
    network: Network
    membership: Membership
    supervisor: Callable[[], Supervisor]
    watchdog: Watchdog
    clock: Clock
    trouble: Callable[[], Sequence[str]]  # what single roles have to say
    funds: Funds
    rollup: RollupReport | None = None  # of a node that derives the chain
    lines: Callable[[], Mapping[str, Any]] = dict  # of attribution, by what they are about

    def report(self) -> Report:
        return Report(self._not_alive, self._not_ready, self._not_earning, self._status)

    def _not_alive(self) -> list[str]:
        return [f"{name} makes no progress" for name in self.watchdog.late()]

    def _not_ready(self) -> list[str]:
        reasons = []
        if not self.chain.live:
            reasons.append("the chain is not followed up to its head yet")
        elif (age := self.clock.now() - self.chain.ledger.time) > BEHIND_SECONDS_MAX:
            reasons.append(f"the newest confirmed block is {age:.0f} s old")
        if not self.membership.confirmed.is_set():
            reasons.append(self.membership.problem or "the node is not registered on chain yet")
        others = self.chain.ledger.nodes.keys() - {self.membership.operator}
        if others and not self.network.peers.connected():
            reasons.append(f"no peer is connected of {len(others)} registered ones")
        if self.rollup is not None:
            reasons += self.rollup.not_ready()
        reasons += not_running(self.supervisor().states)
        return reasons

    def _not_earning(self) -> list[str]:
        ledger, reasons = self.chain.ledger, list(self.trouble())
        if self.rollup is not None:
            reasons += self.rollup.trouble()
        if problem := self.chain.outbox.status().problem:
            reasons.append(f"transactions wait: {problem}")
        if self.chain.live:
            free, roles = ledger.stakes.get(self.membership.operator, 0), self.settings.roles
            if "prover" in roles and free < (need := ledger.current.bond_min):
                reasons.append(f"prover: a bond is {need} wei, the free stake is {free}")
            if "curator" in roles and free < (need := ledger.current.datanet_bond):
                reasons.append(f"curator: a shard's bond is {need} wei, the free stake is {free}")
        return reasons

    def _status(self) -> Mapping[str, Any]:
        ledger, outbox = self.chain.ledger, self.chain.outbox.status()
        return {
            "version": version("openledger-node"),
            "roles": list(self.settings.roles),
            "operator": "0x" + self.membership.operator.hex(),
            "peer_id": to_text(self.network.peer),
            "endpoint": self.membership.endpoint,
            "peers": [to_text(peer) for peer in self.network.peers.connected()],
            "chain": {
                "id": ledger.chain_id,
                "block": ledger.number,
                "time": ledger.time,
                "live": self.chain.live,
            },
            **({} if self.rollup is None else {"rollup": self.rollup.section()}),
            **self.lines(),
            "stake": str(ledger.stakes.get(self.membership.operator, 0)),
            "balance": None if self.funds.wei is None else str(self.funds.wei),
            "intents": {"waiting": outbox.waiting, "in_flight": outbox.in_flight},
            "duties": duty_rows(self.supervisor().states),
        }


class Building(Protocol):
    """The duty that computes features, as far as it can be watched."""

    @property
    def progress(self) -> Mapping[str, tuple[int, int]]:
        """Examples done and to be done, by adapter."""


def attribution_lines(ledger: Ledger, operator: bytes, features: Building | None) -> dict[str, Any]:
    """How attribution stands: in sentences, and what is computed in figures."""
    lines, pending = dict[str, Any](), ledger.pending_batches()
    if pending:
        mine = sum(batch.poster == operator for batch in pending)
        first = pending[0]
        left = max(0, first.deadline - ledger.time)
        lines["batches"] = (
            f"{len(pending)} pend, {mine} of them ours; "
            f"batch {first.batch} can be final in {left} s"
        )
    working = features.progress if features is not None else {}
    told = [
        f"features of {name}: {100 * done // max(1, total)} %"
        for name, (done, total) in sorted(working.items())
    ]
    if told:
        lines["influence"] = ", ".join(told)
        lines["features"] = {name: list(figures) for name, figures in working.items()}
    return lines
