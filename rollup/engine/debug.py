"""debug_getRaw* methods: headers, blocks, transactions and receipts in their consensus encoding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rlp

from rollup.engine.formats import data, hexadecimal
from rollup.engine.lookup import Lookup
from rollup.engine.values import Block

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Debug:
    lookup: Lookup
    raw_transaction: Method

    def methods(self) -> dict[str, Method]:
        return {
            "debug_getRawHeader": self.header,
            "debug_getRawBlock": self.block,
            "debug_getRawReceipts": self.receipts,
            "debug_getRawTransaction": self.transaction,
        }

    def header(self, tag: Any) -> str:
        return hexadecimal(self.lookup.known(tag).header.encode())

    def block(self, tag: Any) -> str:
        return hexadecimal(encode_block(self.lookup.known(tag)))

    def receipts(self, tag: Any) -> list[str]:
        block = self.lookup.known(tag)
        pairs = zip(block.receipts, block.transactions, strict=True)
        return [hexadecimal(receipt.encode(type_of(raw))) for receipt, raw in pairs]

    def transaction(self, value: Any) -> Any:
        return self.raw_transaction(hexadecimal(data(value, 32, "transaction hash")))


def type_of(raw: bytes) -> int:
    """The EIP-2718 type of an encoded transaction, 0 for a legacy one."""
    return 0 if raw[0] >= 0xC0 else raw[0]


def encode_block(block: Block) -> bytes:
    """RLP of header, transactions, no uncles, and since Shanghai a list of no withdrawals."""
    transactions = [rlp.decode(raw) if raw[0] >= 0xC0 else raw for raw in block.transactions]
    withdrawals: list[Any] = [] if block.header.withdrawals_root is None else [[]]
    parts = [rlp.decode(block.header.encode()), transactions, [], *withdrawals]
    return bytes(rlp.encode(parts))
