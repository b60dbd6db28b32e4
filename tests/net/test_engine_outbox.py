"""Client, outbox and follower against a real engine, through a reorg and an engine's kill -9."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import trio
from coincurve import PrivateKey

from contracts.chain import Block, Follower
from contracts.intents import Done, Unsent
from contracts.outbox import Outbox
from contracts.rpc import Rejected, Reverted, connect
from protocol.errors import Reset
from tests.net.engine_process import CHAIN_ID, INITCODE, PATIENCE, RICH, Engine, engine

REVERTS = bytes.fromhex("5f5ffd")
DEPLOYS_REVERTS = b"\x60%c\x80\x60\x0a\x5f\x39\x5f\xf3\x00" % len(REVERTS) + REVERTS


class Store:
    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(k, v) for k, v in self._values.items() if k.startswith(prefix)])

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        for key, value in puts.items():
            self._values.pop(key, None)
            if value is not None:
                self._values[key] = value


class Signer:
    address = bytes.fromhex(RICH.address[2:])

    def sign(self, digest: bytes) -> bytes:
        signature = PrivateKey(bytes(RICH.key)).sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


class Clock:
    now = staticmethod(time.time)


async def drive(running: Engine, outbox: Outbox, rounds: int = 5) -> None:
    for _ in range(rounds):
        await outbox.step()
        await trio.to_thread.run_sync(running.build)


async def test_intents_run_on_the_engine_and_their_logs_come_back(tmp_path: Path) -> None:
    """Deploy, call, a refused call; the follower sees the logs; a reorg sends the call again."""
    with trio.fail_after(PATIENCE), engine(tmp_path, "--allow-rollback") as running:
        async with connect(running.url) as rpc:
            outbox = Outbox(Store(), rpc, Signer(), CHAIN_ID, clock=Clock(), confirmations=2)
            outbox.intend("deploy", b"", INITCODE)
            outbox.intend("deploy a refuser", b"", DEPLOYS_REVERTS)
            await drive(running, outbox)
            deployed, refuser = outbox.result("deploy"), outbox.result("deploy a refuser")
            assert isinstance(deployed, Done)
            assert isinstance(refuser, Done)

            outbox.intend("call", deployed.contract, b"")
            outbox.intend("refused", refuser.contract, b"")
            await drive(running, outbox, 1)
            head = int(running("eth_blockNumber"), 16)
            running("openledger_rollback", hex(head - 1))
            await drive(running, outbox)
            with pytest.raises(Reverted):
                await rpc.call("eth_call", {"to": "0x" + refuser.contract.hex()}, "latest")
            with pytest.raises(Rejected, match="does not exist"):
                await rpc.call("no_such")

            seen = await blocks(rpc, deployed.contract, int(running("eth_blockNumber"), 16))

            called = outbox.result("call")
            assert isinstance(called, Done)
            assert called.succeeded
            assert isinstance(outbox.result("refused"), Unsent)
            assert [b.number for b in seen] == list(range(len(seen)))
            (log,) = [log for b in seen for log in b.logs]
            assert (log.transaction, int.from_bytes(log.data, "big")) == (called.transaction, 42)
            assert int(running("eth_getTransactionCount", RICH.address, "latest"), 16) == 3


async def blocks(rpc: object, address: bytes, last: int) -> list[Block]:
    seen: list[Block] = []

    async def deliver(block: Block) -> None:
        seen.append(block)
        if block.number == last:
            scope.cancel()

    with trio.CancelScope() as scope:
        await Follower(rpc, [address], 0, confirmations=0).run(deliver)  # type: ignore[arg-type]
    return seen


async def test_a_rollback_resets_the_follower(tmp_path: Path) -> None:
    """Deeper than its confirmations, seen over the wire."""
    with trio.fail_after(PATIENCE), engine(tmp_path, "--allow-rollback") as running:
        async with connect(running.url) as rpc:
            for _ in range(3):
                running.build()

            async def deliver(block: Block) -> None:
                if block.number == 3:
                    running("openledger_rollback", "0x1")
                    running.send(0, to=b"\x99" * 20, value=1)
                    running.build()
                    running.build()

            with pytest.raises(Reset):
                await Follower(rpc, [], 0, confirmations=0, poll_seconds=0.01).run(deliver)


async def test_an_intent_outlives_the_engine_that_lost_it(tmp_path: Path) -> None:
    """The pool is in memory; the engine dies before the block, the outbox sends the same bytes."""
    store = Store()
    with engine(tmp_path) as running:
        async with connect(running.url) as rpc:
            outbox = Outbox(store, rpc, Signer(), CHAIN_ID, clock=Clock())
            outbox.intend("pay", b"\x99" * 20, b"", value=7)
            await outbox.step()
            running.process.kill()
            with pytest.raises(httpx.TransportError):
                running("eth_chainId")
    with engine(tmp_path) as running:
        async with connect(running.url) as rpc:
            outbox = Outbox(store, rpc, Signer(), CHAIN_ID, clock=Clock())
            await drive(running, outbox)

            assert isinstance(outbox.result("pay"), Done)
            assert running("eth_getBalance", "0x" + "99" * 20, "latest") == "0x7"
