"""L1, a sequencer and two nodes that derive, as processes: killed at drawn moments, L1 reorganised.

After all of it there is one chain, every deposit has arrived once, and no batch was posted twice.
"""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx
import trio

from contracts.rpc import Rpc, connect, number
from node.testnet.derived import compare
from node.testnet.folder import L1, Folder, specs
from node.testnet.layer1 import DEPOSIT, Layer1, open_layer1
from node.testnet.processes import Processes
from protocol.errors import Temporary

SEED, KILLS, WINDOW = 7, 6, 60
KILL_SECONDS = (1.5, 5.0)  # between two drawn kills
DEADLINE = 420.0
REORG_BLOCKS = 2
NAMES = ("sequencer", "curator", "validator")
ACCOUNTS = ("payer", "deployer")


@asynccontextmanager
async def network(path: Path) -> AsyncIterator[tuple[Folder, Processes, Layer1]]:
    folder = Folder.open(path, WINDOW)
    nodes = [node for node in specs(0) if node.name in NAMES]
    folder.choose_ports(nodes)
    folder.write_l1_genesis()
    processes = Processes(folder)
    try:
        async with trio.open_nursery() as nursery:
            processes.start(L1)
            nursery.start_soon(processes.watch)
            async with open_layer1(folder) as layer1:
                await layer1.write_rollup()
                folder.write_nodes(nodes, None, layer1.where)
                for node in nodes:
                    processes.start(node)
                yield folder, processes, layer1
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await processes.stop()


def quiet(step: int, total: int, note: str = "") -> None:
    """No progress bar."""


def kill(folder: Folder, processes: Processes, name: str, engine: bool) -> None:
    """kill -9 of a node, with which its engine ends, or of its engine alone."""
    if not engine:
        processes.kill(name)
        return
    data = str(folder.path / "nodes" / name / "data" / "engine").encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if data in words:
            os.kill(int(entry.name), signal.SIGKILL)


async def chaos(folder: Folder, processes: Processes, random: Random) -> None:
    for _ in range(KILLS):
        await trio.sleep(random.uniform(*KILL_SECONDS))
        kill(folder, processes, random.choice(NAMES), engine=random.random() < 0.5)


async def reorganise(rpc: Rpc) -> None:
    """L1 drops its last blocks; what was in them is in none until it is sent again."""
    head = number(await rpc.call("eth_blockNumber"))
    await rpc.call("openledger_rollback", hex(head - REORG_BLOCKS))


async def posted(rpc: Rpc, inbox: str) -> Counter[str]:
    """How often each batcher transaction's data stands in the canonical L1."""
    found = Counter[str]()
    for height in range(number(await rpc.call("eth_blockNumber")) + 1):
        block = await rpc.call("eth_getBlockByNumber", hex(height), True)
        found.update(tx["input"] for tx in block["transactions"] if tx["to"] == inbox)
    return found


async def resets(url: str) -> float:
    """How often the node found that L1 had moved under what it had derived, since its start."""
    async with httpx.AsyncClient(trust_env=False) as client:
        shown = (await client.get(f"{url}/metrics")).text
    found = re.search(r'^openledger_derivation{what="resets"} (\S+)$', shown, re.MULTILINE)
    assert found
    return float(found[1])


async def balance(url: str, address: bytes) -> int:
    async with connect(url) as rpc:
        return number(await rpc.call("eth_getBalance", "0x" + address.hex(), "safe"))


async def until_safe(folder: Folder, above: int) -> int:
    rows = await compare(folder, NAMES, above)
    return int(rows[0]["common"])


async def arrived(folder: Folder) -> None:
    """Every node has derived the deposits, each to the wei."""
    todo = {(name, account) for name in NAMES for account in ACCOUNTS}
    while todo:
        for name, account in sorted(todo):
            try:
                found = await balance(folder.rpc_of(name), folder.signer(account).address)
            except Temporary:
                continue
            assert found in (0, DEPOSIT)
            if found:
                todo.discard((name, account))
        await trio.sleep(0.5)


async def test_one_chain_whatever_is_killed_and_however_l1_moves(tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE):
        async with network(tmp_path / "net") as (folder, processes, layer1):
            await layer1.deploy(quiet)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(chaos, folder, processes, Random(SEED))
                await layer1.deposit(ACCOUNTS, quiet)
            height = await until_safe(folder, 0)
            await arrived(folder)
            rollup = json.loads((folder.path / "rollup.json").read_text())
            before = await posted(layer1.rpc, rollup["batch_inbox_address"])
            assert before
            assert set(before.values()) == {1}

            await reorganise(layer1.rpc)
            height = await until_safe(folder, height + 20)
            await arrived(folder)
            after = await posted(layer1.rpc, rollup["batch_inbox_address"])
            assert set(after.values()) == {1}
            for name in NAMES:
                assert await resets(folder.url(name)) >= 1, name
