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
    rows = list[dict[str, Any]]()
    deadline = trio.current_time() + LIE_SECONDS
    while True:
        left = lies_left(stage.desk.ledger)
        if await _tell_new(stage, rows):
            deadline = trio.current_time() + LIE_SECONDS
        if not left or trio.current_time() > deadline:
            break
        await trio.sleep(PAUSE_SECONDS)
    if left:
        stage.show.trouble(f"the liar found no occasion for: {', '.join(left)}")
    return rows


async def _tell_new(stage: Stage, rows: list[dict[str, Any]]) -> bool:
    """Append and show every conviction that is not told yet; whether there was one."""
    told = {row["batch"] for row in rows}
    slashed = [b.batch for b in stage.desk.ledger.batches.values() if b.status is Status.SLASHED]
    fresh = [batch for batch in slashed if batch not in told]
    for batch in fresh:
        rows.append(await _slashed(stage, batch))
        stage.show.lie(rows[-1])
    return bool(fresh)


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
    return {
        "kind": Kind(stage.desk.ledger.batches[batch].convicted_of).name.lower(),
        "batch": batch,
        "challenge": transaction,
        "gas": number(receipt["gasUsed"]),
        "slashed": str(stage.desk.accounts.bonds[batch]),
    }
