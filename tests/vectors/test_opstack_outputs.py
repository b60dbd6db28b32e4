"""Output roots, withdrawals and trie proofs of real chains and of the portal's own tests."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.codec import strict
from rollup.codec.output import (
    MESSAGE_PASSED,
    Output,
    Withdrawal,
    WithdrawalProof,
    output_root,
    versioned_nonce,
    withdrawal_from_log,
)
from rollup.codec.refs import L1Log
from rollup.codec.trie import spelled_out, verify_path, verify_proof

FOLDER = Path(__file__).parent / "op-stack"
REAL = json.loads((FOLDER / "withdrawals.json").read_text())
PROOFS = json.loads((FOLDER / "merkle_proofs.json").read_text())["cases"]
OUTPUTS = json.loads((FOLDER / "output_root.json").read_text())["cases"]


def hexed(value: str) -> bytes:
    return bytes.fromhex(value.removeprefix("0x"))


def proof_of(case: dict[str, Any]) -> WithdrawalProof:
    message, output = case["withdrawal"], case["output"]
    withdrawal = Withdrawal(
        int(message["nonce"]),
        hexed(message["sender"]),
        hexed(message["target"]),
        int(message["value"]),
        int(message["gasLimit"]),
        hexed(message["data"]),
    )
    parts = ("stateRoot", "messagePasserStorageRoot", "latestBlockhash")
    nodes = tuple([hexed(node) for node in case["proof"]])
    return WithdrawalProof(withdrawal, Output(*[hexed(output[part]) for part in parts]), nodes)


WITHDRAWALS = [proof_of(case) for case in REAL["withdrawals"]]


def test_output_roots() -> None:
    """op-rs/kona output_root.rs (MIT); the preimage reads back."""
    assert OUTPUTS
    for case in OUTPUTS:
        parts = [
            hexed(case[name])
            for name in ("state_root", "message_passer_storage_root", "block_hash")
        ]
        output = Output(*parts)

        assert output_root(*parts) == output.root == hexed(case["output_root"])
        assert Output.decode(output.encode()) == output
        with pytest.raises(Malformed):
            Output.decode(b"\1" + output.encode()[1:])


@pytest.mark.parametrize("case", REAL["withdrawals"], ids=lambda c: c["withdrawal"]["value"])
def test_real_withdrawals(case: dict[str, Any]) -> None:
    """OP Mainnet: the hash is the event's, the proof holds against the output."""
    proof = proof_of(case)

    assert proof.withdrawal.hash == hexed(case["withdrawal"]["withdrawalHash"])
    assert proof.withdrawal.version == 1
    proof.check(proof.output.root)


@pytest.mark.parametrize("proof", WITHDRAWALS, ids=["large", "small"])
def test_a_forged_withdrawal_is_malformed(proof: WithdrawalProof) -> None:
    """Each field of the message, each part of the output, each node."""
    message, output, root = proof.withdrawal, proof.output, proof.output.root
    forged = [
        replace(message, nonce=message.nonce + 1),
        replace(message, sender=b"\1" * 20),
        replace(message, target=b"\1" * 20),
        replace(message, value=message.value + 1),
        replace(message, gas_limit=message.gas_limit + 1),
        replace(message, data=message.data + b"\0"),
    ]
    bad = [replace(proof, withdrawal=each) for each in forged]
    bad += [replace(proof, nodes=proof.nodes[:-1]), replace(proof, nodes=())]
    bad += [replace(proof, nodes=(*proof.nodes, proof.nodes[-1]))]
    bad += [replace(proof, nodes=proof.nodes[::-1])]
    bad += [replace(proof, output=replace(output, block_hash=bytes(32)))]

    for each in bad:
        with pytest.raises(Malformed):
            each.check(root)
    with pytest.raises(Malformed):
        proof.check(bytes(32))


