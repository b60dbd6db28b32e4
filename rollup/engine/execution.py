"""One transaction on a state: whether it may run, and what it does."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from eth._utils.address import generate_contract_address
from eth.vm.execution_context import ExecutionContext
from eth.vm.message import Message
from eth_typing import Address

from protocol.errors import Refused
from rollup.codec.header import next_base_fee
from rollup.engine.accounts import EMPTY_CODE
from rollup.engine.authorizations import is_delegation
from rollup.engine.evm import STATES, OutOfTime, State
from rollup.engine.genesis import Genesis
from rollup.engine.kv import Reads, StateOverlay
from rollup.engine.op import MESSAGE_PASSER, Deposit, deposit_fault
from rollup.engine.rules import Fork, Rules
from rollup.engine.transaction import SET_CODE, Transaction
from rollup.engine.values import EMPTY_TRIE, Header, Log

__all__ = ["NonceTooHigh", "OutOfTime", "Outcome", "State", "apply", "check", "open_state"]

SYSTEM_ADDRESS: Final = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
SYSTEM_GAS: Final = 30_000_000
BEACON_ROOTS: Final = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
BLOCK_HASHES: Final = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")


class NonceTooHigh(Refused):
    """Valid later, when the transactions before it are in."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What a block's code sees of the block; `ancestors` are hashes, the parent's first."""

    number: int
    timestamp: int
    coinbase: bytes
    mix_hash: bytes
    gas_limit: int
    base_fee: int
    ancestors: Iterable[bytes]


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
    l1_fee: int = 0
    deposit_nonce: int | None = None


def open_state(
    below: Reads, root: bytes, rules: Rules, environment: Environment
) -> tuple[State, StateOverlay]:
    """The state under `root` as seen by a block; changes stay in the overlay."""
    overlay = StateOverlay(below)
    new_context: Any = ExecutionContext
    context = new_context(
        coinbase=environment.coinbase,
        timestamp=environment.timestamp,
        block_number=environment.number,
        difficulty=0,
        mix_hash=environment.mix_hash,
        gas_limit=environment.gas_limit,
        prev_hashes=environment.ancestors,
        chain_id=rules.chain_id,
        base_fee_per_gas=environment.base_fee,
        excess_blob_gas=0,
    )
    new_state = STATES[rules.fork(environment.timestamp)]
    return new_state(overlay, context, root), overlay


def genesis_state(below: Reads, genesis: Genesis) -> tuple[bytes, bytes, StateOverlay]:
    """The root after the allocation, the message passer's storage root, the trie nodes to store."""
    environment = Environment(0, genesis.timestamp, bytes(20), bytes(32), 0, 0, ())
    state, overlay = open_state(below, EMPTY_TRIE, genesis.rules, environment)
    for address, account in genesis.alloc:
        state.set_balance(address, account.balance)
        state.set_nonce(address, account.nonce)
        if account.code:
            state.set_code(address, account.code)
        for slot, value in account.storage:
            state.set_storage(address, slot, value)
    state.lock_changes()
    root = state.make_state_root()
    passer = storage_root(state, MESSAGE_PASSER)
    state.persist()
    return root, passer, overlay


def storage_root(state: State, address: bytes) -> bytes:
    """After `make_state_root`."""
    return bytes(state._account_db.storage_root(address))


def begin(state: State, parent_hash: bytes, beacon_root: bytes) -> None:
    """The system calls before the first transaction: EIP-4788, and since Prague EIP-2935."""
    _system_call(state, BEACON_ROOTS, beacon_root)
    if state.fork != Fork.HOLOCENE:
        _system_call(state, BLOCK_HASHES, parent_hash)
    state.lock_changes()


def _system_call(state: State, to: bytes, data: bytes) -> None:
    code = state.get_code(to)
    if not code:
        return
    message = Message(
        gas=SYSTEM_GAS,
        to=Address(to),
        sender=Address(SYSTEM_ADDRESS),
        value=0,
        data=data,
        code=code,
    )
    context = state.get_transaction_context_class()(gas_price=0, origin=SYSTEM_ADDRESS)
    state.computation_class.apply_message(state, message, context)
    state.clear_transient_storage()


