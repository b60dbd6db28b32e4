"""Headers of real blocks, and op-geth's tables for base fee and extraData."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import Malformed
from rollup.codec.config import RollupConfig
from rollup.codec.header import (
    Header,
    decode_extra,
    encode_holocene_extra,
    encode_jovian_extra,
    next_base_fee,
)

BLOCKS = sorted((Path(__file__).parent / "op-stack" / "blocks").glob("*.json.gz"))
FIXTURES = [json.loads(gzip.decompress(path.read_bytes()))["fixture"] for path in BLOCKS]
HEADER = Header.from_json(FIXTURES[0]["parent_header"])
INITIAL = 10**9
CANYON, HOLOCENE, JOVIAN = 10, 12, 14


class Forks:
    """op-geth's opConfig and jovianConfig (consensus/misc/eip1559/eip1559_test.go)."""

    def is_active(self, fork: str, time: int) -> bool:
        return time >= {"canyon": CANYON, "holocene": HOLOCENE, "jovian": JOVIAN}[fork]

    def eip1559(self, time: int) -> tuple[int, int]:
        return 250 if self.is_active("canyon", time) else 50, 6


def parent(time: int, gas_limit: int, gas_used: int, base_fee: int, extra: bytes = b"") -> Header:
    return replace(
        HEADER,
        timestamp=time,
        gas_limit=gas_limit,
        gas_used=gas_used,
        base_fee=base_fee,
        extra_data=extra,
        blob_gas_used=0,
    )


def test_a_real_header_has_its_real_hash() -> None:
    """Block 26207960 is the parent in the vector of 26207961."""
    by_name = dict(zip([path.name for path in BLOCKS], FIXTURES, strict=True))
    block, child = by_name["block-26207960.json.gz"], by_name["block-26207961.json.gz"]

    header = Header.from_json(child["parent_header"])

    assert "0x" + header.hash.hex() == block["expected_block_hash"]
    assert Header.decode(header.encode()) == header
    assert Header.from_json(header.to_json()) == header
    assert (
        next_base_fee(
            Header.from_json(block["parent_header"]),
            RollupConfig.parse(block["rollup_config"]),
            header.timestamp,
        )
        == header.base_fee
    )


def test_a_claimed_hash_must_be_the_headers() -> None:
    """JSON that says another is `Malformed`; JSON that says none is taken."""
    value = HEADER.to_json()

    assert Header.from_json({k: v for k, v in value.items() if k != "hash"}) == HEADER
    for change in (
        {"hash": "0x" + "11" * 32},
        {"number": "0x1"},
        {"number": 1},
        {"miner": "0x"},
        {"nonce": None},
        {"stateRoot": None},
        {"gasLimit": "0x01"},
        {"baseFeePerGas": None},  # a gap before withdrawalsRoot
    ):
        with pytest.raises(Malformed):
            Header.from_json({**value, **change})


@pytest.mark.parametrize(
    ("time", "gas_used", "expected"),
    [
        (6, 5_000_000, INITIAL),
        (6, 4_000_000, 996_000_000),
        (6, 10_000_000, 1_020_000_000),
        (8, 5_000_000, INITIAL),
        (8, 4_000_000, 999_200_000),
        (8, 10_000_000, 1_004_000_000),
        (10, 4_000_000, 999_200_000),  # the first block of Holocene goes by its parent
        (10, 10_000_000, 1_004_000_000),
    ],
)
def test_base_fee_before_holocene(time: int, gas_used: int, expected: int) -> None:
    """op-geth TestCalcBaseFeeOptimism: Canyon changes the denominator for the new block."""
    assert next_base_fee(parent(time, 30_000_000, gas_used, INITIAL), Forks(), time + 2) == expected


@pytest.mark.parametrize(
    ("gas_used", "expected", "denominator", "elasticity"),
    [
        (15_000_000, 10_000_000, 10, 2),
        (10_000_000, 9_666_667, 10, 2),
        (20_000_000, 10_333_333, 10, 2),
        (3_000_000, 10_000_000, 2, 10),
        (1_000_000, 6_666_667, 2, 10),
        (30_000_000, 55_000_000, 2, 10),
    ],
)
def test_base_fee_of_holocene(
    gas_used: int, expected: int, denominator: int, elasticity: int
) -> None:
    """op-geth TestCalcBaseFeeOptimismHolocene: the parent's extraData decides."""
    extra = encode_holocene_extra(denominator, elasticity)

    header = parent(HOLOCENE, 30_000_000, gas_used, 10_000_000, extra)

    assert next_base_fee(header, Forks(), HOLOCENE + 2) == expected


