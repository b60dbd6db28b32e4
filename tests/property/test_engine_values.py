"""The engine's formats: transactions from any bytes, hashes as other implementations form them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth.vm.forks.prague.blocks import PragueBlockHeader
from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_account import Account
from eth_bloom import BloomFilter
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Malformed, Refused
from rollup.codec import strict
from rollup.engine import logs
from rollup.engine.chain import Chain
from rollup.engine.errors import Failure
from rollup.engine.genesis import genesis, parse
from rollup.engine.kv import KeyValues
from rollup.engine.mempool import PER_SENDER_MAX, TRANSACTIONS_MAX, Mempool
from rollup.engine.transaction import Transaction, decode
from rollup.engine.values import (
    EMPTY_REQUESTS,
    EMPTY_TRIE,
    EMPTY_UNCLES,
    Header,
    Log,
    bloom,
    decode_block,
    encode_body,
)

CHAIN_ID = 31_337
KEY = Account.from_key("0x" + "5e" * 32)
TYPES = st.sampled_from([0, 1, 2])


def signed(kind: int, nonce: int, value: int, data: bytes, to: bytes | None) -> bytes:
    fields: dict[str, Any] = {"nonce": nonce, "gas": 10**7, "value": value, "data": data}
    if to is not None:
        fields["to"] = to
    if kind == 0:
        fields["gasPrice"] = 10**9
    elif kind == 1:
        keys = ["0x" + "02" * 32]
        fields |= {"type": 1, "gasPrice": 10**9}
        fields["accessList"] = [{"address": "0x" + "01" * 20, "storageKeys": keys}]
    else:
        fields |= {"type": 2, "maxFeePerGas": 10**9, "maxPriorityFeePerGas": 7}
    return bytes(KEY.sign_transaction({"chainId": CHAIN_ID, **fields}).raw_transaction)


SIGNED = st.builds(
    signed,
    TYPES,
    st.integers(0, 2**40),
    st.integers(0, 2**90),
    st.binary(max_size=200),
    st.none() | st.binary(min_size=20, max_size=20),
)


@settings(max_examples=60, deadline=None)
@given(SIGNED)
def test_our_decoder_agrees_with_py_evm(raw: bytes) -> None:
    """Sender, hash, fields and intrinsic gas, for each type that wallets sign."""
    ours, theirs = decode(raw, CHAIN_ID), PragueTransactionBuilder().decode(raw)

    assert ours.sender == theirs.sender == bytes.fromhex(KEY.address[2:])
    assert ours.hash == theirs.hash
    assert ours.intrinsic_gas == theirs.intrinsic_gas
    for name in ("nonce", "gas", "to", "value", "data", "max_fee_per_gas"):
        assert getattr(ours, name) == getattr(theirs, name)


@settings(max_examples=100, deadline=None)
@given(SIGNED, st.data())
def test_a_changed_byte_is_malformed_or_another_transaction(
    raw: bytes, data: st.DataObject
) -> None:
    """No mutation passes as the original, none raises anything but `Malformed`."""
    at = data.draw(st.integers(0, len(raw) - 1))
    bad = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]

    for candidate in (bad, raw[:at], raw + bad[at : at + 1]):
        try:
            other = decode(candidate, CHAIN_ID)
        except Malformed:
            continue
        assert other.raw == candidate
        assert other.hash != decode(raw, CHAIN_ID).hash


@given(st.binary(max_size=300))
def test_any_bytes_are_malformed(raw: bytes) -> None:
    """A random transaction has no valid signature."""
    with pytest.raises(Malformed):
        decode(raw, CHAIN_ID)


def test_another_chain_s_transaction_is_malformed() -> None:
    """Replay protection, for old and new types."""
    for kind in (0, 1, 2):
        with pytest.raises(Malformed, match="chain id"):
            decode(signed(kind, 0, 0, b"", bytes(20)), CHAIN_ID + 1)


HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, 2**63)


@settings(max_examples=50, deadline=None)
@given(
    HASHES,
    HASHES,
    HASHES,
    HASHES,
    st.binary(min_size=20, max_size=20),
    st.lists(NUMBERS, min_size=5, max_size=5),
)
def test_header_hashes_are_those_of_ethereum(
    parent: bytes, state: bytes, mix: bytes, root: bytes, coinbase: bytes, n: list[int]
) -> None:
    """The same fields in py-evm's Prague header give the same hash; and decoding inverts."""
    ours = Header(
        parent_hash=parent,
        uncles_hash=EMPTY_UNCLES,
        coinbase=coinbase,
        state_root=state,
        transactions_root=root,
        receipts_root=root,
        bloom=bytes(256),
        difficulty=0,
        number=n[0],
        gas_limit=n[1],
        gas_used=n[2],
        timestamp=n[3],
        extra_data=b"",
        mix_hash=mix,
        nonce=bytes(8),
        base_fee=n[4],
        withdrawals_root=EMPTY_TRIE,
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_block_root=bytes(32),
        requests_hash=EMPTY_REQUESTS,
    )
    theirs = PragueBlockHeader(
        difficulty=0,
        block_number=n[0],
        gas_limit=n[1],
        timestamp=n[3],
        coinbase=coinbase,
        parent_hash=parent,
        state_root=state,
        transaction_root=root,
        receipt_root=root,
        bloom=0,
        gas_used=n[2],
        extra_data=b"",
        mix_hash=mix,
        nonce=bytes(8),
        base_fee_per_gas=n[4],
        blob_gas_used=0,
        excess_blob_gas=0,
        parent_beacon_block_root=bytes(32),
    )

    assert ours.hash == theirs.hash
    assert Header.decode(ours.encode()) == ours


