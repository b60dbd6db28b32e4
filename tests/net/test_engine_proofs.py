"""eth_getProof: what it says is proven by the state root, as two other verifiers see it."""

from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_hash.auto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from rollup.codec.trie import verify_proof
from rollup.engine import proofs
from rollup.engine.chain import Chain
from rollup.engine.errors import Failure
from rollup.engine.genesis import genesis, parse
from rollup.engine.kv import KeyValues
from tests.net.engine_process import CHAIN_ID, RICH, START
from tests.net.engine_served import Served, served

# CALLDATALOAD(0) is stored at slot CALLDATALOAD(32)
STORES = bytes.fromhex("5f3560203555")
INITCODE = bytes([0x65]) + STORES + bytes.fromhex("5f526006601af3")
# Slots whose hashes share their first 8 digits: their leaves are so short that they stand inside of
# the branch above them, and are no elements of a proof.
NEAR = (40_364, 105_566)
ABSENT = "0x" + "77" * 20


def raw(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def proven(root: bytes, key: bytes, nodes: list[str]) -> bytes | None:
    """What the nodes prove about `key`; our verifier and py-trie agree."""
    ours = verify_proof(root, key, [raw(node) for node in nodes])
    theirs = HexaryTrie.get_from_proof(root, keccak(key), [rlp.decode(raw(n)) for n in nodes])
    assert (ours or b"") == theirs
    return ours


def check(proof: dict[str, Any], state_root: bytes) -> None:
    account = proven(state_root, raw(proof["address"]), proof["accountProof"])
    nonce, balance = int(proof["nonce"], 16), int(proof["balance"], 16)
    storage_root, code_hash = raw(proof["storageHash"]), raw(proof["codeHash"])
    if account is None:
        assert (nonce, balance, code_hash) == (0, 0, keccak(b""))
    else:
        assert account == rlp.encode([nonce, balance, storage_root, code_hash])
    for each in proof["storageProof"]:
        slot, value = int(each["key"], 16).to_bytes(32, "big"), int(each["value"], 16)
        if storage_root == keccak(b"\x80"):
            assert (each["proof"], value) == ([], 0)
        else:
            found = proven(storage_root, slot, each["proof"])
            assert found == (rlp.encode(value) if value else None)


async def stored(one: Served) -> str:
    sent = await one.send(0, data=INITCODE)
    await one.build()
    made = str((await one.call("eth_getTransactionReceipt", sent))["contractAddress"])
    for n in range(1, 40):
        word = n.to_bytes(32, "big")
        await one.send(n, to=made, data=word + word, gas=100_000)
    await one.build()
    return made


async def test_accounts_and_slots_are_proven_present_or_absent(tmp_path: Path) -> None:
    """At the head and in the past; keys as quantities and as words; code, balances, nonces."""
    async with served(tmp_path) as one:
        made = await stored(one)
        head = await one.call("eth_getBlockByNumber", "latest", False)
        first = await one.call("eth_getBlockByNumber", "0x0", False)
        keys = ["0x1", "0x" + "00" * 31 + "27", "0x28", "0x" + "ff" * 32, "0x0"]

        proof = await one.call("eth_getProof", made, keys, "latest")
        check(proof, raw(head["stateRoot"]))
        assert [s["value"] for s in proof["storageProof"]] == ["0x1", "0x27", "0x0", "0x0", "0x0"]
        assert [s["key"] for s in proof["storageProof"]] == ["0x1", keys[1], "0x28", keys[3], "0x0"]
        assert raw(proof["codeHash"]) == keccak(STORES)
        for address, tag, block in (
            (RICH.address, "latest", head),
            (RICH.address, {"blockHash": first["hash"]}, first),
            (ABSENT, "latest", head),
            (made, "0x0", first),
        ):
            other = await one.call("eth_getProof", address, ["0x1"], tag)
            check(other, raw(block["stateRoot"]))
        assert (await one.call("eth_getProof", made, [], "0x0"))["codeHash"] == "0x" + (
            keccak(b"").hex()
        )


async def test_a_changed_answer_is_not_proven(tmp_path: Path) -> None:
    """The checker above would notice: each field in turn is changed by one."""
    async with served(tmp_path) as one:
        made = await stored(one)
        root = raw((await one.call("eth_getBlockByNumber", "latest", False))["stateRoot"])
        proof = await one.call("eth_getProof", made, ["0x1", "0x28"], "latest")

    check(proof, root)
    for field in ("nonce", "balance"):
        with pytest.raises(AssertionError):
            check(proof | {field: hex(int(proof[field], 16) + 1)}, root)
    for place in (0, 1):
        changed = [dict(each) for each in proof["storageProof"]]
        changed[place]["value"] = hex(int(changed[place]["value"], 16) + 1)
        with pytest.raises(AssertionError):
            check(proof | {"storageProof": changed}, root)


async def test_what_is_asked_is_bounded(tmp_path: Path) -> None:
    async with served(tmp_path) as one:
        for keys in ("0x0", [7.5], [None], ["0x" + "00" * 33], ["0x0"] * (proofs.SLOTS_MAX + 1)):
            with pytest.raises(Failure, match="invalid argument"):
                await one.call("eth_getProof", ABSENT, keys, "latest")


def test_short_nodes_stand_inside_their_parents(tmp_path: Path) -> None:
    """As geth gives proofs; elements that hash to nothing on the path would be refused."""
    store = KeyValues(tmp_path)
    holder = b"\x33" * 20
    alloc: dict[Any, Any] = {holder: {"balance": 1, "storage": dict.fromkeys(NEAR, 7)}}
    try:
        chain = Chain(store, parse(genesis(CHAIN_ID, alloc, START)))
        root = chain.head.header.state_root
        proof = proofs.prove(chain.trie_nodes, root, holder, [hex(slot) for slot in NEAR])
    finally:
        store.close()

    check(proof, root)
    assert [len(each["proof"]) for each in proof["storageProof"]] == [2, 2]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.binary(min_size=20, max_size=20), st.integers(0, 2**90), max_size=30),
    st.dictionaries(st.integers(0, 2**256 - 1), st.integers(1, 2**256 - 1), max_size=30),
    st.lists(st.integers(0, 2**256 - 1), max_size=3),
)
def test_any_state_proves_all_of_itself(
    tmp_path_factory: pytest.TempPathFactory,
    accounts: dict[bytes, int],
    slots: dict[int, int],
    others: list[int],
) -> None:
    """Small tries too, whose nodes stand inside one another."""
    store = KeyValues(tmp_path_factory.mktemp("state"))
    holder = b"\x33" * 20
    alloc: dict[Any, Any] = {**accounts, holder: {"balance": 1, "storage": slots}}
    try:
        chain = Chain(store, parse(genesis(CHAIN_ID, alloc, START)))
        root = chain.head.header.state_root
        keys = [hex(slot) for slot in [*slots, *others]]
        for address in (*accounts, holder, b"\x44" * 20):
            check(proofs.prove(chain.trie_nodes, root, address, keys), root)
    finally:
        store.close()
