"""The rules that OP Stack adds to Ethereum's: deposits, the data and operator fees, the vaults.

Sources: https://specs.optimism.io/protocol/deposits.html, exec-engine.html, and the same of Fjord,
Granite, Holocene, Isthmus and Jovian; op-geth's core/state_transition.go for the order of things.
"""

from dataclasses import dataclass
from typing import Any, Final

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.codec import fees
from rollup.codec.deposit import DepositTransaction
from rollup.engine.transaction import (
    GAS_CREATE,
    GAS_INITCODE_WORD,
    GAS_TOKEN,
    GAS_TOKEN_FLOOR,
    GAS_TRANSACTION,
    INITCODE_BYTES_MAX,
    TOKENS_NONZERO,
)
from rollup.engine.values import DEPOSIT

L1_BLOCK: Final = bytes.fromhex("4200000000000000000000000000000000000015")
MESSAGE_PASSER: Final = bytes.fromhex("4200000000000000000000000000000000000016")
BASE_FEE_VAULT: Final = bytes.fromhex("4200000000000000000000000000000000000019")
L1_FEE_VAULT: Final = bytes.fromhex("420000000000000000000000000000000000001a")
OPERATOR_FEE_VAULT: Final = bytes.fromhex("420000000000000000000000000000000000001b")
# L1Block: 1 base fee | 3 packs the two scalars above the sequence number | 5, 6 overhead and
# scalar of Bedrock | 7 blob base fee | 8 packs the operator's scalar and constant
SLOT_BASE_FEE, SLOT_SCALARS, SLOT_OVERHEAD, SLOT_SCALAR, SLOT_BLOB, SLOT_OPERATOR = 1, 3, 5, 6, 7, 8
ISTHMUS_ATTRIBUTES_BYTES: Final = 176
JOVIAN_ATTRIBUTES_BYTES: Final = 178
JOVIAN_SELECTOR: Final = bytes.fromhex("3db6be2b")


@dataclass(frozen=True, slots=True)
class FeeParameters:
    """What L1Block says about fees in one block, in wei and in plain numbers.

    `overhead` and `scalar` are those of Bedrock, which decide while Ecotone's are all unset.
    """

    base_fee: int
    blob_base_fee: int
    base_fee_scalar: int
    blob_base_fee_scalar: int
    overhead: int
    scalar: int
    operator_scalar: int
    operator_constant: int

    @classmethod
    def read(cls, state: Any, *, operator: bool) -> "FeeParameters":
        """From the state in the block, after its first deposit; `operator` since Isthmus."""
        scalars = state.get_storage(L1_BLOCK, SLOT_SCALARS).to_bytes(32, "big")
        base_fee_scalar = int.from_bytes(scalars[16:20], "big")
        blob_base_fee_scalar = int.from_bytes(scalars[20:24], "big")
        blob_base_fee = state.get_storage(L1_BLOCK, SLOT_BLOB)
        bedrock = not (base_fee_scalar or blob_base_fee_scalar or blob_base_fee)
        paid = state.get_storage(L1_BLOCK, SLOT_OPERATOR) if operator else 0
        return cls(
            state.get_storage(L1_BLOCK, SLOT_BASE_FEE),
            blob_base_fee,
            base_fee_scalar,
            blob_base_fee_scalar,
            state.get_storage(L1_BLOCK, SLOT_OVERHEAD) if bedrock else 0,
            state.get_storage(L1_BLOCK, SLOT_SCALAR) if bedrock else 0,
            paid >> 64 & 0xFFFFFFFF,
            paid & 0xFFFFFFFFFFFFFFFF,
        )

    def l1_fee(self, raw: bytes) -> int:
        if self.overhead or self.scalar:
            return fees.bedrock_l1_fee(raw, self.base_fee, self.overhead, self.scalar)
        return fees.fjord_l1_fee(
            raw,
            self.base_fee,
            self.blob_base_fee,
            self.base_fee_scalar,
            self.blob_base_fee_scalar,
        )

    def operator_fee(self, gas: int, *, jovian: bool) -> int:
        return fees.operator_fee(gas, self.operator_scalar, self.operator_constant, jovian=jovian)