HOLOCENE_EXTRA = encode_holocene_extra(50, 3)
FLOORED_EXTRA = encode_jovian_extra(50, 3, 10**9)


@pytest.mark.parametrize(
    ("time", "base_fee", "gas_used", "extra", "expected"),
    [
        (HOLOCENE, 1, 9_000_000, HOLOCENE_EXTRA, 1),
        (JOVIAN, 1, 10_000_000, FLOORED_EXTRA, 10**9),
        (JOVIAN, 1, 11_000_000, FLOORED_EXTRA, 10**9),
        (JOVIAN, 2 * 10**9, 20_000_000, FLOORED_EXTRA, 2_040_000_000),
        (JOVIAN, 10**9, 9_000_000, FLOORED_EXTRA, 10**9),
        (JOVIAN, 2 * 10**9, 9_000_000, FLOORED_EXTRA, 1_996_000_000),
        (JOVIAN, 10**9, 9_000_000, encode_jovian_extra(50, 3, 0), 998_000_000),
        (JOVIAN, 1, 9_000_000, HOLOCENE_EXTRA, 1),
    ],
)
def test_base_fee_of_jovian(
    time: int, base_fee: int, gas_used: int, extra: bytes, expected: int
) -> None:
    """op-geth TestCalcBaseFeeJovian: the parent's floor."""
    header = parent(time, 30_000_000, gas_used, base_fee, extra)

    assert next_base_fee(header, Forks(), time + 2) == expected


def test_the_footprint_counts_as_gas() -> None:
    """specs jovian/exec-engine.md: gasMetered is the greater of the two, not before Jovian."""
    floorless = encode_jovian_extra(50, 3, 0)
    header = parent(JOVIAN, 30_000_000, 5_000_000, 2 * 10**9, floorless)
    heavy = replace(header, blob_gas_used=20_000_000)
    early = replace(heavy, timestamp=HOLOCENE, extra_data=HOLOCENE_EXTRA)

    assert next_base_fee(heavy, Forks(), 16) == 2_040_000_000
    assert next_base_fee(header, Forks(), 16) == 1_980_000_000
    assert (
        next_base_fee(
            replace(
                header,
                blob_gas_used=None,
                excess_blob_gas=None,
                parent_beacon_block_root=None,
                requests_hash=None,
            ),
            Forks(),
            16,
        )
        == 1_980_000_000
    )
    assert next_base_fee(early, Forks(), 14) == 1_980_000_000


def test_a_parent_without_base_fee() -> None:
    """EIP-1559's first block."""
    header = Header(*[getattr(HEADER, name) for name in Header.__match_args__[:15]])

    assert next_base_fee(header, Forks(), 16) == INITIAL


@pytest.mark.parametrize(
    "extra",
    [
        b"",
        encode_holocene_extra(0, 0),
        encode_holocene_extra(250, 0),
        encode_jovian_extra(250, 6, 1),
    ],
)
def test_a_parent_that_allows_no_base_fee(extra: bytes) -> None:
    """Division by zero, and extraData of another fork, are `Malformed`."""
    with pytest.raises(Malformed):
        next_base_fee(parent(HOLOCENE, 30_000_000, 1, 1, extra), Forks(), 14)
    with pytest.raises(Malformed):
        next_base_fee(parent(HOLOCENE, 5, 1, 1, encode_holocene_extra(1, 6)), Forks(), 14)


def test_extra_data() -> None:
    """op-geth TestMinBaseFeeExtraData, TestValidateMinBaseFeeExtraData."""
    assert encode_jovian_extra(250, 6, 10**9).hex() == "01000000fa00000006000000003b9aca00"
    assert encode_holocene_extra(250, 6).hex() == "00000000fa00000006"
    assert decode_extra(bytes.fromhex("01000000fa00000006000000003b9aca00")) == (250, 6, 10**9)
    assert decode_extra(bytes.fromhex("00000000fa00000006")) == (250, 6, None)
    assert decode_extra(encode_jovian_extra(0, 0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    "extra",
    [
        "",
        "01000000fa00000006",
        "00000000fa000000060000000000000000",
        "01000000fa00000006000000003b9aca0000",
        "01000000fa00000006000000003b9aca",
        "0000000000" + "00000006",
        "0100000000" + "00000006" + "000000003b9aca00",
        "02000000fa00000006",
    ],
)
def test_extra_data_that_is_refused(extra: str) -> None:
    """Another length, another version, a zero denominator alone."""
    with pytest.raises(Malformed):
        decode_extra(bytes.fromhex(extra))
