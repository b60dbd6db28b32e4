"""Receipts as JSON-RPC shows them."""

from typing import Any

from eth_hash.auto import keccak

from rollup.engine import op_fields
from rollup.engine.formats import hexadecimal, log, place_of
from rollup.engine.transaction import included
from rollup.engine.values import Block, Receipt, bloom


def receipts(block: Block, chain_id: int) -> list[dict[str, Any]]:
    """All receipts of a block, in order."""
    out = []
    first_log = 0
    costs = op_fields.L1Costs.of(block)
    for index, (raw, receipt) in enumerate(zip(block.transactions, block.receipts, strict=True)):
        of_kind = (
            _of_deposit(block, index)
            if op_fields.is_deposit(raw)
            else _of_signed(block, index, chain_id) | (costs.fields(raw, receipt) if costs else {})
        )
        out.append(of_kind | _common(block, index, receipt, first_log))
        first_log += len(receipt.logs)
    return out


def _common(block: Block, index: int, receipt: Receipt, first_log: int) -> dict[str, Any]:
    transaction_hash = keccak(block.transactions[index])
    return {
        "transactionHash": hexadecimal(transaction_hash),
        **place_of(block, index),
        "from": hexadecimal(block.senders[index]),
        "contractAddress": hexadecimal(receipt.created) if receipt.created else None,
        "cumulativeGasUsed": hex(receipt.gas_used_cumulative),
        "gasUsed": hex(receipt.gas_used),
        "status": hex(receipt.status),
        "logsBloom": hexadecimal(bloom(receipt.logs)),
        "logs": [
            log(entry, block, transaction_hash, index, first_log + i)
            for i, entry in enumerate(receipt.logs)
        ],
    }


def _of_signed(block: Block, index: int, chain_id: int) -> dict[str, Any]:
    tx = included(block.transactions[index], chain_id, block.senders[index])
    return {
        "to": hexadecimal(tx.to) if tx.to else None,
        "effectiveGasPrice": hex(tx.price(block.header.base_fee or 0)),
        "type": hex(tx.type_id),
    }


def _of_deposit(block: Block, index: int) -> dict[str, Any]:
    return op_fields.deposit_receipt(block.transactions[index], block.receipts[index])
