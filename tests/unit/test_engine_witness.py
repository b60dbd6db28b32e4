"""Witnesses: enough to execute again, nothing in them is believed, no byte too many."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from protocol.errors import Malformed
from rollup.codec.header import Header
from rollup.codec.payload import PayloadAttributes
from rollup.engine.collecting import (
    collect_block,
    collect_transaction,
    collect_transaction_witness,
    collect_witness,
)
from rollup.engine.rules import Rules
from rollup.engine.witness import (
    BlockStep,
    Preimages,
    reexecute,
    reexecute_transaction,
)
from tests.unit.optimism_world import CHAIN_ID, Node, deposit, node, signed

VECTOR = Path(__file__).parents[1] / "vectors/op-stack/blocks/block-26207960.json.gz"
PAYEE = b"\x99" * 20
ASKS = b"\xcc" * 20
CODE = "0x60024303405f55" + "00"  # BLOCKHASH(NUMBER - 2) into slot 0


async def world(folder: Node) -> None:
    """Blocks with a payment, a creation, a revert, a deposit, and a question for an ancestor."""
    await folder.extend()
    await folder.extend()
    folder.pooled(
        signed(0),
        signed(1, to=None, data=b"\x60\x01\x5f\x55\x5f\x5f\xf3", gas=100_000),
        signed(2, to=None, data=b"\x60\x01\x5f\x55\x5f\x5f\xfd", gas=100_000),
        signed(3, to=ASKS, gas=100_000),
    )
    raws = [deposit(3), deposit(4, sender=b"\x44" * 20, to=b"\x45" * 20, mint=9, value=3)]
    await folder.extend(transactions=["0x" + raw.hex() for raw in raws])


ACCOUNTS = {"0x" + ASKS.hex(): {"balance": "0x0", "code": CODE}}


@pytest.mark.parametrize("fork", ["holocene", "isthmus"])
async def test_a_block_is_executed_again_from_its_witness(tmp_path: Path, fork: str) -> None:
    with node(tmp_path / "data", fork, **ACCOUNTS) as engine:
        await world(engine)
        block = engine.chain.head

        step, witness = collect_witness(engine.chain, block)

        again = reexecute(step, engine.chain.rules, witness)
        assert again == block
        assert len(block.transactions) == 6


async def test_every_transaction_is_a_step_from_root_to_root(tmp_path: Path) -> None:
    """From the parent's state over the system calls to the block's own root, receipt by receipt."""
    with node(tmp_path / "data", **ACCOUNTS) as engine:
        await world(engine)
        block, rules = engine.chain.head, engine.chain.rules
        parent = engine.chain.blocks.header(block.number - 1)
        assert parent is not None
        root, gas = parent.state_root, 0
        for index in range(-1, len(block.transactions)):
            step, witness = collect_transaction_witness(engine.chain, block, index)
            result = reexecute_transaction(step, rules, witness)

            assert (step.root, step.gas_used) == (root, gas)
            expected = None if index < 0 else block.receipts[index]
            assert result.receipt == expected
            root, gas = result.root, result.gas_used
        assert root == block.header.state_root
        assert gas == block.header.gas_used


async def test_nothing_in_a_witness_is_superfluous_or_believed(tmp_path: Path) -> None:
    """Without any one preimage it is told that something is missing; a changed one is refused."""
    with node(tmp_path / "data", **ACCOUNTS) as engine:
        await world(engine)
        rules = engine.chain.rules
        step, witness = collect_witness(engine.chain, engine.chain.head)
        small, part = collect_transaction_witness(engine.chain, engine.chain.head, 2)
        parent = step.parent.hash  # comes with the step

        for name in witness.keys() - {parent}:
            rest = {k: v for k, v in witness.items() if k != name}
            with pytest.raises(Malformed, match="witness"):
                reexecute(step, rules, rest)
            with pytest.raises(Malformed, match="preimage"):
                reexecute(step, rules, {**witness, name: witness[name] + b"\0"})
        for name in part:
            with pytest.raises(Malformed, match="witness"):
                reexecute_transaction(small, rules, {k: v for k, v in part.items() if k != name})


def test_a_real_block_falls_into_real_steps() -> None:
    """The witness of a whole block gives those of its transactions, each of some kilobytes."""
    value = json.loads(gzip.decompress(VECTOR.read_bytes()))
    fixture: dict[str, Any] = value["fixture"]
    preimages = {bytes.fromhex(k): bytes.fromhex(v) for k, v in value["preimages"].items()}
    rules = Rules.of_rollup(fixture["rollup_config"])
    parent = Header.from_json(fixture["parent_header"])
    given = {**fixture["executing_payload"], "withdrawals": []}
    step = BlockStep(parent, PayloadAttributes.from_json(given))
    reads = Preimages(preimages)
    block = reexecute(step, rules, preimages)
    assert "0x" + block.hash.hex() == fixture["expected_block_hash"]

    witness = collect_block(step, rules, reads, lambda _: None)
    assert reexecute(step, rules, witness) == block
    assert witness.keys() <= preimages.keys()
    root = parent.state_root
    for index in (-1, 0, 1, 2, len(block.transactions) - 1):
        small, part = collect_transaction(step, index, rules, reads, lambda _: None)
        result = reexecute_transaction(small, rules, part)
        assert small.root == root or index == len(block.transactions) - 1
        assert index < 0 or result.receipt == block.receipts[index]
        root = result.root
    assert root == block.header.state_root


async def test_an_authorization_needs_the_account_of_its_signer(tmp_path: Path) -> None:
    """A node left out of the witness does not make it another transaction."""
    people = [Account.from_key(bytes([number]) * 32) for number in range(40, 60)]
    known = {person.address.lower(): {"balance": "0x1", "nonce": "0x7"} for person in people}
    grants = [
        person.sign_authorization({"chainId": CHAIN_ID, "address": ASKS, "nonce": 7})
        for person in people
    ]
    with node(tmp_path / "data", **ACCOUNTS, **known) as engine:
        engine.pooled(signed(0, type=4, to=PAYEE, gas=900_000, authorizationList=grants))
        await engine.extend()
        block = engine.chain.head
        assert len(block.transactions) == 2
        code = engine.chain.state(block.header).get_code(bytes.fromhex(people[0].address[2:]))
        assert code == b"\xef\x01\x00" + ASKS
        step, witness = collect_witness(engine.chain, block)
        assert reexecute(step, engine.chain.rules, witness) == block

        for name in witness:
            less = {key: value for key, value in witness.items() if key != name}
            with pytest.raises(Malformed):
                reexecute(step, engine.chain.rules, less)
