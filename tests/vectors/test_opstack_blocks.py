"""Real blocks of OP Sepolia, executed from their witness alone, hash for hash."""

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import Malformed, Refused
from rollup.engine.witness import execute_payload

FOLDER = Path(__file__).parent / "op-stack" / "blocks"
BLOCKS = sorted(FOLDER.glob("*.json.gz"))


def vector(path: Path) -> tuple[dict[str, Any], dict[bytes, bytes]]:
    value = json.loads(gzip.decompress(path.read_bytes()))
    preimages = {bytes.fromhex(k): bytes.fromhex(v) for k, v in value["preimages"].items()}
    return value["fixture"], preimages


def execute(fixture: dict[str, Any], preimages: dict[bytes, bytes]) -> str:
    block = execute_payload(
        fixture["parent_header"], fixture["executing_payload"], fixture["rollup_config"], preimages
    )
    return "0x" + block.hash.hex()


def test_there_are_vectors() -> None:
    """An empty folder must not look like success."""
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("path", BLOCKS, ids=lambda path: path.name.split(".")[0])
def test_a_real_block_has_its_real_hash(path: Path) -> None:
    """State root, receipts, bloom, base fee, gas: all of it is in the hash."""
    fixture, preimages = vector(path)

    assert execute(fixture, preimages) == fixture["expected_block_hash"]


def test_a_changed_block_has_another_hash_or_none() -> None:
    """Each attribute counts: left out, put off, or given to somebody else."""
    fixture, preimages = vector(BLOCKS[0])
    payload = fixture["executing_payload"]
    changes: list[dict[str, Any]] = [
        {"transactions": payload["transactions"][:-1]},
        {"timestamp": hex(int(payload["timestamp"], 16) + 1)},
        {"gasLimit": hex(int(payload["gasLimit"], 16) + 1)},
        {"suggestedFeeRecipient": "0x" + "42" * 20},
        {"prevRandao": "0x" + "11" * 32},
        {"parentBeaconBlockRoot": "0x" + "11" * 32},
        {"eip1559Params": "0x0000000100000001"},
    ]
    for change in changes:
        changed = {**fixture, "executing_payload": {**payload, **change}}
        with suppress(Malformed):  # it wants a node that the real block did not
            assert execute(changed, preimages) != fixture["expected_block_hash"], change


def test_a_witness_with_a_hole_or_a_lie_is_malformed() -> None:
    """A missing node is not an empty account, and a wrong one is not believed."""
    fixture, preimages = vector(BLOCKS[0])
    root = bytes.fromhex(fixture["parent_header"]["stateRoot"][2:])

    with pytest.raises(Malformed, match="witness"):
        execute(fixture, {k: v for k, v in preimages.items() if k != root})
    with pytest.raises(Malformed, match="preimage"):
        execute(fixture, {**preimages, root: preimages[root] + b"\0"})


def test_a_transaction_twice_makes_no_block() -> None:
    """Its nonce is used up."""
    fixture, preimages = vector(BLOCKS[0])
    payload = fixture["executing_payload"]
    twice = {**payload, "transactions": [*payload["transactions"], payload["transactions"][-1]]}

    with pytest.raises(Refused, match="nonce too low"):
        execute({**fixture, "executing_payload": twice}, preimages)