@given(st.lists(st.tuples(st.binary(min_size=20, max_size=20), st.lists(HASHES, max_size=4))))
def test_blooms_are_those_of_ethereum(entries: list[tuple[bytes, list[bytes]]]) -> None:
    """Against eth_bloom."""
    found = tuple(Log(address, tuple(topics), b"") for address, topics in entries)
    flat = [entry for address, topics in entries for entry in (address, *topics)]

    assert int.from_bytes(bloom(found), "big") == int(BloomFilter.from_iterable(flat))


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    store = KeyValues(tmp_path / "data")
    alloc = {KEY.address: 10**24}
    yield Chain(store, parse(genesis(CHAIN_ID, alloc, 1_000)))
    store.close()


def test_blocks_store_and_load(chain: Chain) -> None:
    """Transactions, senders, receipts and logs survive the disk; refused ones are named."""
    pool = Mempool()
    raws = [signed(2, n, 5, b"", b"\x99" * 20) for n in range(3)]
    for raw in raws:
        pool.add(decode(raw, CHAIN_ID), 0)
    built = chain.build(1_002, bytes(20), pool.picker(10**8))

    block = built.block
    assert decode_block(block.header.encode(), encode_body(block)) == block
    assert block.transactions == tuple(raws)
    assert built.nonces == {bytes.fromhex(KEY.address[2:]): 3}
    chain.adopt(block)
    with pytest.raises(Refused, match="not after"):
        chain.build(1_002, bytes(20), pool.picker(10**8))


