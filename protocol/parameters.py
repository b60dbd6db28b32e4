"""The governed numbers: one version of the parameter contract, as plain integers."""

from dataclasses import dataclass

from protocol.codec import require, require_uint

BPS = 10_000
HOLDERS_MAX = 4  # slots of a claim; the parameter `holders_max` can only be smaller
INFLUENCES_CAP = 64  # of one answer
SPAN_CAP = 256  # bytes; two text leaves must always hold a span and the byte before it
OPEN = 10**18  # wei


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Fields in the order of `Parameters.Values` in Solidity; wei, seconds, bytes, basis points."""

    span_min: int = 32
    span_max: int = 256
    holders_max: int = 4
    span_weights: tuple[int, int, int, int] = (6_000, 8_000, 10_000, 10_000)
    common_bps: int = 2_500
    platform_bps: int = 1_000
    model_bps: int = 2_000
    stakers_bps: int = 2_000
    window: int = 86_400
    response: int = 21_600
    bond_min: int = 100 * OPEN
    bond_bps: int = 10_000
    demand_bond: int = OPEN
    challenger_bps: int = 3_000
    treasury_bps: int = 2_000
    unbonding: int = 21 * 86_400
    datanet_window: int = 86_400
    datanet_bond: int = 100 * OPEN
    model_fee: int = OPEN
    datanet_fee: int = OPEN
    influences_max: int = 16
    influence_sigma: int = 300  # hundredths of 1/sqrt(2048), a least cosine
    influence_bps: int = 10_000  # of what no span covers
    duplicate_bps: int = 9_000  # cosine

    def __post_init__(self) -> None:
        require(1 <= self.span_min <= self.span_max <= SPAN_CAP, "span bounds")
        require(1 <= self.holders_max <= HOLDERS_MAX, "holders_max")
        require(len(self.span_weights) == 4, "four span weights")
        for weight in (*self.span_weights, self.common_bps):
            require(0 <= weight <= BPS, "a weight over 100 %")
        require(1 <= self.influences_max <= INFLUENCES_CAP, "influences_max")
        require(100 <= self.influence_sigma <= 1_000, "influence_sigma")
        require(0 <= self.influence_bps <= BPS, "influence_bps")
        require(5_000 <= self.duplicate_bps < BPS, "duplicate_bps")
        require(self.platform_bps + self.model_bps + self.stakers_bps <= BPS, "splits over 100 %")
        require(2 * self.challenger_bps <= BPS, "the challenger's share is capped at 50 %")
        require(self.challenger_bps + self.treasury_bps <= BPS, "slash shares over 100 %")
        for name in ("window", "response", "unbonding", "datanet_window"):
            require_uint(getattr(self, name), 64, name)
        for name in ("bond_min", "demand_bond", "datanet_bond", "model_fee", "datanet_fee"):
            require_uint(getattr(self, name), 128, name)
        require_uint(self.bond_bps, 16, "bond_bps")

    @property
    def contributors_bps(self) -> int:
        return BPS - self.platform_bps - self.model_bps - self.stakers_bps

    def contributors_share(self, amount: int) -> int:
        """What of an answer's fee is for contributors, in wei, rounded down."""
        return amount * self.contributors_bps // BPS

    def weight(self, length: int, holders: int) -> int:
        """The weight of a span in units of 1e-8: by length class, reduced for common phrases."""
        by_length = self.span_weights[(length >= 64) + (length >= 128) + (length >= 256)]
        return by_length * (self.common_bps if holders == self.holders_max else BPS)
