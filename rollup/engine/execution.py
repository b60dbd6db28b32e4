"""The state transition: Prague rules by py-evm, without blobs, withdrawals or a beacon chain."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from eth._utils.address import generate_contract_address
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.state import PragueState, PragueTransactionExecutor
from eth_typing import Address

from protocol.errors import Refused
from rollup.engine.genesis import Genesis
from rollup.engine.kv import KeyValues, StateOverlay
from rollup.engine.transaction import Transaction
from rollup.engine.values import EMPTY_TRIE, Header, Log

ELASTICITY: Final = 2
BASE_FEE_CHANGE_DENOMINATOR: Final = 8
DELEGATION_PREFIX: Final = b"\xef\x01\x00"
CODE_DELEGATION_BYTES: Final = 23

State = Any  # py-evm's state; its own annotations want a NewType around every address


class NonceTooHigh(Refused):
    """Valid later, when the transactions before it are in."""


class _Executor(PragueTransactionExecutor):
    """py-evm's executor; `check` has validated, and the gas spent is kept for the receipt."""

    def validate_transaction(self, transaction: Any) -> None:
        pass

    def finalize_computation(self, transaction: Any, computation: Any) -> Any:
        computation = super().finalize_computation(transaction, computation)
        spent = transaction.gas - computation.get_gas_remaining()
        refund = self.calculate_gas_refund(computation, spent)
        computation.gas_spent = spent - refund + computation.data_floor_gas
        return computation


class _State(PragueState):
    transaction_executor_class = _Executor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one transaction did; `output` is the return or the revert data, `error` a VM fault."""

    status: int
    gas_used: int
    logs: tuple[Log, ...]
    output: bytes
    error: str | None
    reverted: bool
    created: bytes


def open_state(
    below: KeyValues,
    root: bytes,
    *,
    chain_id: int,
    number: int,
    timestamp: int,
    coinbase: bytes,
    mix_hash: bytes,
    gas_limit: int,
    base_fee: int,
    ancestors: Iterable[bytes],
) -> tuple[State, StateOverlay]:
    """The state under `root` as seen by block `number`; changes stay in the overlay."""
    overlay = StateOverlay(below)
    new_context: Any = ExecutionContext
    context = new_context(
        coinbase=coinbase,
        timestamp=timestamp,
        block_number=number,
        difficulty=0,
        mix_hash=mix_hash,
        gas_limit=gas_limit,
        prev_hashes=ancestors,
        chain_id=chain_id,
        base_fee_per_gas=base_fee,
        excess_blob_gas=0,
    )
    new_state: Any = _State
    return new_state(AtomicDB(overlay), context, root), overlay


def genesis_state(below: KeyValues, genesis: Genesis) -> tuple[bytes, StateOverlay]:
    """The root after the allocation, with the trie nodes to store."""
    state, overlay = open_state(
        below,
        EMPTY_TRIE,
        chain_id=genesis.chain_id,
        number=0,
        timestamp=genesis.timestamp,
        coinbase=genesis.coinbase,
        mix_hash=bytes(32),
        gas_limit=genesis.gas_limit,
        base_fee=genesis.base_fee,
        ancestors=(),
    )
    for address, account in genesis.alloc:
        state.set_balance(address, account.balance)
        state.set_nonce(address, account.nonce)
        if account.code:
            state.set_code(address, account.code)
        for slot, value in account.storage:
            state.set_storage(address, slot, value)
    state.lock_changes()
    root = state.make_state_root()
    state.persist()
    return root, overlay


def check(state: State, transaction: Transaction) -> None:
    """Whether the next block may hold `transaction` now. Raises `Refused` with geth's words."""
    nonce = state.get_nonce(transaction.sender)
    if transaction.nonce < nonce:
        raise Refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
    balance = state.get_balance(transaction.sender)
    if balance < transaction.cost_max:
        raise Refused(
            "insufficient funds for gas * price + value: "
            f"balance {balance}, tx cost {transaction.cost_max}"
        )
    code = state.get_code(transaction.sender)
    if code and not (len(code) == CODE_DELEGATION_BYTES and code.startswith(DELEGATION_PREFIX)):
        raise Refused("sender is a contract (EIP-3607)")
    if transaction.nonce > nonce:
        raise NonceTooHigh(f"nonce too high: next nonce {nonce}, tx nonce {transaction.nonce}")


def apply(state: State, transaction: Transaction) -> Outcome:
    """Execute what `check` let through (or a simulated call whose fees are zero)."""
    created = b""
    if not transaction.to:
        nonce = state.get_nonce(transaction.sender)
        created = generate_contract_address(Address(transaction.sender), nonce)
    computation = state.apply_transaction(transaction)
    failed = bool(computation.is_error)
    entries = () if failed else computation.get_log_entries()
    logs = tuple(
        Log(address, tuple(t.to_bytes(32, "big") for t in topics), data)
        for address, topics, data in entries
    )
    reverted = failed and not computation.error.burns_gas
    error = f"{type(computation.error).__name__}: {computation.error}" if failed else None
    state.lock_changes()
    return Outcome(
        0 if failed else 1,
        computation.gas_spent,
        logs,
        bytes(computation.output),
        error,
        reverted,
        bytes(created),
    )


def base_fee_after(parent: Header) -> int:
    """EIP-1559 with elasticity 2 and denominator 8, in wei per gas."""
    target = parent.gas_limit // ELASTICITY
    if parent.gas_used == target:
        return parent.base_fee
    delta = parent.base_fee * abs(parent.gas_used - target) // target // BASE_FEE_CHANGE_DENOMINATOR
    if parent.gas_used > target:
        return parent.base_fee + max(delta, 1)
    return parent.base_fee - delta
