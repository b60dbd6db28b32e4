"""What an OP chain adds to transactions and receipts in JSON, in op-geth's names."""

from dataclasses import dataclass
from typing import Any, Final

from rollup.codec.hexadecimal import from_bytes
from rollup.engine.values import Block, Receipt

DEPOSIT: Final = 0x7E


def is_deposit(raw: bytes) -> bool:
    return raw[0] == DEPOSIT


def deposit(raw: bytes, receipt: Receipt) -> dict[str, Any]:
    """A deposit transaction; its nonce and receipt version are known by execution alone."""
    from rollup.codec.deposit import DepositTransaction

    tx = DepositTransaction.decode(raw)
    out: dict[str, Any] = {
        "hash": from_bytes(tx.hash),
        "type": hex(DEPOSIT),
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
    from rollup.codec.deposit import DepositTransaction

    tx = DepositTransaction.decode(raw)
    out: dict[str, Any] = {
        "to": from_bytes(tx.to) if tx.to else None,
        "effectiveGasPrice": "0x0",
        "type": hex(DEPOSIT),
    }
    if receipt.deposit_nonce is not None:
        out["depositNonce"] = hex(receipt.deposit_nonce)
    if receipt.deposit_receipt_version is not None:
        out["depositReceiptVersion"] = hex(receipt.deposit_receipt_version)
    return out


@dataclass(frozen=True, slots=True)
class L1Costs:
    """The prices for L1 data that hold in one block, from its first deposit."""

    info: Any

    @staticmethod
    def of(block: Block) -> "L1Costs | None":
        """None on a chain without OP rules."""
        if not block.transactions or not is_deposit(block.transactions[0]):
            return None
        return None

    def fields(self, raw: bytes) -> dict[str, Any]:
        return {}
