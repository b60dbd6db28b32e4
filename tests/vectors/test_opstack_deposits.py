"""Deposits as op-node, kona and viem see them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import Malformed
from rollup.codec.deposit import (
    TRANSACTION_DEPOSITED,
    DepositTransaction,
    alias,
    deposit_from_log,
    deposits,
    l1_info_source,
    unalias,
    upgrade_source,
    user_deposit_source,
)
from rollup.codec.refs import L1Block, L1BlockRef, L1Log

FOLDER = Path(__file__).parent / "op-stack"
PORTAL, OTHER = b"\x01" * 20, b"\x02" * 20
SENDER, TARGET = b"\x11" * 20, b"\x22" * 20
MINT, VALUE, GAS = 10, 100, 1000


def padded(address: bytes) -> bytes:
    return bytes(12) + address


def abi(opaque: bytes, size: int | None = None) -> bytes:
    """The event's data: offset, length, contents padded to a word."""
    length = len(opaque) if size is None else size
    head = (32).to_bytes(32, "big") + length.to_bytes(32, "big")
    return head + opaque + bytes(-len(opaque) % 32)


def opaque(creates: int, data: bytes = b"") -> bytes:
    amounts = MINT.to_bytes(32, "big") + VALUE.to_bytes(32, "big") + GAS.to_bytes(8, "big")
    return amounts + bytes([creates]) + data


TOPICS = (TRANSACTION_DEPOSITED, padded(SENDER), padded(TARGET), bytes(32))
LOG = L1Log(PORTAL, TOPICS, abi(opaque(0, b"hello")), 3)


def test_source_hashes_of_viem() -> None:
    """wevm/viem src/op-stack/utils/getSourceHash.test.ts (MIT)."""
    l1_hash = bytes.fromhex("9ba3933dc6ce43c145349770a39c30f9b647f17668f004bd2e05c80a2e7262f7")

    assert user_deposit_source(l1_hash, 196).hex() == (
        "d0868c8764d81f1749edb7dec4a550966963540d9fe50aefce8cdb38ea7b2213"
    )
    assert l1_info_source(l1_hash, 1).hex() == (
        "722c43232e2f9dc07ebc07a02a3056993a2ed1328a1c81377ea99d135af39536"
    )


def test_source_hashes_of_upgrades() -> None:
    """All intents of the forks so far."""
    pairs = json.loads((FOLDER / "upgrade_source_hashes.json").read_text())["pairs"]
    assert len(pairs) >= 20

    for pair in pairs:
        assert upgrade_source(pair["intent"]).hex() == pair["source_hash"], pair["intent"]


def test_a_real_log_becomes_the_transaction_of_the_l2() -> None:
    """wevm/viem src/op-stack/utils/getL2TransactionHash.test.ts (MIT), mainnet."""
    who = bytes.fromhex("1a1e021a302c237453d3d45c7b82b19ceeb7e2e6")
    l1_hash = bytes.fromhex("634c52556471c589f42db9131467e0c9484f5c73049e32d1a74e2a4ce0f91d57")
    call = bytes(63) + b"\x45" + bytes(6) + b"\x52\x08" + b"\0"
    log = L1Log(
        PORTAL, (TRANSACTION_DEPOSITED, padded(who), padded(who), bytes(32)), abi(call), 109
    )

    transaction = deposit_from_log(log, l1_hash)

    assert (transaction.value, transaction.gas, transaction.mint) == (69, 21000, 0)
    assert transaction.hash.hex() == (
        "0a60b983815ed475c5919609025204a479654d93afc610feca7d99ae0befc329"
    )


@pytest.mark.parametrize(
    ("sender", "to", "data", "expected"),
    [
        (
            b"\xff" * 20,
            b"\xbb" * 20,
            bytes(128),
            "7ef887a0ed428e1c45e1d9561b62834e1a2d3015a0caae3bfdc16b4da059ac885b01a145"
            "94ffffffffffffffffffffffffffffffffffffffff94bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
            "bbbbbbbbbb80808080b7" + "00" * 55,
        ),
        (
            SENDER,
            TARGET,
            opaque(1, bytes(55)),
            "7ef875a0ed428e1c45e1d9561b62834e1a2d3015a0caae3bfdc16b4da059ac885b01a145"
            "941111111111111111111111111111111111111111800a648203e880b7" + "00" * 55,
        ),
    ],
)
def test_logs_of_kona(sender: bytes, to: bytes, data: bytes, expected: str) -> None:
    """op-rs/kona crates/protocol/protocol/src/deposits.rs (MIT): empty and full."""
    topics = (TRANSACTION_DEPOSITED, padded(sender), padded(to), bytes(32))

    transaction = deposit_from_log(L1Log(PORTAL, topics, abi(data), 0), bytes(32))

    assert transaction.encode().hex() == expected
    assert DepositTransaction.decode(bytes.fromhex(expected)) == transaction


