"""Drawing a token so that anybody with the logits, the seed and the position draws the same one.

Gumbel-max: the token is the argmax of logits / temperature + noise, where the noise is a stateless
murmur3 hash of (seed, position, token): vLLM's `gumbel_noised_argmax`, in float64.
"""

import numpy as np
from numpy.typing import NDArray

from openlora.request import MICRO

_LOW = np.uint32(0xFFFF)
U32 = NDArray[np.uint32]


def hash32(seed: int, position: int, tokens: U32) -> U32:
    """murmur3 of (seed low, seed high, position, token) for each token; [n] -> [n]."""
    seed &= 0xFFFF_FFFF_FFFF_FFFF
    state = np.zeros_like(tokens)
    with np.errstate(over="ignore"):
        for part in (seed & 0xFFFF_FFFF, seed >> 32, position & 0xFFFF_FFFF):
            state = _mix(state, np.full_like(tokens, part))
        state = _mix(state, tokens) ^ np.uint32(16)
        state ^= state >> np.uint32(16)
        state *= np.uint32(0x85EB_CA6B)
        state ^= state >> np.uint32(13)
        state *= np.uint32(0xC2B2_AE35)
        state ^= state >> np.uint32(16)
    return state


def gumbel(seed: int, position: int, tokens: U32) -> NDArray[np.float64]:
    """Standard Gumbel noise of each token: -log(-log(1 - u)) with u strictly inside (0, 1).

    float32 would round the largest u to 1; it is kept at the largest number below.
    """
    drawn = hash32(seed, position, tokens)
    high = (drawn >> np.uint32(16)).astype(np.float32) * np.float32(2.0**-16)
    low = ((drawn & _LOW).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)
    below_one = np.minimum(high + low, np.float32(1 - 2.0**-24))
    return -np.log(-np.log1p(-below_one.astype(np.float64)))


def choose(
    logits: NDArray[np.float32], temperature: int, top_p: int, seed: int, position: int
) -> int:
    """The token at `position` of the sequence; logits [vocabulary], the rest in millionths.

    Ties go to the smaller token id.
    """
    if temperature == 0:
        return int(logits.argmax())
    scaled = logits.astype(np.float64) * (MICRO / temperature)
    tokens = np.arange(len(logits), dtype=np.uint32)
    if top_p < MICRO:
        tokens = nucleus(scaled, top_p / MICRO)
    noised = scaled[tokens] + gumbel(seed, position, tokens)
    return int(tokens[noised.argmax()])


def nucleus(scaled: NDArray[np.float64], top_p: float) -> U32:
    """The fewest most likely tokens whose probabilities sum to `top_p`, in order of their ids."""
    order = np.argsort(-scaled, kind="stable")
    weights = np.exp(scaled[order] - scaled[order[0]])
    reached = np.cumsum(weights) >= top_p * weights.sum()
    return np.sort(order[: int(reached.argmax()) + 1]).astype(np.uint32)


def _rotate(x: U32, bits: int) -> U32:
    return (x << np.uint32(bits)) | (x >> np.uint32(32 - bits))


def _mix(state: U32, key: U32) -> U32:
    key = _rotate(key * np.uint32(0xCC9E_2D51), 15) * np.uint32(0x1B87_3593)
    return _rotate(state ^ key, 13) * np.uint32(5) + np.uint32(0xE654_6B64)
