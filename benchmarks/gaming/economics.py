"""A circle of user, host, adapter's owner and contributor: what it pays, and what it gets back."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.gaming.outcome import Outcome
from contracts.deploy import LIMITS
from protocol.parameters import BPS, OPEN, Parameters

FEE = 100 * OPEN


@dataclass(frozen=True, slots=True)
class Shares:
    """Wei of a fee, as `InferenceEscrow.sharesOf` has it."""

    platform: int
    stakers: int
    contributors: int
    owner: int
    host: int


def shares_of(amount: int, host_bps: int, rules: Parameters) -> Shares:
    platform, stakers = amount * rules.platform_bps // BPS, amount * rules.stakers_bps // BPS
    contributors = rules.contributors_share(amount)
    owner = amount * rules.model_bps // BPS * (BPS - host_bps) // BPS
    return Shares(
        platform, stakers, contributors, owner, amount - platform - stakers - contributors - owner
    )


def returned(amount: int, host_bps: int, rules: Parameters, *, staked: float, credit: float) -> int:
    """Wei that come back to a circle which owns every role, the share `staked` of all stake, and
    is credited for the share `credit` of what contributors get."""
    shares = shares_of(amount, host_bps, rules)
    back = shares.owner + shares.host
    return back + int(shares.stakers * staked) + int(shares.contributors * credit)


def circle(rules: Parameters, staked: float, credit: float, name: str, note: str = "") -> Outcome:
    """What comes back of what is paid in; a circle that gains would be above one."""
    back = max(
        returned(FEE, host_bps, rules, staked=staked, credit=credit)
        for host_bps in range(0, BPS + 1, 500)
    )
    return Outcome(name, back, FEE, 1.0, note)


def governed() -> Iterator[Parameters]:
    """The corners of all splits within the limits of a deployment."""
    names = ("platform_bps", "model_bps", "stakers_bps")
    for values in itertools.product(*(LIMITS[name] for name in names)):
        if sum(values) <= BPS:
            platform, model, stakers = values
            yield replace(Parameters(), platform_bps=platform, model_bps=model, stakers_bps=stakers)


def circles() -> list[Outcome]:
    """The usual circle, one with all the stake, and the worst that governance could allow."""
    rules = Parameters()
    quoted = rules.weight(rules.span_max, 1) / BPS**2  # of its contributors' share
    outcomes = [
        circle(rules, 0.0, quoted, "a circle without stake, answers quoted whole"),
        circle(rules, 0.1, quoted, "a circle with a tenth of all stake"),
        circle(rules, 1.0, quoted, "a circle with all stake there is"),
        circle(rules, 0.0, 0.0, "a host that pays himself, nobody credited"),
    ]
    worst = max((circle(r, 0.1, 1.0, "") for r in governed()), key=lambda one: one.ratio)
    name = "the same with a tenth of all stake, under the worst split of the limits"
    return [*outcomes, replace(worst, name=name, note="cheap, and still no gain")]
