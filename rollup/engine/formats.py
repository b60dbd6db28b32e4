"""JSON-RPC values: strict readers for what clients send, writers for what they expect."""

from typing import Any, Final

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.transaction import ACCESS_LIST, LEGACY, Transaction, decode
from rollup.engine.values import EMPTY_REQUESTS, EMPTY_TRIE, EMPTY_UNCLES, Block, Log, bloom

DATA_BYTES_MAX: Final = 1 << 20
TAGS: Final = ("latest", "pending", "safe", "finalized", "earliest")


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


def block(value: Block, full: bool, chain_id: int) -> dict[str, Any]:
    header = value.header
    return {
        "number": hex(header.number),
        "hash": hexadecimal(value.hash),
        "parentHash": hexadecimal(header.parent_hash),
        "nonce": "0x" + "00" * 8,
        "mixHash": hexadecimal(header.mix_hash),
        "sha3Uncles": hexadecimal(EMPTY_UNCLES),
        "logsBloom": hexadecimal(header.bloom),
        "transactionsRoot": hexadecimal(header.transactions_root),
        "stateRoot": hexadecimal(header.state_root),
        "receiptsRoot": hexadecimal(header.receipts_root),
        "miner": hexadecimal(header.coinbase),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": "0x",
        "size": hex(value.size),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee),
        "withdrawalsRoot": hexadecimal(EMPTY_TRIE),
        "withdrawals": [],
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": hexadecimal(bytes(32)),
        "requestsHash": hexadecimal(EMPTY_REQUESTS),
        "uncles": [],
        "transactions": [
            transaction(tx, chain_id, value, i)
            for i, tx in enumerate(transactions(value, chain_id))
        ]
        if full
        else [hexadecimal(keccak(raw)) for raw in value.transactions],
    }


def transactions(value: Block, chain_id: int) -> list[Transaction]:
    pairs = zip(value.transactions, value.senders, strict=True)
    return [decode(raw, chain_id, sender) for raw, sender in pairs]


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
        "gasPrice": hex(tx.price(place.header.base_fee) if place else tx.max_fee_per_gas),
        "input": hexadecimal(tx.data),
        "chainId": hex(chain_id),
        "v": hex(tx.v),
        "r": hex(tx.r),
        "s": hex(tx.s),
        "blockHash": hexadecimal(place.hash) if place else None,
        "blockNumber": hex(place.number) if place else None,
        "transactionIndex": hex(index) if place else None,
    }
    if tx.type_id != LEGACY:
        out["yParity"] = hex(tx.v)
        out["accessList"] = [
            {
                "address": hexadecimal(address),
                "storageKeys": [hexadecimal(slot.to_bytes(32, "big")) for slot in slots],
            }
            for address, slots in tx.access_list
        ]
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


def receipts(value: Block, chain_id: int) -> list[dict[str, Any]]:
    """All receipts of a block, in order."""
    out = []
    first_log = 0
    for index, (tx, receipt) in enumerate(
        zip(transactions(value, chain_id), value.receipts, strict=True)
    ):
        out.append(
            {
                "transactionHash": hexadecimal(tx.hash),
                "transactionIndex": hex(index),
                "blockHash": hexadecimal(value.hash),
                "blockNumber": hex(value.number),
                "from": hexadecimal(tx.sender),
                "to": hexadecimal(tx.to) if tx.to else None,
                "contractAddress": hexadecimal(receipt.created) if receipt.created else None,
                "cumulativeGasUsed": hex(receipt.gas_used_cumulative),
                "gasUsed": hex(receipt.gas_used),
                "effectiveGasPrice": hex(tx.price(value.header.base_fee)),
                "status": hex(receipt.status),
                "type": hex(tx.type_id),
                "logsBloom": hexadecimal(bloom(receipt.logs)),
                "logs": [
                    log(entry, value, tx.hash, index, first_log + i)
                    for i, entry in enumerate(receipt.logs)
                ],
            }
        )
        first_log += len(receipt.logs)
    return out


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
