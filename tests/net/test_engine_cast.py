"""Foundry's cast, unchanged, against the engine: as an L1, and as an OP Stack chain."""

import json
import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.net.engine_process import INITCODE, RICH, RUNTIME
from tests.net.engine_served import Served, served
from tests.net.op_served import OpServed, op_served
from tests.unit.optimism_world import CHAIN_ID as OP_CHAIN_ID
from tests.unit.optimism_world import ETHER, deposit

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
CAST = ROOT / f"tests/npm/node_modules/@foundry-rs/cast-linux-{MACHINE}/bin/cast"
KEY = "0x" + "ac" * 32
PATIENCE = 60.0

if not CAST.exists():
    if "CI" in os.environ:
        raise RuntimeError(f"{CAST} is not installed: npm ci --prefix tests/npm")
    pytest.skip("cast is not installed (npm ci --prefix tests/npm)", allow_module_level=True)


async def cast(port: int, folder: Path, *arguments: str) -> str:
    """What it prints; its own configuration stays out of the user's home."""
    environment = {"ETH_RPC_URL": f"http://127.0.0.1:{port}", "HOME": str(folder)}
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            [str(CAST), *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


async def mined(one: Served | OpServed, build: Callable[[], Any], *arguments: str) -> Any:
    """The receipt of a transaction that cast sends and waits for."""
    found: list[str] = []
    listening = one.methods.feed.listen()
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            found.append(await cast(one.port, Path("/"), *arguments))

        nursery.start_soon(send)
        await listening.events.receive()
        await build()
    listening.close()
    return json.loads(found[0])


SEND = ("send", "--private-key", KEY, "--json")


async def test_deploy_send_call_and_look(tmp_path: Path) -> None:
    """What people do with it by hand, on the L1."""
    async with served(tmp_path) as one:

        async def ask(*arguments: str) -> str:
            return await cast(one.port, tmp_path, *arguments)

        created = await mined(one, one.build, *SEND, "--create", "0x" + INITCODE.hex())
        address = created["contractAddress"]
        called = await mined(one, one.build, *SEND, address, "x()")
        legacy = await mined(one, one.build, *SEND, "--legacy", "--value", "5", address)

        assert (created["status"], called["status"], legacy["type"]) == ("0x1", "0x1", "0x0")
        assert await ask("chain-id") == "31337"
        assert await ask("block-number") == "3"
        assert await ask("client") == "OpenLedger/v0.1.0/py-evm"
        assert await ask("code", address) == "0x" + RUNTIME.hex()
        assert await ask("call", address, "x()(uint256)") == "42"
        assert await ask("balance", address) == "5"
        assert await ask("balance", address, "--block", "2") == "0"
        assert await ask("nonce", RICH.address) == "3"
        assert await ask("storage", address, "0") == "0x" + "00" * 32
        # the estimate keeps 1.5 % in hand, as geth's does
        assert 22_094 <= int(await ask("estimate", address, "x()")) <= 22_430
        assert int(await ask("gas-price")) > int(await ask("base-fee"))
        assert "gas used" in await ask("access-list", address, "x()")
        logs = json.loads(await ask("logs", "--json", "--from-block", "0", "--address", address))
        assert logs[0]["transactionHash"] == called["transactionHash"]
        proof = json.loads(await ask("proof", address, "0"))
        assert (proof["nonce"], len(proof["storageProof"])) == ("0x1", 1)
        head = json.loads(await ask("block", "latest", "--json"))
        assert head["transactions"] == [legacy["transactionHash"]]
        assert await ask("tx", called["transactionHash"], "from") == RICH.address
        assert (await ask("tx", called["transactionHash"], "--raw")).startswith("0x02")
        assert await ask("receipt", called["transactionHash"], "status") == "true"
        assert await ask("rpc", "eth_syncing") == "false"
        # it replays the block on its own machine, and so checks our gas
        assert "Gas used: 22094" in await ask("run", called["transactionHash"])


async def test_deposits_fees_and_tags_of_an_op_chain(tmp_path: Path) -> None:
    """cast reads type 0x7e and the L1 fees without a flag."""
    async with op_served(tmp_path) as one:
        gift = deposit(900, sender=b"\x55" * 20, to=b"\x66" * 20, mint=ETHER, value=1, gas=50_000)

        async def ask(*arguments: str) -> Any:
            text = await cast(one.port, tmp_path, *arguments)
            return json.loads(text) if "--json" in arguments else text

        first = await one.extend(gift)
        await one.node.update(first["blockHash"], safe=first["blockHash"])
        sent = await mined(one, one.extend, *SEND, "--value", "1", "0x" + "99" * 20)
        block = await ask("block", "1", "--full", "--json")
        given = await ask("tx", block["transactions"][1]["hash"], "--json")
        receipt = await ask("receipt", sent["transactionHash"], "--json")
        paid = await ask("receipt", block["transactions"][1]["hash"], "--json")
        numbers = [await ask("block", tag, "-f", "number") for tag in ("safe", "finalized")]
        chain = await ask("chain-id")

    assert chain == str(OP_CHAIN_ID)
    assert (given["type"], given["mint"]) == ("0x7e", hex(ETHER))
    assert given["sourceHash"] == f"0x{900:064x}"
    assert int(receipt["l1Fee"], 16) > 0
    assert receipt["operatorFeeConstant"] == "0x309"
    assert (paid["depositNonce"], paid["status"]) == ("0x0", "0x1")
    assert numbers == ["1", "0"]
