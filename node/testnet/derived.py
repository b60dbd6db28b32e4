"""Whether the nodes that derive the L2 by themselves have come to one chain."""

from collections.abc import Sequence
from typing import Any

import trio

from contracts.rpc import connect, number
from node.exits import ChainTrouble
from node.testnet.folder import Folder
from node.testnet.processes import Processes
from protocol.errors import Temporary

AGREE_SECONDS = 120.0  # in which a node that was killed must have caught up
PAUSE_SECONDS = 1.0
TAGS = ("latest", "safe", "finalized")


def deriving(folder: Folder, processes: Processes) -> list[str]:
    """The nodes that have an engine of their own and were started."""
    return [name for name in folder.ports if {name} <= folder.rpc_ports.keys() & processes.children]


async def compare(folder: Folder, names: Sequence[str], above: int = 0) -> list[dict[str, Any]]:
    """The heads of each deriving node; `ChainTrouble` unless all come to have one block at the
    lowest safe height, and that lies above `above`."""
    with trio.move_on_after(AGREE_SECONDS):
        while True:
            try:
                rows = [await _heads(name, folder.rpc_of(name)) for name in names]
                lowest = min(row["safe"] for row in rows)
                hashes = {await _hash(folder.rpc_of(name), lowest) for name in names}
            except Temporary:
                hashes, lowest = set(), above
            if lowest > above and len(hashes) == 1 and None not in hashes:
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
