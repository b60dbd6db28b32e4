"""What an OP chain adds to transactions and receipts in JSON, in op-geth's names."""

from dataclasses import dataclass
from typing import Any, Final

from rollup.codec import fees
from rollup.codec.deposit import DEPOSIT_TYPE, DepositTransaction
from rollup.codec.hexadecimal import from_bytes
from rollup.codec.l1_info import FORK_OF, L1Info
from rollup.engine.values import Block, Receipt

SCALAR_UNIT: Final = 10**6
JOVIAN: Final = "jovian"


def is_deposit(raw: bytes) -> bool:
    return raw[0] == DEPOSIT_TYPE


def deposit(raw: bytes, receipt: Receipt) -> dict[str, Any]:
    """A deposit transaction; its nonce and receipt version are known by execution alone."""
    tx = DepositTransaction.decode(raw)
    out: dict[str, Any] = {
        "hash": from_bytes(tx.hash),
        "type": hex(DEPOSIT_TYPE),
        "nonce": hex(receipt.deposit_nonce or 0),
        "from": from_bytes(tx.sender),
        "to": from_bytes(tx.to) if tx.to else None,
        "value": hex(tx.value),
        "gas": hex(tx.gas),
        "gasPrice": "0x0",
        "input": from_bytes(tx.data),
        "sourceHash": from_bytes(tx.source_hash),
        "mint": hex(tx.mint),
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
    }
    if tx.is_system:
        out["isSystemTx"] = True
    if receipt.deposit_receipt_version is not None:
        out["depositReceiptVersion"] = hex(receipt.deposit_receipt_version)
    return out


def deposit_receipt(raw: bytes, receipt: Receipt) -> dict[str, Any]:
    """The fields in which a deposit's receipt differs."""
    tx = DepositTransaction.decode(raw)
    out: dict[str, Any] = {
        "to": from_bytes(tx.to) if tx.to else None,
        "effectiveGasPrice": "0x0",
        "type": hex(DEPOSIT_TYPE),
    }
    if receipt.deposit_nonce is not None:
        out["depositNonce"] = hex(receipt.deposit_nonce)
    if receipt.deposit_receipt_version is not None:
        out["depositReceiptVersion"] = hex(receipt.deposit_receipt_version)
    return out


@dataclass(frozen=True, slots=True)
class L1Costs:
    """The prices for L1 data that hold in one block, as its first deposit sets them."""

    info: L1Info

    @staticmethod
    def of(block: Block) -> "L1Costs | None":
        """None on a chain without OP rules, or when the first deposit sets nothing."""
        if not block.transactions or not is_deposit(block.transactions[0]):
            return None
        data = DepositTransaction.decode(block.transactions[0]).data
        return L1Costs(L1Info.decode(data)) if data[:4] in FORK_OF else None

    def fields(self, raw: bytes, receipt: Receipt) -> dict[str, Any]:
        """Of one signed transaction: the fee that it paid, and what the fee was made of.

        `l1GasUsed` is op-geth's: the size on L1 at 16 gas per byte (Fjord), or calldata gas and the
        overhead (Bedrock).
        """
        info = self.info
        out: dict[str, Any] = {"l1GasPrice": hex(info.base_fee), "l1Fee": hex(receipt.l1_fee)}
        if info.fork == "bedrock":
            out["l1GasUsed"] = hex(fees.calldata_gas(raw) + info.overhead)
            out["l1FeeScalar"] = f"{info.scalar / SCALAR_UNIT:g}"
            return out
        size = fees.fjord_size(fees.flz_length(raw))
        out |= {
            "l1GasUsed": hex(size * fees.BYTE_GAS // fees.MILLION),
            "l1BaseFeeScalar": hex(info.base_fee_scalar),
            "l1BlobBaseFee": hex(info.blob_base_fee),
            "l1BlobBaseFeeScalar": hex(info.blob_base_fee_scalar),
        }
        if info.operator_fee_scalar or info.operator_fee_constant:
            out["operatorFeeScalar"] = hex(info.operator_fee_scalar)
            out["operatorFeeConstant"] = hex(info.operator_fee_constant)
        if info.fork == JOVIAN:
            out["daFootprintGasScalar"] = hex(info.da_footprint_gas_scalar)
            out["blobGasUsed"] = hex(size // fees.MILLION * info.da_footprint_gas_scalar)
        return out
