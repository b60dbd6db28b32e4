"""Fees: op-geth's constants and Solidity's, FastLZ lengths."""

import json
from pathlib import Path

import pytest

from rollup.codec.fees import (
    bedrock_l1_fee,
    calldata_gas,
    da_footprint,
    da_size,
    ecotone_l1_fee,
    fjord_l1_fee,
    fjord_size,
    flz_length,
    operator_fee,
)

LENGTHS = json.loads((Path(__file__).parent / "op-stack" / "fastlz_lengths.json").read_text())
# op-geth core/types/rollup_cost_test.go: these bytes stand for its emptyTx, of 480 calldata gas.
EMPTY = b"\1" * 30
MILLION = 10**6


@pytest.mark.parametrize("case", LENGTHS["cases"], ids=lambda case: str(case["length"]))
def test_fastlz_lengths(case: dict[str, str]) -> None:
    """op-geth TestFlzCompressLen, solady's own expectations."""
    assert flz_length(bytes.fromhex(case["data"])) == case["length"]


def test_fees_of_op_geth() -> None:
    """bedrockFee, regolithFee, ecotoneFee, fjordFee of the same file."""
    base_fee, overhead, scalar = 1000 * MILLION, 50, 7 * MILLION
    post = (base_fee, 10 * MILLION, 2, 3)

    assert calldata_gas(EMPTY) == 480
    assert bedrock_l1_fee(EMPTY, base_fee, overhead, scalar, regolith=False) == 11326000000000
    assert bedrock_l1_fee(EMPTY, base_fee, overhead, scalar) == 3710000000000
    assert ecotone_l1_fee(EMPTY, *post) == 960900
    assert fjord_l1_fee(EMPTY, *post) == 3203000


def test_the_least_size_of_fjord() -> None:
    """op-geth TestFjordL1CostFuncMinimumBounds: below 171 compressed bytes all are 100."""
    assert [fjord_size(size) for size in (0, 100, 150, 170)] == [100 * MILLION] * 4
    assert [fjord_size(size) for size in (171, 175, 200)] == [100_455_900, 103_801_900, 124_714_400]


def test_parity_with_solidity() -> None:
    """op-geth TestFjordL1CostSolidityParity, through its estimated gas and its fee."""
    size = fjord_size(LENGTHS["fjord"]["fastlz"])

    assert size * 16 // MILLION == LENGTHS["fjord"]["estimated_gas"]
    assert (
        size * (2 * MILLION * 16 * 20 + 3 * MILLION * 15) // MILLION**2
        == (LENGTHS["fjord"]["l1_fee"])
    )


def test_operator_fee() -> None:
    """specs isthmus/exec-engine.md and jovian/exec-engine.md, with their greatest values."""
    assert operator_fee(21_000, 1_000_000, 500, jovian=False) == 21_500
    assert operator_fee(999_999, 1, 7, jovian=False) == 7
    assert operator_fee(21_000, 3, 500, jovian=True) == 6_300_500
    assert operator_fee(2**64 - 1, 2**32 - 1, 2**64 - 1, jovian=True).bit_length() == 103


def test_footprint() -> None:
    """specs jovian/exec-engine.md: deposits count nothing, the others by their estimate."""
    large = bytes(range(256)) * 8

    assert da_size(EMPTY) == 100
    assert da_size(large) == (836_500 * flz_length(large) - 42_585_600) // MILLION > 100
    assert da_footprint([b"\x7e" + large, EMPTY, large], 400) == (100 + da_size(large)) * 400
    assert da_footprint([], 400) == 0
