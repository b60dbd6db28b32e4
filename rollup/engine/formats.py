"""JSON-RPC values: strict readers for what clients send, and blocks and transactions for them."""

from typing import Any, Final

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.engine import op_fields
from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.transaction import ACCESS_LIST, LEGACY, AccessList, Transaction, decode, included
from rollup.engine.values import Block, Log

DATA_BYTES_MAX: Final = 1 << 20


def data(value: Any, size: int | None = None, name: str = "value") -> bytes:
    """Hex with 0x, an even number of digits; `size` in bytes if it is fixed."""
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise Failure(INVALID_PARAMS, f"invalid argument: {name} must be hex with 0x prefix")
    try:
        result = bytes.fromhex(value[2:])
    except ValueError as error:
        raise Failure(INVALID_PARAMS, f"invalid argument: {name} is not hex") from error
    if len(result) * 2 != len(value) - 2 or len(result) > DATA_BYTES_MAX:
        raise Failure(INVALID_PARAMS, f"invalid argument: {name} is not hex of an allowed length")
    if size is not None and len(result) != size:
        raise Failure(INVALID_PARAMS, f"invalid argument: {name} must be {size} bytes")
    return result


def quantity(value: Any, bits: int = 256, name: str = "value") -> int:
    """Hex with 0x, no sign and no underscore; a JSON integer is accepted too, as geth's clients
    send both."""
    if isinstance(value, int) and not isinstance(value, bool):
        result = value
    elif isinstance(value, str) and value[:2] == "0x" and 2 < len(value) <= 66 and value.isalnum():
        try:
            result = int(value[2:], 16)
        except ValueError as error:
            raise Failure(INVALID_PARAMS, f"invalid argument: {name} is not hex") from error
    else:
        raise Failure(INVALID_PARAMS, f"invalid argument: {name} must be a hex quantity")
    if not 0 <= result < 1 << bits:
        raise Failure(INVALID_PARAMS, f"invalid argument: {name} is out of range")
    return result


def hexadecimal(value: bytes) -> str:
    return "0x" + value.hex()


def header(value: Block) -> dict[str, Any]:
    """A header as geth shows it; what its fork lacks is left out."""
    return {**value.header.to_json(), "totalDifficulty": "0x0", "size": hex(value.size)}


def block(value: Block, full: bool, chain_id: int) -> dict[str, Any]:
    return {
        **header(value),
        **({} if value.header.withdrawals_root is None else {"withdrawals": []}),
        "uncles": [],
        "transactions": [
            transaction_in(value, index, chain_id) for index in range(len(value.transactions))
        ]
        if full
        else [hexadecimal(keccak(raw)) for raw in value.transactions],
    }


def transaction_in(value: Block, index: int, chain_id: int) -> dict[str, Any]:
    """A block's transaction number `index`."""
    raw = value.transactions[index]
    if op_fields.is_deposit(raw):
        return op_fields.deposit(raw, value.receipts[index]) | place_of(value, index)
    return transaction(included(raw, chain_id, value.senders[index]), chain_id, value, index)


def transaction(
    tx: Transaction, chain_id: int, place: Block | None = None, index: int = 0
) -> dict[str, Any]:
    """`place` is None for one that still waits."""
    out: dict[str, Any] = {
        "hash": hexadecimal(tx.hash),
        "type": hex(tx.type_id),
        "nonce": hex(tx.nonce),
        "from": hexadecimal(tx.sender),
        "to": hexadecimal(tx.to) if tx.to else None,
        "value": hex(tx.value),
        "gas": hex(tx.gas),
        "gasPrice": hex(tx.price(place.header.base_fee or 0) if place else tx.max_fee_per_gas),
        "input": hexadecimal(tx.data),
        "chainId": hex(chain_id),
        "v": hex(tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
        **place_of(place, index),
    }
    if tx.type_id != LEGACY:
        out["yParity"] = hex(tx.v)
        out["accessList"] = access_list(tx.access_list)
    if tx.type_id not in (LEGACY, ACCESS_LIST):
        out["maxFeePerGas"] = hex(tx.max_fee_per_gas)
        out["maxPriorityFeePerGas"] = hex(tx.max_priority_fee_per_gas)
    if tx.authorization_list:
        out["authorizationList"] = [
            {
                "chainId": hex(a.chain_id),
                "address": hexadecimal(a.address),
                "nonce": hex(a.nonce),
                "yParity": hex(a.y_parity),
                "r": hex(a.r),
                "s": hex(a.s),
            }
            for a in tx.authorization_list
        ]
    return out


def access_list(value: AccessList) -> list[dict[str, Any]]:
    return [
        {
            "address": hexadecimal(address),
            "storageKeys": [hexadecimal(slot.to_bytes(32, "big")) for slot in slots],
        }
        for address, slots in value
    ]


def place_of(place: Block | None, index: int) -> dict[str, Any]:
    return {
        "blockHash": hexadecimal(place.hash) if place else None,
        "blockNumber": hex(place.number) if place else None,
        "transactionIndex": hex(index) if place else None,
    }


def log(entry: Log, place: Block, transaction_hash: bytes, index: int, n: int) -> dict[str, Any]:
    """`index` of its transaction, `n` of the log, both counted in the block."""
    return {
        "address": hexadecimal(entry.address),
        "topics": [hexadecimal(topic) for topic in entry.topics],
        "data": hexadecimal(entry.data),
        "blockNumber": hex(place.number),
        "blockHash": hexadecimal(place.hash),
        "blockTimestamp": hex(place.header.timestamp),
        "transactionHash": hexadecimal(transaction_hash),
        "transactionIndex": hex(index),
        "logIndex": hex(n),
        "removed": False,
    }


def raw_transaction(value: Any, chain_id: int) -> Transaction:
    try:
        return decode(data(value, name="transaction"), chain_id)
    except Malformed as error:
        raise Failure(INVALID_PARAMS, str(error)) from error
