"""Whether the nodes that derive the L2 by themselves have come to one chain."""

from typing import Any

import trio

from contracts.rpc import connect, number
from node.exits import ChainTrouble
from node.testnet.stage import Stage
from protocol.errors import Temporary

AGREE_SECONDS = 120.0  # in which a node that was killed must have caught up
PAUSE_SECONDS = 1.0
TAGS = ("latest", "safe", "finalized")


async def compare(stage: Stage) -> list[dict[str, Any]]:
    """The heads of each deriving node; `ChainTrouble` unless all have one block at the lowest
    safe height, which lies above the genesis."""
    folder = stage.folder
    started = [name for name in folder.rpc_ports if name in stage.processes.children]
    names = [name for name in started if folder.ports.get(name)]
    with trio.move_on_after(AGREE_SECONDS):
        while True:
            try:
                rows = [await _heads(name, folder.rpc_of(name)) for name in names]
                lowest = min(row["safe"] for row in rows)
                hashes = {await _hash(folder.rpc_of(name), lowest) for name in names}
            except Temporary:
                hashes, lowest = set(), 0
            if lowest and len(hashes) == 1:
                return [{**row, "common": lowest, "hash": hashes.copy().pop()} for row in rows]
            await trio.sleep(PAUSE_SECONDS)
    raise ChainTrouble(f"the deriving nodes {', '.join(names)} do not come to one chain")


async def _heads(name: str, url: str) -> dict[str, Any]:
    async with connect(url) as rpc:
        heads: dict[str, Any] = {"node": name}
        for tag in TAGS:
            block = await rpc.call("eth_getBlockByNumber", tag, False)
            heads[tag] = number(block["number"]) if block else 0
        return heads


async def _hash(url: str, height: int) -> str | None:
    async with connect(url) as rpc:
        block = await rpc.call("eth_getBlockByNumber", hex(height), False)
        return block and str(block["hash"])