def test_the_event_of_a_real_withdrawal() -> None:
    """OP Sepolia, wevm/viem extractWithdrawalMessageLogs.test.ts (MIT)."""
    for case in REAL["logs"]:
        log = L1Log(bytes(20), tuple([hexed(t) for t in case["topics"]]), hexed(case["data"]), 0)

        withdrawal = withdrawal_from_log(log)

        assert withdrawal.hash == hexed(case["hash"])
        assert (withdrawal.value, withdrawal.gas_limit, withdrawal.data) == (69, 21000, b"")
        assert withdrawal.nonce == versioned_nonce(0xB5)
        bad = [
            replace(log, topics=log.topics[:3]),
            replace(log, topics=(bytes(32), *log.topics[1:])),
            replace(log, topics=(log.topics[0], bytes(32), *log.topics[2:])),
            replace(log, topics=(*log.topics[:2], b"\1" * 32, log.topics[3])),
            replace(log, data=log.data + bytes(32)),
            replace(log, data=log.data[:-32]),
            replace(log, data=bytes(31) + b"\1" + log.data[32:]),
            replace(log, data=log.data[:-32] + b"\xff" * 32),
        ]
        for each in bad:
            with pytest.raises(Malformed):
                withdrawal_from_log(each)


def test_dirty_padding_of_an_event_is_malformed() -> None:
    """One withdrawal has one event."""
    message = replace(WITHDRAWALS[0].withdrawal, data=b"\1\2\3")
    numbers = (message.value, message.gas_limit, 128)
    head = b"".join([number.to_bytes(32, "big") for number in numbers]) + message.hash
    body = head + (3).to_bytes(32, "big") + message.data + bytes(29)
    nonce = message.nonce.to_bytes(32, "big")
    topics = (MESSAGE_PASSED, nonce, bytes(12) + message.sender, bytes(12) + message.target)

    assert withdrawal_from_log(L1Log(bytes(20), topics, body, 0)) == message
    with pytest.raises(Malformed):
        withdrawal_from_log(L1Log(bytes(20), topics, body[:-1] + b"\1", 0))


def test_another_value_than_true_is_no_withdrawal() -> None:
    """The slot must hold one, not merely something."""
    message = WITHDRAWALS[0].withdrawal
    for stored, is_sent in ((b"\1", True), (b"\2", False)):
        leaf = strict.encode([b"\x20" + keccak(message.slot), stored])
        output = Output(bytes(32), keccak(leaf), bytes(32))
        proof = WithdrawalProof(message, output, (leaf,))

        if is_sent:
            proof.check(output.root)
        else:
            with pytest.raises(Malformed):
                proof.check(output.root)


def test_where_a_withdrawal_is_stored() -> None:
    """wevm/viem getWithdrawalHashStorageSlot.test.ts (MIT): keccak(hash ++ 0)."""
    for case in REAL["slots"]:
        assert keccak(hexed(case["hash"]) + bytes(32)) == hexed(case["slot"])
    assert WITHDRAWALS[0].withdrawal.slot == keccak(WITHDRAWALS[0].withdrawal.hash + bytes(32))


@pytest.mark.parametrize("case", PROOFS, ids=lambda case: case["name"])
def test_proofs_of_the_portals_own_tests(case: dict[str, Any]) -> None:
    """MerkleTrie.t.sol: what it accepts we accept; what it refuses proves no value here either."""
    root, key = hexed(case["root"]), hexed(case["key"])
    nodes = [hexed(node) for node in case["proof"]]

    if case["value"] is not None:
        assert verify_path(root, key, nodes) == hexed(case["value"])
        return
    with suppress(Malformed):
        assert verify_path(root, key, nodes) is None  # an honest proof that nothing is there


@pytest.mark.parametrize("case", REAL["storage_proofs"], ids=["short", "long"])
def test_short_nodes_are_spelled_out(case: dict[str, Any]) -> None:
    """opBNB, wevm/viem maybeAddProofNode: MerkleTrie.sol wants a node within its parent listed."""
    key, nodes = hexed(case["slot"]), [hexed(node) for node in case["proof"]]
    added = [hexed(node) for node in case["added"]]
    root = keccak(nodes[0])

    listed = spelled_out(root, key, nodes)

    assert list(listed) == nodes + added
    assert verify_proof(root, key, nodes) == verify_proof(root, key, listed) == b"\1"