def check(state: State, transaction: Transaction) -> None:
    """Whether the block may hold `transaction` now. Raises `Refused` with geth's words."""
    holocene = state.fork == Fork.HOLOCENE
    if holocene and transaction.type_id == SET_CODE:
        raise Refused("transaction type not supported")
    least = transaction.gas_least_cancun if holocene else transaction.gas_least
    if transaction.gas < least:
        raise Refused(f"intrinsic gas too low: have {transaction.gas}, want {least}")
    if transaction.max_fee_per_gas < state.base_fee:
        raise Refused(
            "max fee per gas less than block base fee: "
            f"have {transaction.max_fee_per_gas}, base fee {state.base_fee}"
        )
    nonce = state.get_nonce(transaction.sender)
    if transaction.nonce < nonce:
        raise Refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
    balance, cost = state.get_balance(transaction.sender), transaction.cost_max
    cost += rollup_cost(state, transaction)
    if balance < cost:
        raise Refused(
            f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}"
        )
    code = state.get_code(transaction.sender)
    if code and not is_delegation(code):
        raise Refused("sender is a contract (EIP-3607)")
    if transaction.nonce > nonce:
        raise NonceTooHigh(f"nonce too high: next nonce {nonce}, tx nonce {transaction.nonce}")


def rollup_cost(state: State, transaction: Transaction) -> int:
    """What OP Stack takes beside gas at most, in wei."""
    if state.fork == Fork.PRAGUE or not transaction.raw:
        return 0
    return int(state.l1_fee_of(transaction.raw) + state.operator_fee(transaction.gas))


def apply(state: State, transaction: Transaction | Deposit) -> Outcome:
    """Execute what `check` let through (or a simulated call whose fees are zero)."""
    if transaction.to and transaction.type_id != SET_CODE and _is_plain(state, transaction.to):
        return _transfer(state, transaction)
    created = b""
    nonce = state.get_nonce(transaction.sender)
    if not transaction.to:
        created = bytes(generate_contract_address(Address(transaction.sender), nonce))
    state.l1_fee = 0
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
        created,
        state.l1_fee,
    )


def _is_plain(state: State, address: bytes) -> bool:
    """Whether nothing runs at `address`, and a payment of nothing leaves it as it is: an account
    that is there and empty goes when it is touched (EIP-161)."""
    if address in state.computation_class.get_precompiles():
        return False
    if state.account_exists(address) and state.account_is_empty(address):
        return False
    return bool(state.get_code_hash(address) == EMPTY_CODE)


def _transfer(state: State, transaction: Transaction | Deposit) -> Outcome:
    state.l1_fee = 0
    spent = state.transfer(transaction)
    state.lock_changes()
    return Outcome(1, spent, (), b"", None, False, b"", state.l1_fee)


def apply_deposit(state: State, deposit: Deposit) -> Outcome:
    """Execute a deposit, which cannot be refused: at worst it keeps its mint and does nothing else.

    https://specs.optimism.io/protocol/deposits.html#execution
    """
    state.give(deposit.sender, deposit.mint)
    nonce = state.get_nonce(deposit.sender)
    balance = state.get_balance(deposit.sender)
    fault = deposit_fault(deposit, balance, isthmus=state.fork >= Fork.ISTHMUS)
    if fault is None:
        return replace(apply(state, deposit), deposit_nonce=nonce)
    state.increment_nonce(deposit.sender)
    state.lock_changes()
    created = b""
    if not deposit.to:
        created = bytes(generate_contract_address(Address(deposit.sender), nonce))
    return Outcome(0, deposit.gas, (), b"", fault, False, created, deposit_nonce=nonce)


def base_fee_after(parent: Header, rules: Rules | None = None, timestamp: int = 0) -> int:
    """EIP-1559 with what the chain, or since Holocene the parent, says; in wei per gas."""
    return next_base_fee(parent, rules or Rules(0), timestamp or parent.timestamp + 1)
