"""Waits for the convictions of the lying prover, and tells them as the chain has them."""

from typing import Any

import trio

from contracts.abi import artifact
from contracts.rpc import number
from node.testnet.lies import lies_left
from node.testnet.stage import Stage
from protocol.court import Kind
from protocol.ledger import Status

LIE_SECONDS = 180.0  # in which the liar must find something new to lie about
PAUSE_SECONDS = 0.5


async def watch_lies(stage: Stage) -> list[dict[str, Any]]:
    """Wait until every kind of lie was punished, or the liar has found no more."""
    shown, rows = set[int](), list[dict[str, Any]]()
    deadline = trio.current_time() + LIE_SECONDS
    while lies_left(stage.desk.ledger) and trio.current_time() < deadline:
        for batch in list(stage.desk.ledger.batches.values()):
            if batch.status is Status.SLASHED and batch.batch not in shown:
                shown.add(batch.batch)
                rows.append(await _slashed(stage, batch.batch))
                stage.show.lie(rows[-1])
                deadline = trio.current_time() + LIE_SECONDS
        await trio.sleep(PAUSE_SECONDS)
    for batch in list(stage.desk.ledger.batches.values()):
        if batch.status is Status.SLASHED and batch.batch not in shown:
            rows.append(await _slashed(stage, batch.batch))
            stage.show.lie(rows[-1])
    if left := lies_left(stage.desk.ledger):
        stage.show.trouble(f"the liar found no occasion for: {', '.join(left)}")
    return rows


async def _slashed(stage: Stage, batch: int) -> dict[str, Any]:
    """The transaction that convicted a batch."""
    oracle = stage.desk.ledger.contracts["AttributionOracle"]
    events = artifact("AttributionOracle").events
    topic = next(key for key, entry in events.items() if entry["name"] == "BatchSlashed")
    where = {"address": "0x" + oracle.hex(), "fromBlock": "0x0", "toBlock": "latest"}
    topics = ["0x" + topic.hex(), f"0x{batch:064x}"]
    logs = await stage.desk.rpc.call("eth_getLogs", {**where, "topics": topics})
    transaction = logs[0]["transactionHash"]
    receipt = await stage.desk.rpc.call("eth_getTransactionReceipt", transaction)
    record = stage.desk.ledger.batches[batch]
    rules = stage.desk.ledger.parameters[record.version]
    bond = max(rules.bond_min, record.header.total * rules.bond_bps // 10_000)
    return {
        "kind": Kind(record.convicted_of).name.lower(),
        "batch": batch,
        "challenge": transaction,
        "gas": number(receipt["gasUsed"]),
        "slashed": str(bond),
    }
