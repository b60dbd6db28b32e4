"""Tokens are drawn by published arithmetic, with the right odds."""

import numpy as np
import pytest

from openlora import sampling
from openlora.request import MICRO
from openlora.sampling import choose, gumbel, hash32, nucleus


def plain_hash(seed: int, position: int, token: int) -> int:
    """murmur3_x86_32 of four 32-bit words, in Python's integers."""

    def rotate(x: int, bits: int) -> int:
        return (x << bits | x >> 32 - bits) & 0xFFFFFFFF

    state = 0
    for key in (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF, position, token):
        key = rotate(key * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
        state = (rotate(state ^ key, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    state ^= 16
    state = (state ^ state >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    state = (state ^ state >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return state ^ state >> 16


def test_the_hash_is_murmur3() -> None:
    tokens = np.array([0, 1, 77, 128_255, 2**32 - 1], dtype=np.uint32)
    for seed in (0, 1, 2**40 + 3, 2**64 - 1):
        for position in (0, 1, 100_000):
            want = [plain_hash(seed, position, int(token)) for token in tokens]
            assert hash32(seed, position, tokens).tolist() == want


def test_a_vector_for_other_languages() -> None:
    tokens = np.arange(3, dtype=np.uint32)
    assert hash32(42, 7, tokens).tolist() == [0x661EB28D, 0x860D65EC, 0x1F1CC266]


def test_noise_is_finite_and_standard() -> None:
    tokens = np.arange(100_000, dtype=np.uint32)
    noise = np.concatenate([gumbel(seed, seed, tokens) for seed in range(20)])
    assert np.isfinite(noise).all()
    assert abs(noise.mean() - np.euler_gamma) < 0.005
    assert abs(noise.var() - np.pi**2 / 6) < 0.015


def test_the_largest_hash_gives_finite_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    extremes = np.array([0, 2**32 - 1], dtype=np.uint32)
    monkeypatch.setattr(sampling, "hash32", lambda *_: extremes)
    small_u, large_u = gumbel(0, 0, extremes)
    assert 22 < small_u < 23
    assert -3 < large_u < -2.5


def test_tokens_come_with_their_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    drawn = [choose(logits, MICRO, MICRO, 11, position) for position in range(20_000)]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert np.abs(shares - [0.5, 0.3, 0.15, 0.05]).max() < 0.012

    sharp = [choose(logits, MICRO // 2, MICRO, 11, position) for position in range(20_000)]
    want = np.array([0.25, 0.09, 0.0225, 0.0025]) / 0.365
    assert np.abs(np.bincount(sharp, minlength=4) / len(sharp) - want).max() < 0.012


def test_greedy_takes_the_first_of_equals() -> None:
    assert choose(np.array([1, 3, 3], dtype=np.float32), 0, MICRO, 1, 1) == 1


def test_the_nucleus_is_the_smallest_that_suffices() -> None:
    scaled = np.log(np.array([0.05, 0.5, 0.15, 0.3]))
    assert nucleus(scaled, 0.5).tolist() == [1]
    assert nucleus(scaled, 0.51).tolist() == [1, 3]
    assert nucleus(scaled, 0.94).tolist() == [1, 2, 3]
    assert nucleus(scaled, 1e-6).tolist() == [1]
    drawn = {
        choose(scaled.astype(np.float32), MICRO, 79 * MICRO // 100, 3, at) for at in range(500)
    }
    assert drawn == {1, 3}
