"""An L1 (anvil, or ours) with the bedrock contracts, an L2 engine that follows it, and a user."""

import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import pytest
import trio

from contracts.bedrock.deploy import BedrockSetup, addresses, batch_inbox, gas, steps
from contracts.bedrock.genesis import Anchor, L2Setup, l2_genesis, rollup_json
from contracts.bedrock.portal import L1Contracts
from contracts.outbox import Outbox
from contracts.rpc import Rpc, connect, data, number
from node.bridge import actions
from node.bridge.actions import Options
from node.bridge.book import Kind
from node.bridge.reports import Report
from node.clock import SystemClock
from node.engine_link import token
from node.keystore import LocalSigner, encrypt
from node.store import Store
from rollup.codec.config import RollupConfig
from rollup.codec.genesis import genesis_header
from rollup.codec.refs import L2BlockRef
from rollup.derive.attributes import build_attributes
from rollup.derive.l1_traversal import after
from rollup.engine.genesis import genesis
from rollup.sources.engine import EngineClient
from rollup.sources.l1 import L1

ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "tests/npm/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
needs_anvil = pytest.mark.skipif(
    not ANVIL.exists() and not os.environ.get("CI"),
    reason="anvil is not installed (npm ci --prefix tests/npm); CI has it",
)
L1_CHAIN, L2_CHAIN = 9016, 9017
ETHER = 10**18
INTERVAL, PERIOD = 2, 3  # L2 blocks between outputs; seconds until a withdrawal is paid
PATIENCE = 120.0
PASSWORD = "correct horse battery staple"


def signer(name: str) -> LocalSigner:
    return LocalSigner(name.encode().rjust(32, b"\x01"))


USER, DEPLOYER, PROPOSER = signer("user"), signer("deployer"), signer("proposer")
BATCHER, SIGNER, FRIEND = signer("batcher"), signer("signer"), b"\x0f" * 20
RICH = (USER, DEPLOYER, PROPOSER)


@dataclass
class Ended:
    """What a command printed, and its exit code (negative: the signal that killed it)."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.code == 0, (self.out, self.err)
        rows: list[dict[str, Any]] = json.loads(self.out)
        return rows


@dataclass
class World:
    folder: Path
    l1: Rpc
    l2: Rpc
    engine: EngineClient
    config: RollupConfig
    where: dict[str, bytes]
    proposer: Outbox
    proposing: trio.Event = field(default_factory=trio.Event)  # unset: no outputs
    origin_max: int | None = None  # the L2 goes no further on L1 than this

    @property
    def contracts(self) -> L1Contracts:
        return L1Contracts(self.l1, self.where)

    @property
    def options(self) -> Options:
        return Options(self.folder / "node.toml", wait_seconds=PATIENCE)

    async def cross(self, kind: Kind, amount: str | None = None, to: str | None = None) -> Report:
        """The report of one crossing that `openledger bridge` sees through, in this process."""
        (row,) = await actions.cross(self.options, kind, amount, to, False)
        return row

    async def look(self, transaction: str | None = None) -> list[Report]:
        return await actions.look(self.options, transaction)

    async def run(self, *arguments: str, kill_after: float | None = None) -> Ended:
        """`openledger bridge ...` on the user's settings, killed if it takes longer than asked."""
        command = [sys.executable, "-m", "node", "bridge", arguments[0]]
        command += [str(self.folder / "node.toml"), *arguments[1:]]
        limit = PATIENCE if kill_after is None else kill_after
        process = await trio.lowlevel.open_process(
            command, stdout=PIPE, stderr=PIPE, stdin=DEVNULL, cwd=ROOT
        )
        out, err = bytearray(), bytearray()

        async def read(stream: Any, into: bytearray) -> None:
            async with stream:
                async for chunk in stream:
                    into += chunk

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, process.stdout, out)
            nursery.start_soon(read, process.stderr, err)
            try:
                with trio.move_on_after(limit):
                    await process.wait()
            finally:
                await killed(process)
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def balance(self, owner: bytes) -> int:
        return number(await self.l2.call("eth_getBalance", "0x" + owner.hex(), "latest"))

    async def follow(self) -> None:
        """A sequencer of few lines: one block per slot, with all deposits and all of the pool."""
        source = L1(self.l1)
        system, head = self.config.genesis.system_config, await self._head()
        while True:
            origin = await source.block(head.l1_origin.hash)
            due = head.time + self.config.block_time
            following = await source.ref_by_number(origin.ref.number + 1)
            if following is not None and due >= following.time and self._may(following.number):
                origin = await source.block(following.hash)
            if time.time() < due or (following is None and due > origin.ref.time + 4):
                await trio.sleep(0.05)
                continue
            wanted = build_attributes(self.config, system, head, origin)
            if origin.ref.number != head.l1_origin.number:
                system = after(self.config, system, origin)
            head = await self._build(head, wanted)

    def _may(self, origin: int) -> bool:
        return self.origin_max is None or origin <= self.origin_max

    async def _head(self) -> L2BlockRef:
        head = await self.engine.ref("latest")
        assert head is not None
        return head

    async def _build(self, head: L2BlockRef, wanted: Any) -> L2BlockRef:
        from dataclasses import replace

        wanted = replace(wanted, no_tx_pool=False)
        begun = await self.engine.forkchoice(head.hash, head.hash, head.hash, wanted)
        assert begun.payload_id is not None, begun
        await trio.sleep(0.2)
        envelope = await self.engine.get_payload(begun.payload_id)
        status = await self.engine.new_payload(envelope)
        assert status.status == "VALID", status
        block = envelope.payload.block_hash
        await self.engine.forkchoice(block, block, head.hash)
        return await self._head()

    async def propose(self) -> None:
        """Outputs as soon as they are due, while `proposing` is set."""
        from contracts import abi
        from contracts.bedrock.published import artifact

        entry = artifact("L2OutputOracle").functions["proposeL2Output"]
        due = INTERVAL
        while True:
            await self.proposing.wait()
            head = await self._head()
            times = await self.l1.call("eth_getBlockByNumber", "latest", False)
            when = self.config.genesis.l2_time + due * self.config.block_time
            if head.number < due or number(times["timestamp"]) <= when:
                await trio.sleep(0.2)
                continue
            values = (await self.engine.output_root(due), due, bytes(32), 0)
            call = abi.selector(entry) + abi.encode(entry["inputs"], values)
            key = f"output/{due}"
            self.proposer.intend(key, self.where["L2OutputOracle"], call, 0, 200_000)
            outcome = await self.proposer.outcome(key)
            assert outcome.succeeded, outcome
            due += INTERVAL


