"""What the two chains say about deposits and withdrawals, checked where it can be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.bedrock.portal import MESSAGE_PASSER, Output, OutputProof
from contracts.rpc import Node, Rejected, data, hexadecimal, number
from node.exits import ChainTrouble
from protocol.errors import Malformed, Temporary
from rollup.codec.deposit import TRANSACTION_DEPOSITED, DepositTransaction, deposit_from_log
from rollup.codec.output import MESSAGE_PASSED, Withdrawal, output_root, withdrawal_from_log
from rollup.codec.refs import L1Log
from rollup.codec.trie import spelled_out, verify_proof

LOGS_MAX: Final = 10_000  # of one transaction
PROOF_NODES_MAX: Final = 64
PRESENT: Final = b"\x01"  # what the message passer stores for a withdrawal, as RLP


@dataclass(frozen=True, slots=True)
class Receipt:
    """A transaction in a block; logs only of one that succeeded."""

    block: int
    block_hash: bytes
    succeeded: bool
    logs: tuple[L1Log, ...]


async def receipt(node: Node, transaction: bytes) -> Receipt | None:
    """None while it is in no block."""
    value = await node.call("eth_getTransactionReceipt", hexadecimal(transaction))
    if value is None:
        return None
    if not isinstance(value, dict) or data(value.get("transactionHash"), 32) != transaction:
        raise Malformed("the node answered with the receipt of another transaction")
    logs = value.get("logs")
    if not isinstance(logs, list) or len(logs) > LOGS_MAX:
        raise Malformed("the node answered with a receipt without logs, or with too many")
    return Receipt(
        number(value.get("blockNumber")),
        data(value.get("blockHash"), 32),
        number(value.get("status")) == 1,
        tuple(_log(entry) for entry in logs),
    )


def withdrawals(found: Receipt) -> list[Withdrawal]:
    """What the transaction of an L2 receipt takes to the L1."""
    wanted = [
        log
        for log in found.logs
        if log.address == MESSAGE_PASSER and log.topics[:1] == (MESSAGE_PASSED,)
    ]
    return [withdrawal_from_log(log) for log in wanted]


def deposits(found: Receipt, portal: bytes) -> list[DepositTransaction]:
    """The L2 transactions that the transaction of an L1 receipt orders."""
    return [
        deposit_from_log(log, found.block_hash)
        for log in found.logs
        if log.address == portal and log.topics[:1] == (TRANSACTION_DEPOSITED,)
    ]


async def time_of_head(node: Node) -> int:
    block = await node.call("eth_getBlockByNumber", "latest", False)
    if not isinstance(block, dict):
        raise Temporary("the node has no latest block")
    return number(block.get("timestamp"))


async def balance(node: Node, owner: bytes) -> int:
    return number(await node.call("eth_getBalance", hexadecimal(owner), "latest"))


async def proof(
    l2: Node, withdrawal: Withdrawal, output: Output
) -> tuple[OutputProof, Sequence[bytes]]:
    """What the portal wants to see: the output's parts, and trie nodes down to the withdrawal.

    Raises `ChainTrouble` when the node has no such state any more, when the oracle's output is not
    of this chain, or when the withdrawal is not in it; nothing is sent that the portal refuses.
    """
    at = hex(output.block)
    header = await l2.call("eth_getBlockByNumber", at, False)
    if not isinstance(header, dict):
        raise Temporary(f"the L2 node has not come to block {output.block} yet")
    try:
        answer = await l2.call(
            "eth_getProof", hexadecimal(MESSAGE_PASSER), [hexadecimal(withdrawal.slot)], at
        )
    except Rejected as error:
        raise ChainTrouble(
            f"the L2 node gives no proof at block {output.block}: {error}; it may not keep so old "
            "a state: wait for the next output, or ask a node with more of rollup.states_kept"
        ) from error
    state_root, block_hash = data(header.get("stateRoot"), 32), data(header.get("hash"), 32)
    storage_root, nodes = _storage(answer)
    if output_root(state_root, storage_root, block_hash) != output.root:
        raise ChainTrouble(
            f"output {output.index} on L1, of L2 block {output.block}, is not what the L2 node at "
            "hand says; one of them is wrong: do not withdraw before it is known which"
        )
    if verify_proof(storage_root, withdrawal.slot, nodes) != PRESENT:
        raise ChainTrouble(f"withdrawal 0x{withdrawal.hash.hex()} is not in block {output.block}")
    # the portal wants to see nodes that eth_getProof leaves out because others hold them
    spelled = spelled_out(storage_root, withdrawal.slot, nodes)
    return (bytes(32), state_root, storage_root, block_hash), spelled


def _storage(answer: Any) -> tuple[bytes, list[bytes]]:
    """Storage root and nodes of the one slot that was asked for."""
    slots = answer.get("storageProof") if isinstance(answer, dict) else None
    nodes = slots[0].get("proof") if isinstance(slots, list) and _is_entry(slots) else None
    if not isinstance(nodes, list) or len(nodes) > PROOF_NODES_MAX:
        raise Malformed("the node answered eth_getProof with something else")
    return data(answer.get("storageHash"), 32), [data(node) for node in nodes]


def _is_entry(slots: list[Any]) -> bool:
    return len(slots) == 1 and isinstance(slots[0], dict)


def _log(value: Any) -> L1Log:
    if not isinstance(value, dict) or not isinstance(value.get("topics"), list):
        raise Malformed("the node answered with something that is no log")
    return L1Log(
        data(value.get("address"), 20),
        tuple(data(topic, 32) for topic in value["topics"]),
        data(value.get("data")),
        number(value.get("logIndex")),
    )
