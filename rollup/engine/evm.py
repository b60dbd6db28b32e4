"""py-evm as this engine runs it: bounded in time, with OP Stack's fees where they apply."""

import time
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, Final

from eth._utils.address import generate_contract_address
from eth.exceptions import Halt
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.cancun.state import CancunState, CancunTransactionExecutor
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState, PragueTransactionExecutor
from eth.vm.forks.spurious_dragon._utils import collect_touched_accounts
from eth.vm.message import Message

from protocol.errors import Refused
from rollup.engine import authorizations, opcodes, precompiles
from rollup.engine.accounts import Accounts
from rollup.engine.op import (
    BASE_FEE_VAULT,
    L1_FEE_VAULT,
    OPERATOR_FEE_VAULT,
    FeeParameters,
)
from rollup.engine.rules import Fork
from rollup.engine.traces import Programs
from rollup.engine.values import DEPOSIT

State = Any  # py-evm's state; its own annotations want a NewType around every address

RUNS_BETWEEN_CLOCKS: Final = 16  # each of at most `traces.OPCODES_MAX` opcodes


class OutOfTime(Refused):
    """A transaction took longer than a block may wait for it; never raised without a deadline."""


class _Computation:
    """`apply_computation` with a clock, and the message of the transaction known by its depth.

    py-evm takes every message from the origin's address for that one, which since EIP-7702 it need
    not be.
    """

    table: tuple[Any, ...]
    programs: Programs

    def __init_subclass__(cls) -> None:
        cls.table = opcodes.table(cls.opcodes)  # type: ignore[attr-defined]
        cls.programs = Programs(cls.table)

    @classmethod
    def apply_computation(
        cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
    ) -> Any:
        new: Any = cls
        with new(state, message, transaction_context) as computation:
            if parent_computation is None:
                computation.contracts_created = []
                if message.is_create:
                    new.consume_initcode_gas_cost(computation)
            else:
                computation.contracts_created = parent_computation.contracts_created
            if message.is_create:
                computation.contracts_created.append(message.storage_address)
            precompile = computation.precompiles.get(message.code_address)
            if precompile is None:
                _run(computation, cls.programs, state)
            elif not message.is_delegation:
                _afford(message, state)
                precompile(computation)
        return computation


def _run(computation: Any, programs: Programs, state: State) -> None:
    code = computation.code
    program = programs.get(code._raw_code_bytes)
    trace_at: Any = program.traces.get
    cold = program.run
    try:
        while True:
            for _ in repeat(None, RUNS_BETWEEN_CLOCKS):
                trace_at(code.program_counter, cold)(computation)
            if state.deadline is not None and state.clock() > state.deadline:
                raise OutOfTime("the transaction takes longer than a block may wait for it")
    except Halt:
        pass


def _afford(message: Any, state: State) -> None:
    if state.deadline is None:
        return
    seconds = precompiles.seconds(message.code_address, message.data_as_bytes)
    if state.clock() + seconds > state.deadline:
        raise OutOfTime("a precompiled contract takes longer than a block may wait for it")


class _Execution:
    """An executor of what `check` let through; it keeps the gas spent for the receipt.

    `build_evm_message` and `finalize_computation` are py-evm's without the sentences that it makes
    for a log nobody reads.
    """

    vm_state: Any
    calculate_gas_refund: Any
    calc_data_floor_gas: Any
    calc_message_refund: Any
    get_code_at_address: Any

    def validate_transaction(self, transaction: Any) -> None:
        pass

    def build_evm_message(self, transaction: Any) -> Any:
        state, sender = self.vm_state, transaction.sender
        nonce, price = state.get_nonce(sender), state.get_gas_price(transaction)
        state._account_db.pay(
            sender, transaction.gas * price + state.beside(transaction, transaction.gas)
        )
        refund = self.calc_message_refund(transaction)
        creates = not transaction.to
        if creates:
            created = generate_contract_address(sender, nonce)
            code, delegate = transaction.data, None
        else:
            created = None
            code, delegate = self.get_code_at_address(transaction.to)
        new_message: Any = Message
        return new_message(
            gas=transaction.gas - transaction.intrinsic_gas,
            to=transaction.to,
            sender=sender,
            value=transaction.value,
            data=b"" if creates else transaction.data,
            code=code,
            create_address=created,
            refund=refund,
            is_delegation=delegate is not None,
        )

    def finalize_computation(self, transaction: Any, computation: Any) -> Any:
        """Gas back to the sender, fees to their vaults, and what the transaction left empty or
        destroyed goes; a deposit does not touch the coinbase."""
        state = self.vm_state
        used = transaction.gas - computation.get_gas_remaining()
        refund = self.calculate_gas_refund(computation, used)
        floor = self.calc_data_floor_gas(transaction, used, refund)
        spent = computation.gas_spent = used - refund + floor
        price = computation.transaction_context.gas_price
        back = state.beside(transaction, transaction.gas) - state.beside(transaction, spent)
        state.give(transaction.sender, (transaction.gas - spent) * price + back)
        touched = collect_touched_accounts(computation)
        if transaction.type_id == DEPOSIT:
            touched.discard(state.coinbase)
        state.reward(transaction, spent)
        for account in computation.get_accounts_for_deletion():
            state.delete_account(account)
        for account in touched:
            if state.account_exists(account) and state.account_is_empty(account):
                state.delete_account(account)
        return computation