def test_a_block_its_state_and_the_head_are_one_batch(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the moment of death, the disk holds all of a block or nothing of it."""
    batches: list[dict[bytes, bytes | None]] = []
    store = chain.store
    monkeypatch.setattr(store, "write", lambda puts: batches.append(dict(puts)))
    pool = Mempool()
    pool.add(decode(signed(2, 0, 5, b"", b"\x99" * 20), CHAIN_ID), 0)

    built = chain.build(1_002, bytes(20), pool.picker(10**8))

    (batch,) = batches
    number = built.block.number.to_bytes(8, "big")
    assert batch[b"heads"] == built.block.hash * 3
    assert batch[b"s" + built.block.header.state_root] is not None
    assert batch[b"n" + number] == built.block.hash
    assert batch[b"h" + built.block.hash] == built.block.header.encode()
    assert batch[b"t" + keccak(built.block.transactions[0])] is not None


def test_a_log_search_over_the_bound_is_refused(chain: Chain) -> None:
    """Before it reads anything."""
    with pytest.raises(Failure, match="over the limit"):
        logs.search(chain, logs.read_filter({}), 0, logs.RANGE_BLOCKS_MAX)
    assert logs.search(chain, logs.read_filter({}), 5, 4) == []


ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(1, 20), st.integers(1, 20)),
    max_size=60,
)


def waiting(sender: int, nonce: int, fee: int, tip: int) -> Transaction:
    name = bytes([sender, nonce, fee, tip])
    return Transaction(
        raw=name,
        hash=name,
        type_id=2,
        sender=bytes([sender]) * 20,
        nonce=nonce,
        max_priority_fee_per_gas=min(tip, fee),
        max_fee_per_gas=fee,
        gas=21_000,
        to=bytes(20),
        value=0,
        data=b"",
    )


@settings(deadline=None)
@given(ENTRIES, st.integers(1, 10))
def test_the_pool_hands_out_each_sender_in_the_order_of_nonces(
    entries: list[tuple[int, int, int, int]], base_fee: int
) -> None:
    """One transaction per nonce, dearer than the one it replaced, best tip first among fronts."""
    pool, best = Mempool(), dict[tuple[int, int], int]()
    for sender, nonce, fee, tip in entries:
        try:
            pool.add(waiting(sender, nonce, fee, tip), 0)
        except Refused:
            continue
        assert fee * 10 >= best.get((sender, nonce), 0) * 11
        best[sender, nonce] = fee

    picked: list[Transaction] = []
    picker = pool.picker(base_fee)
    while (transaction := picker.peek()) is not None:
        picked.append(transaction)
        picker.advance()

    assert len(pool) == len(best)
    assert all(tx.max_fee_per_gas >= base_fee for tx in picked)
    for sender in range(4):
        nonces = [tx.nonce for tx in picked if tx.sender[0] == sender]
        assert nonces == sorted(set(nonces))
    if picked:
        fronts = [min(n for s, n in best if s == sender) for sender in {s for s, _ in best}]
        assert picked[0].nonce in fronts


def test_the_pool_is_bounded() -> None:
    """By sender, by distance of the nonce, and in all; a better payer moves the cheapest tail."""
    pool = Mempool()
    for nonce in range(PER_SENDER_MAX):
        pool.add(waiting(1, nonce, 10, 1), 0)
    with pytest.raises(Refused, match="full for this sender"):
        pool.add(waiting(1, 128, 10, 1), 0)
    with pytest.raises(Refused, match="too far ahead"):
        pool.add(waiting(2, 129, 10, 1), 0)
    full = Mempool()
    for sender in range(TRANSACTIONS_MAX // PER_SENDER_MAX):
        for nonce in range(PER_SENDER_MAX):
            full.add(waiting(sender, nonce, 10 + (sender > 0), 5 + (sender > 0)), 0)

    with pytest.raises(Refused, match="txpool is full"):
        full.add(waiting(200, 0, 10, 5), 0)
    full.add(waiting(200, 0, 20, 20), 0)

    assert len(full) == TRANSACTIONS_MAX
    assert full.get(bytes([0, PER_SENDER_MAX - 1, 10, 5])) is None
    assert full.get(bytes([0, PER_SENDER_MAX - 2, 10, 5])) is not None


@pytest.mark.parametrize("wrong", [b"", b"\x01", [b""], [[b"\x01" * 20, b""]], [[b"\x01" * 20]]])
def test_an_access_list_is_a_list_of_pairs(wrong: Any) -> None:
    """An empty string is no empty list, although it encodes nothing as well."""
    raw = signed(2, 0, 0, b"", b"\x07" * 20)
    fields = strict.as_list(strict.decode(raw[1:]))
    assert decode(raw[:1] + strict.encode(fields), CHAIN_ID).access_list == ()
    fields[8] = wrong

    with pytest.raises(Malformed, match="malformed access list"):
        decode(raw[:1] + strict.encode(fields), CHAIN_ID)
