"""Re-execution without a chain: a block, or one transaction, from what it reads of the state.

A witness maps keccak hashes to their preimages: trie nodes, code, and headers of ancestors that the
code asks for by BLOCKHASH.  Whoever judges a dispute needs nothing else, and trusts none of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec.header import Header
from rollup.codec.payload import PayloadAttributes
from rollup.engine import execution
from rollup.engine.building import MISSING_STATE, Ancestry, Assembly, fields_of
from rollup.engine.execution import Environment
from rollup.engine.kv import Reads
from rollup.engine.op import read_deposit
from rollup.engine.rules import Rules
from rollup.engine.statetrie import Items
from rollup.engine.transaction import included
from rollup.engine.values import DEPOSIT, EMPTY_TRIE, Block, Receipt

ParentOf = Callable[[bytes], bytes | None]  # from the hash of a block to its parent's

PREIMAGES_MAX: Final = 1_000_000
EMPTY_NODE: Final = b"\x80"


@dataclass(frozen=True, slots=True)
class BlockStep:
    """A block to execute: all that its hash needs beside the state."""

    parent: Header
    attributes: PayloadAttributes


@dataclass(frozen=True, slots=True)
class TransactionStep:
    """One transaction to execute on the state under `root`; an empty one is the system calls that
    open the block.  `gas_used` is that of the transactions before it."""

    root: bytes
    transaction: bytes
    gas_used: int
    number: int
    timestamp: int
    coinbase: bytes
    mix_hash: bytes
    gas_limit: int
    base_fee: int
    parent_hash: bytes
    beacon_root: bytes


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """`receipt` is None for the system calls."""

    root: bytes
    gas_used: int
    receipt: Receipt | None


class Preimages:
    """Reads for py-evm: `node` gives the preimage of a hash, or None."""

    def __init__(self, preimages: Mapping[bytes, bytes]) -> None:
        require(len(preimages) <= PREIMAGES_MAX, f"{len(preimages)} preimages")
        for name, value in preimages.items():
            require(keccak(value) == name, f"not the preimage of {name.hex()}")
        self.split_nodes: dict[bytes, Items] = {}
        self._found = {EMPTY_TRIE: EMPTY_NODE, **preimages}

    def node(self, name: bytes) -> bytes | None:
        return self._found.get(name)

    def parent_of(self, block_hash: bytes) -> bytes | None:
        """Raises `Malformed` when the code asks for a header that is not there: the answer of a
        chain without it would be another one."""
        data = self._found.get(block_hash)
        if data is None:
            raise Malformed(f"the witness lacks header {block_hash.hex()}")
        header = Header.decode(data)
        return header.parent_hash if header.number > 0 else None


def execute_payload(
    parent_header: Header | Mapping[str, Any],
    payload_attributes: PayloadAttributes | Mapping[str, Any],
    rollup_config: Rules | Mapping[str, Any],
    preimages: Mapping[bytes, bytes],
) -> Block:
    """The block that the attributes make on that parent, executed from the preimages alone.

    The arguments may be values of ours or the JSON of kona's executor fixtures.  Raises `Malformed`
    when they are not well formed or a preimage is missing, `Refused` when a transaction is invalid.
    """
    parent = _header(parent_header)
    attributes = payload_attributes
    if not isinstance(attributes, PayloadAttributes):
        given = {key: value for key, value in attributes.items() if value is not None}
        attributes = PayloadAttributes.from_json({"withdrawals": [], **given})
    rules = rollup_config if isinstance(rollup_config, Rules) else Rules.of_rollup(rollup_config)
    return reexecute(BlockStep(parent, attributes), rules, preimages)


def reexecute(step: BlockStep, rules: Rules, witness: Mapping[bytes, bytes]) -> Block:
    """Raises `Malformed` for a witness that does not suffice, `Refused` for an invalid block."""
    reads = Preimages({**witness, step.parent.hash: step.parent.encode()})
    try:
        return execute(step, rules, reads, reads.parent_of)
    except MISSING_STATE as error:
        raise Malformed(f"the witness does not suffice: {error}") from error


def reexecute_transaction(
    step: TransactionStep, rules: Rules, witness: Mapping[bytes, bytes]
) -> TransactionResult:
    """Raises as `reexecute` does."""
    reads = Preimages(witness)
    try:
        return transact(step, rules, reads, reads.parent_of)
    except MISSING_STATE as error:
        raise Malformed(f"the witness does not suffice: {error}") from error


def begin(step: BlockStep, rules: Rules, reads: Reads, parent_of: ParentOf) -> Assembly:
    """The block with its system calls done, and no transaction."""
    ancestors = Ancestry(step.parent.hash, parent_of)
    return Assembly(reads, rules, step.parent, fields_of(step.attributes, rules), ancestors)


def execute(step: BlockStep, rules: Rules, reads: Reads, parent_of: ParentOf) -> Block:
    assembly = begin(step, rules, reads, parent_of)
    assembly.force(step.attributes.transactions)
    return assembly.seal().block


def transact(
    step: TransactionStep, rules: Rules, reads: Reads, parent_of: ParentOf
) -> TransactionResult:
    environment = Environment(
        step.number,
        step.timestamp,
        step.coinbase,
        step.mix_hash,
        step.gas_limit,
        step.base_fee,
        Ancestry(step.parent_hash, parent_of),
    )
    state, _ = execution.open_state(reads, step.root, rules, environment)
    raw = step.transaction
    if not raw:
        execution.begin(state, step.parent_hash, step.beacon_root)
        return TransactionResult(bytes(state.make_state_root()), step.gas_used, None)
    if raw[0] == DEPOSIT and rules.optimism:
        outcome = execution.apply_deposit(state, read_deposit(raw))
    else:
        transaction = included(raw, rules.chain_id)
        require(transaction.gas <= step.gas_limit - step.gas_used, "gas limit reached")
        execution.check(state, transaction)
        outcome = execution.apply(state, transaction)
    total = step.gas_used + outcome.gas_used
    receipt = Receipt(
        outcome.status,
        outcome.gas_used,
        total,
        outcome.logs,
        outcome.created,
        outcome.deposit_nonce,
        outcome.l1_fee,
    )
    return TransactionResult(bytes(state.make_state_root()), total, receipt)


def _header(value: Header | Mapping[str, Any]) -> Header:
    return value if isinstance(value, Header) else Header.from_json(value)