@dataclass(frozen=True, slots=True)
class Deposit:
    """A deposit as py-evm's executor reads a transaction: free, unsigned, with no nonce."""

    raw: bytes
    hash: bytes
    sender: bytes
    to: bytes
    mint: int
    value: int
    gas: int
    data: bytes
    is_system: bool
    type_id: int = DEPOSIT
    nonce: int = 0
    max_priority_fee_per_gas: int = 0
    max_fee_per_gas: int = 0
    access_list: tuple[()] = ()

    @property
    def gas_least_cancun(self) -> int:
        """Taken before execution, the words of initcode included (py-evm takes those itself)."""
        words = 0 if self.to else GAS_CREATE + GAS_INITCODE_WORD * ((len(self.data) + 31) // 32)
        return GAS_TRANSACTION + words + GAS_TOKEN * self._tokens()

    @property
    def intrinsic_gas(self) -> int:
        return GAS_TRANSACTION + (0 if self.to else GAS_CREATE) + GAS_TOKEN * self._tokens()

    @property
    def gas_least(self) -> int:
        """With the floor of EIP-7623, which holds for deposits too."""
        floor = GAS_TRANSACTION + GAS_TOKEN_FLOOR * self._tokens()
        return max(self.gas_least_cancun, floor)

    def _tokens(self) -> int:
        zeros = self.data.count(0)
        return zeros + TOKENS_NONZERO * (len(self.data) - zeros)


def read_deposit(raw: bytes) -> Deposit:
    """Raises `Malformed`."""
    found = DepositTransaction.decode(raw)
    return Deposit(
        raw,
        keccak(raw),
        found.sender,
        found.to,
        found.mint,
        found.value,
        found.gas,
        found.data,
        found.is_system,
    )


def deposit_fault(deposit: Deposit, balance: int, *, isthmus: bool) -> str | None:
    """Why the deposit fails before it runs; it then keeps its mint, and uses all of its gas."""
    if deposit.is_system:
        return "system transactions are not supported since Regolith"
    least = deposit.gas_least if isthmus else deposit.gas_least_cancun
    if deposit.gas < least:
        return f"intrinsic gas too low: have {deposit.gas}, want {least}"
    if balance < deposit.value:
        return "insufficient funds for transfer"
    if not deposit.to and len(deposit.data) > INITCODE_BYTES_MAX:
        return "max initcode size exceeded"
    return None


def footprint_scalar(raws: list[bytes]) -> int:
    """Gas per estimated byte of data in a Jovian block, from its L1 attributes; 0 in the block that
    activates Jovian, whose attributes are still those of Isthmus.  Raises `Malformed`."""
    if not raws or raws[0][:1] != bytes([DEPOSIT]):
        raise Malformed("a Jovian block without its L1 attributes")
    data = DepositTransaction.decode(raws[0]).data
    if len(data) == ISTHMUS_ATTRIBUTES_BYTES:
        if any(raw[:1] != bytes([DEPOSIT]) for raw in raws):
            raise Malformed("a transaction in the block that activates Jovian")
        return 0
    if len(data) < JOVIAN_ATTRIBUTES_BYTES or data[:4] != JOVIAN_SELECTOR:
        raise Malformed("L1 attributes that are not Jovian's")
    return int.from_bytes(data[JOVIAN_ATTRIBUTES_BYTES - 2 : JOVIAN_ATTRIBUTES_BYTES], "big")


def footprint(raw: bytes, scalar: int) -> int:
    """What one transaction counts toward the block's data-availability footprint, in gas."""
    return 0 if raw[0] == DEPOSIT else fees.da_size(raw) * scalar