class _Plain:
    """A state for one block; `deadline` bounds what it executes, in seconds of `clock`, or is None.

    The clock may be that of the thread, so that a busy machine makes no transaction too slow.
    """

    clock: Callable[[], float] = staticmethod(time.monotonic)
    account_db_class: Any = Accounts
    deadline: float | None = None
    l1_fee: int = 0
    fork: Fork
    _account_db: Any
    execution_context: Any
    get_tip: Any

    def set_system_contracts(self) -> None:
        """py-evm would write them itself; here they stand in the genesis or nowhere."""

    def process_set_code_authorizations(self, transaction: Any) -> int:
        return authorizations.process(self, transaction.authorization_list)

    @property
    def blob_base_fee(self) -> int:
        return 1  # no blobs are taken, so nothing raises it

    # One undo log serves everything that a message may take back.

    def snapshot(self) -> Any:
        return self._account_db.state_root, self._account_db.record()

    def commit(self, snapshot: Any) -> None:
        self._account_db.commit(snapshot[1])

    def revert(self, snapshot: Any) -> None:
        self._account_db.discard(snapshot[1])

    def get_transient_storage(self, address: bytes, slot: int) -> bytes:
        return bytes(self._account_db.get_transient(address, slot))

    def set_transient_storage(self, address: bytes, slot: int, value: bytes) -> None:
        self._account_db.set_transient(address, slot, value)

    def clear_transient_storage(self) -> None:
        self._account_db.clear_transient()

    def beside(self, transaction: Any, gas: int) -> int:
        """What a transaction costs beside its gas, when it uses so much of that."""
        return 0

    def reward(self, transaction: Any, spent: int) -> None:
        """Pay out what the gas spent, and what came beside, is worth."""
        self.give(self.execution_context.coinbase, spent * self.get_tip(transaction))

    def transfer(self, transaction: Any) -> int:
        """A payment to an account without code, exactly as messages would do it; its gas."""
        cancun = self.fork == Fork.HOLOCENE
        spent = transaction.gas_least_cancun if cancun else transaction.gas_least
        price = self.get_gas_price(transaction)  # type: ignore[attr-defined]
        cost = spent * price + transaction.value + self.beside(transaction, spent)
        self._account_db.pay(transaction.sender, cost)
        self.give(transaction.to, transaction.value)
        self.reward(transaction, spent)
        return int(spent)

    def give(self, address: bytes, amount: int) -> None:
        """As a transfer of nothing touches no account, which could be empty."""
        if amount:
            self.delta_balance(address, amount)  # type: ignore[attr-defined]


class _Optimism(_Plain):
    """Takes the data and operator fees before, pays the vaults after; deposits pay nothing, and so
    do simulated calls, which have no bytes."""

    _fees: FeeParameters | None = None
    _sized: tuple[bytes, int] = (b"", 0)

    def fees(self) -> FeeParameters:
        """Read once in a block: after the deposits, which come first, nothing changes them."""
        if self._fees is None:
            self._fees = FeeParameters.read(self, operator=self.fork >= Fork.ISTHMUS)
        return self._fees

    def l1_fee_of(self, raw: bytes) -> int:
        """Asked for twice in a row: when a transaction is checked, and when it pays."""
        if self._sized[0] != raw:
            self._sized = raw, self.fees().l1_fee(raw)
        return self._sized[1]

    def operator_fee(self, gas: int) -> int:
        if self.fork < Fork.ISTHMUS:
            return 0
        return self.fees().operator_fee(gas, jovian=self.fork >= Fork.JOVIAN)

    def beside(self, transaction: Any, gas: int) -> int:
        if not transaction.raw or transaction.type_id == DEPOSIT:
            return 0
        self.l1_fee = self.l1_fee_of(transaction.raw)
        return self.l1_fee + self.operator_fee(gas)

    def reward(self, transaction: Any, spent: int) -> None:
        if transaction.type_id == DEPOSIT:
            return
        super().reward(transaction, spent)
        if transaction.raw:
            self.give(BASE_FEE_VAULT, spent * self.execution_context.base_fee_per_gas)
            self.give(L1_FEE_VAULT, self.l1_fee)
            self.give(OPERATOR_FEE_VAULT, self.operator_fee(spent))


class _PlainComputation(_Computation, PragueComputation):
    _precompiles = precompiles.ethereum(PragueComputation.get_precompiles())


class _HoloceneComputation(_Computation, CancunComputation):
    _precompiles = precompiles.optimism(
        CancunComputation.get_precompiles(), precompiles.GRANITE_LIMITS
    )


class _IsthmusComputation(_Computation, PragueComputation):
    _precompiles = precompiles.optimism(
        PragueComputation.get_precompiles(), precompiles.ISTHMUS_LIMITS
    )


class _JovianComputation(_Computation, PragueComputation):
    _precompiles = precompiles.optimism(
        PragueComputation.get_precompiles(), precompiles.JOVIAN_LIMITS
    )


class _CancunExecutor(_Execution, CancunTransactionExecutor):
    pass


class _PragueExecutor(_Execution, PragueTransactionExecutor):
    pass


class PlainState(_Plain, PragueState):
    fork = Fork.PRAGUE
    computation_class = _PlainComputation
    transaction_executor_class = _PragueExecutor


class HoloceneState(_Optimism, CancunState):
    fork = Fork.HOLOCENE
    computation_class = _HoloceneComputation
    transaction_executor_class = _CancunExecutor


class IsthmusState(_Optimism, PragueState):
    fork = Fork.ISTHMUS
    computation_class = _IsthmusComputation
    transaction_executor_class = _PragueExecutor


class JovianState(_Optimism, PragueState):
    fork = Fork.JOVIAN
    computation_class = _JovianComputation
    transaction_executor_class = _PragueExecutor


STATES: Final[Mapping[Fork, Any]] = {
    Fork.PRAGUE: PlainState,
    Fork.HOLOCENE: HoloceneState,
    Fork.ISTHMUS: IsthmusState,
    Fork.JOVIAN: JovianState,
}