@asynccontextmanager
async def world(folder: Path, l1_kind: str) -> AsyncIterator[World]:
    """Everything runs inside the block; the user has 100 OPEN and ether on L1, nothing on L2."""
    async with trio.open_nursery() as nursery:
        url = await nursery.start(anvil if l1_kind == "anvil" else ours, folder)
        async with connect(url) as l1:
            if l1_kind == "ours":
                nursery.start_soon(mine, l1)
            where, config = await deployed(l1, folder)
            engine_url, auth_url, secret = await nursery.start(l2_engine, folder)
            write_settings(folder, url, engine_url, where)
            bearer = lambda: token(secret, int(time.time()))  # noqa: E731
            with Store.open(folder / "proposer") as store:
                async with connect(engine_url) as l2, connect(auth_url, bearer=bearer) as auth:
                    outbox = sender(store, l1, PROPOSER)
                    built = World(folder, l1, l2, EngineClient(auth, config), config, where, outbox)
                    built.proposing.set()
                    for task in (outbox.run, built.follow, built.propose):
                        nursery.start_soon(task)
                    yield built
                    nursery.cancel_scope.cancel()


def sender(store: Any, l1: Rpc, who: LocalSigner) -> Outbox:
    return Outbox(store, l1, who, L1_CHAIN, clock=SystemClock(), confirmations=0, poll_seconds=0.1)


async def deployed(l1: Rpc, folder: Path) -> tuple[dict[str, bytes], RollupConfig]:
    """Anchor the L2 at the L1's block 0, write its files, then deploy."""
    block = await l1.call("eth_getBlockByNumber", "0x0", False)
    setup = BedrockSetup(
        deployer=DEPLOYER.address,
        batcher=BATCHER.address,
        proposer=PROPOSER.address,
        challenger=DEPLOYER.address,
        unsafe_block_signer=SIGNER.address,
        batch_inbox=batch_inbox(L2_CHAIN),
        l2_genesis_time=number(block["timestamp"]),
        submission_interval=INTERVAL,
        finalization_seconds=PERIOD,
        mints=((USER.address, 100 * ETHER),),
    )
    where = addresses(setup)
    begin = L2Setup(
        l1=where,
        owner=DEPLOYER.address,
        fee_recipient=DEPLOYER.address,
        timestamp=setup.l2_genesis_time,
    )
    value = l2_genesis(begin)
    (folder / "genesis.json").write_text(json.dumps(value))
    rollup = rollup_json(
        *(setup, where),
        l1_chain_id=L1_CHAIN,
        l1_anchor=Anchor(data(block["hash"], 32), 0),
        l2_genesis_hash=genesis_header(value).hash,
    )
    (folder / "rollup.json").write_text(json.dumps(rollup))
    with Store.open(folder / "deployer") as store:
        outbox = sender(store, l1, DEPLOYER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.run)
            todo = steps(setup)
            for at, step in enumerate(todo):
                outbox.intend(str(at), step.to or b"", step.data, step.value, gas(step))
            for at, step in enumerate(todo):
                outcome = await outbox.outcome(str(at))
                assert outcome.succeeded, (step.what, outcome)
            nursery.cancel_scope.cancel()
    return where, RollupConfig.parse(rollup)


