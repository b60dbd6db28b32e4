"""What went in, what came out, to whom and why: the money of the story, to the wei."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol import events
from protocol.claims import TREASURY


@dataclass
class Accounts:
    """Folds every event of the contracts; what is owed and what was paid must add up."""

    fees: int = 0  # wei redeemed from vouchers
    slashed: int = 0  # wei of bonds taken
    burned: int = 0
    platform: int = 0
    stakers: int = 0
    hosts: int = 0
    owners: int = 0
    pool: int = 0  # of fees, into the reward pool
    challengers: int = 0
    treasury_slash: int = 0
    claimed: dict[int, int] = field(default_factory=dict)
    bonds: dict[int, int] = field(default_factory=dict)  # wei taken, by batch
    allocated: int = 0

    def fold(self, event: events.Event) -> None:
        match event:
            case events.Redeemed():
                self.fees += event.amount
                self.platform += event.platform
                self.stakers += event.stakers
                self.hosts += event.host_share
                self.owners += event.owner
                self.pool += event.contributors
            case events.Slashed():
                self.slashed += event.amount
                self.challengers += event.reward
                self.treasury_slash += event.treasury
                self.burned += event.burned
            case events.BatchSlashed():
                self.bonds[event.id] = event.bond
            case events.Claimed():
                self.claimed[event.id] = event.cumulative
            case events.BatchFinalized():
                self.allocated = event.allocated
            case _:
                pass

    def sums(self) -> dict[str, Any]:
        """In: fees and slashed bonds.  Out: everybody who got something, and what waits."""
        contributors = sum(value for who, value in self.claimed.items() if who != TREASURY)
        rows = {
            "contributors": contributors,
            "contributors' unearned part, to the treasury": self.claimed.get(TREASURY, 0),
            "allocated, not claimed yet": self.allocated - sum(self.claimed.values()),
            "prepaid for later answers": self.pool - self.allocated,
            "platform": self.platform,
            "stakers": self.stakers,
            "host": self.hosts,
            "adapter owner": self.owners,
            "challengers": self.challengers,
            "treasury, of slashed bonds": self.treasury_slash,
        }
        came, went = self.fees + self.slashed, sum(rows.values())
        return {
            "in": str(came),
            "in_fees": str(self.fees),
            "in_slashed": str(self.slashed),
            "out": str(went),
            "out_to": {name: str(value) for name, value in rows.items()},
            "burned": str(self.burned),
            "equal": came == went + self.burned,
        }


def paid_rows(
    rewards: Sequence[Mapping[str, Any]], names: Mapping[int, str], paid: Mapping[int, int]
) -> list[dict[str, Any]]:
    """Who was paid what and why; the reasons of a payment add up to it."""
    rows = []
    for reward in rewards:
        who = int(reward["contributor"])
        reasons = list(reward["reasons"])
        total = sum(int(reason["amount"]) for reason in reasons)
        rows.append(
            {
                "contributor": who,
                "name": names.get(who, "treasury"),
                "amount": str(paid.get(who, 0)),
                "reasons": reasons,
                "explained": total == paid.get(who, 0),
            }
        )
    return rows