def test_a_transaction_of_viem() -> None:
    """wevm/viem src/op-stack/serializers.test.ts (MIT): every default."""
    encoded = (
        "7ef83ca018040f35752170c3339ddcd850f185c9cc46bdef4d6e1f2ab323f4d3d710431994"
        "977f82a600a1414e583f7f13623f1ac5d58b1c0b808080808080"
    )
    transaction = DepositTransaction.decode(bytes.fromhex(encoded))

    assert transaction == DepositTransaction(
        transaction.source_hash, transaction.sender, b"", 0, 0, 0, False, b""
    )
    assert transaction.encode().hex() == encoded


@pytest.mark.parametrize(
    "log",
    [
        replace(LOG, topics=(bytes(32), *TOPICS[1:])),
        replace(LOG, topics=TOPICS[:3]),
        replace(LOG, topics=(*TOPICS, bytes(32))),
        replace(LOG, topics=(*TOPICS[:3], (1).to_bytes(32, "big"))),
        replace(LOG, data=bytes(63)),
        replace(LOG, data=bytes(65)),
        replace(LOG, data=bytes(64)),
        replace(LOG, data=(33).to_bytes(32, "big") + LOG.data[32:]),
        replace(LOG, data=b"\1" + LOG.data[1:]),  # an offset that is 32 in its low 64 bits only
        replace(LOG, data=abi(opaque(0), 129)),
        replace(LOG, data=abi(opaque(0), 2**64 - 1)),
        replace(LOG, data=abi(opaque(0), 2**255)),
        replace(LOG, data=abi(opaque(0, bytes(55)), 96)),  # a word more than it needs
        replace(LOG, data=abi(opaque(0)[:72])),
    ],
    ids=range(14),
)
def test_logs_that_op_node_refuses(log: L1Log) -> None:
    """op-node/rollup/derive/deposit_log.go, error by error."""
    with pytest.raises(Malformed):
        deposit_from_log(log, bytes(32))


def test_what_op_node_does_not_look_at() -> None:
    """Upper bytes of addresses, the padding, and a creation flag other than one."""
    dirty = LOG.data[:-1] + b"\1"
    topics = (TOPICS[0], b"\xff" * 12 + SENDER, b"\xff" * 12 + TARGET, TOPICS[3])

    same = deposit_from_log(replace(LOG, data=dirty, topics=topics), bytes(32))

    assert same == deposit_from_log(LOG, bytes(32))
    assert same.data == b"hello"
    assert deposit_from_log(replace(LOG, data=abi(opaque(7))), bytes(32)).to == b""


def test_only_the_portals_own_events_count() -> None:
    """Other contracts and other events of the portal are passed over, not refused."""
    ref = L1BlockRef(b"\x33" * 32, 5, bytes(32), 7)
    logs = (
        replace(LOG, address=OTHER),
        replace(LOG, topics=(bytes(32),)),
        replace(LOG, topics=()),
        replace(LOG, index=9),
    )
    block = L1Block(ref, 0, 1, bytes(32), bytes(32), (), logs)

    assert deposits(block, PORTAL) == (deposit_from_log(logs[-1], ref.hash),)
    broken = replace(block, logs=(replace(LOG, data=b""),))
    with pytest.raises(Malformed):
        deposits(broken, PORTAL)


def test_aliases() -> None:
    """Contracts AddressAliasHelper.sol: an offset modulo 2**160."""
    assert alias(bytes(20)).hex() == "1111000000000000000000000000000000001111"
    assert alias(b"\xff" * 20).hex() == "1111000000000000000000000000000000001110"
    for address in (bytes(20), b"\xff" * 20, SENDER):
        assert unalias(alias(address)) == address
