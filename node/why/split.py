"""How an answer's fee is divided, to the wei."""

from math import isqrt

from node.why.values import Split
from protocol.features import DIMENSION, NORM2_MAX, NORM2_MIN
from protocol.parameters import BPS, Parameters

NORM2 = DIMENSION * 127 * 127 // 16  # what every feature is scaled to; rounding moves it by 3 %
assert NORM2_MIN < NORM2 < NORM2_MAX


def split_of(fee: int, parameters: Parameters, host_bps: int, spans: int, influences: int) -> Split:
    """As `InferenceEscrow.sharesOf` divides an amount: the host gets what rounding leaves.

    Vouchers are redeemed for many answers at once, so of a single one these are the shares by
    right; the chain's differ by less than a wei an answer and share.
    """
    contributors = parameters.contributors_share(fee)
    platform, stakers = fee * parameters.platform_bps // BPS, fee * parameters.stakers_bps // BPS
    owner = fee * parameters.model_bps // BPS * (BPS - host_bps) // BPS
    host = fee - platform - stakers - contributors - owner
    treasury = contributors - spans - influences
    return Split(fee, platform, host, owner, stakers, contributors, spans, influences, treasury)


def sigmas_of(score: int, norm2_phi: int, norm2_psi: int) -> int:
    """How far a score stands out of chance, in hundredths of a deviation (1/sqrt(2048)), down."""
    if score <= 0 or not norm2_phi or not norm2_psi:
        return 0
    return isqrt(DIMENSION * score**2 * 10**4 // (norm2_phi * norm2_psi))


def least_score(norm2_psi: int, parameters: Parameters) -> int:
    """The least score that is credited to an example of the nominal norm."""
    bound = parameters.influence_sigma**2 * NORM2 * norm2_psi
    return isqrt(bound // (DIMENSION * 10**4)) + 1