def write_settings(folder: Path, l1: str, l2: str, where: dict[str, bytes]) -> None:
    encrypt(folder / "user.json", USER.secret, PASSWORD, cost=2)
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o600)
    contracts = "".join(f'{name} = "0x{at.hex()}"\n' for name, at in where.items())
    (folder / "network.toml").write_text(
        f'name = "bridged"\nchain_id = {L2_CHAIN}\nfork_digest = "00000000"\n'
        f"deployment_block = 0\n[l1_contracts]\n{contracts}"
    )
    (folder / "node.toml").write_text(
        f"""network = "./network.toml"
data_dir = "data"
roles = ["validator"]
[keys]
keystore = "user.json"
password_file = "password"
[chain]
rpc_url = "{l2}"
confirmations = 0
poll_seconds = 0.1
[rollup]
l1_rpc_url = "{l1}"
l1_confirmations = 0
l1_poll_seconds = 0.1
config = "rollup.json"
genesis = "genesis.json"
"""
    )


# ---------------------------------------------------------------- processes


async def anvil(folder: Path, task_status: Any) -> None:
    command = [str(ANVIL), "--port", "0", "--block-time", "1", "--chain-id", str(L1_CHAIN)]
    async with child([*command, "--hardfork", "prague"], DEVNULL) as lines:
        async for line in lines:
            if line.startswith("Listening on "):
                break
        url = "http://" + line.removeprefix("Listening on ").strip()
        async with connect(url) as rpc:
            for who in RICH:
                await rpc.call("anvil_setBalance", "0x" + who.address.hex(), hex(100 * ETHER))
        task_status.started(url)
        async for _ in lines:
            pass


async def ours(folder: Path, task_status: Any) -> None:
    """Our own engine without the OP rules; `mine` makes its blocks."""
    alloc = {who.address: 100 * ETHER for who in RICH}
    (folder / "l1.json").write_text(json.dumps(genesis(L1_CHAIN, alloc, int(time.time()) - 1)))
    command = engine_command(folder / "l1-data", folder / "l1.json")
    async with child(command, None) as lines:
        port = json.loads(await anext(lines))["port"]
        task_status.started(f"http://127.0.0.1:{port}")
        async for _ in lines:
            pass


async def mine(l1: Rpc) -> None:
    """A block per second of the L1's own engine."""
    while True:
        await trio.sleep(1)
        block = await l1.call("eth_getBlockByNumber", "latest", False)
        when = max(int(time.time()), number(block["timestamp"]) + 1)
        await l1.call("openledger_buildBlock", hex(when))


async def l2_engine(folder: Path, task_status: Any) -> None:
    secret = os.urandom(32)
    (folder / "jwt.hex").write_text(secret.hex())
    command = engine_command(folder / "l2-data", folder / "genesis.json")
    command += ["--engine-port", "0", "--jwt", str(folder / "jwt.hex")]
    async with child(command, None) as lines:
        ports = json.loads(await anext(lines))
        urls = [f"http://127.0.0.1:{ports[name]}" for name in ("port", "engine_port")]
        task_status.started((*urls, secret))
        async for _ in lines:
            pass


def engine_command(store: Path, file: Path) -> list[str]:
    command = [sys.executable, "-m", "rollup.engine", "--data", str(store), "--port", "0"]
    return [*command, "--genesis", str(file), "--parent-pid", str(os.getpid())]


@asynccontextmanager
async def child(command: Sequence[str], stderr: int | None) -> AsyncIterator[AsyncIterator[str]]:
    """The lines that it prints; it is ended with the block."""
    process = await trio.lowlevel.open_process(command, stdout=PIPE, stderr=stderr, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield _lines(process.stdout)
    finally:
        await killed(process)
        with trio.CancelScope(shield=True):
            await process.stdout.aclose()


async def killed(process: trio.Process) -> None:
    if process.returncode is None:
        process.kill()
    with trio.CancelScope(shield=True):
        await process.wait()


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode()
