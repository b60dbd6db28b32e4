"""The test network's own desk: deploys, funds, pays and claims, and follows the chain meanwhile."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from config.network import load_network
from contracts.deploy import steps
from contracts.outbox import Outbox
from contracts.rpc import Rpc, connect, number
from node.chain import ContractChain
from node.clock import SystemClock
from node.exits import ChainTrouble
from node.metrics import Metrics
from node.store import Store
from node.testnet.accounts import Accounts
from node.testnet.folder import CHAIN_ID, Folder
from protocol.errors import Temporary
from protocol.ledger import Ledger

DEPLOY_GAS, CALL_GAS = 6_000_000, 400_000
DEPLOY_GAS_FIXED, DEPLOY_GAS_BYTE = 600_000, 230  # what a creation takes at most, by its bytecode
WAIT_SECONDS = 300.0
POLL_SECONDS = 0.25


@dataclass
class Desk:
    """Two accounts: `chain` acts for the deployer, `payer` for the user who asks."""

    folder: Folder
    rpc: Rpc
    chain: ContractChain
    payer: Outbox
    accounts: Accounts = field(default_factory=Accounts)

    @property
    def ledger(self) -> Ledger:
        return self.chain.ledger

    async def deploy(self, told: Callable[[int, int], None]) -> None:
        """Send every step once; a second start finds what the first one sent."""
        todo = steps(self.folder.setup)
        for place, step in enumerate(todo):
            gas = CALL_GAS
            if step.to is None:
                gas = DEPLOY_GAS_FIXED + DEPLOY_GAS_BYTE * len(step.data)
            key, to = f"deploy/{place}", step.to or b""
            self.chain.outbox.intend(key, to, step.data, step.value, min(gas, DEPLOY_GAS))
        for place in range(len(todo)):
            await self.done(f"deploy/{place}")
            told(place + 1, len(todo))

    async def done(self, key: str, outbox: Outbox | None = None) -> Any:
        """How an intent ended; `ChainTrouble` if it failed."""
        with trio.move_on_after(WAIT_SECONDS):
            outcome = await (outbox or self.chain.outbox).outcome(key)
            if not outcome.succeeded:
                raise ChainTrouble(f"{key}: {outcome.reason}")
            return outcome
        raise ChainTrouble(f"{key}: not confirmed in {WAIT_SECONDS:g} s")

    async def send(self, key: str, call: Any) -> Any:
        await self.chain.intend(key, call)
        return await self.done(key)

    async def pay(self, key: str, call: Any) -> Any:
        """As `send`, from the payer's account."""
        to, data, value = self.chain.bindings.encode(call)
        self.payer.intend(key, to, data, value)
        return await self.done(key, self.payer)

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait for the ledger to show something; its value."""
        with trio.move_on_after(WAIT_SECONDS):
            while not (found := condition()):  # noqa: ASYNC110
                await trio.sleep(POLL_SECONDS)
            return found
        raise ChainTrouble(f"{what}: not seen on chain in {WAIT_SECONDS:g} s")

    async def follow(self) -> None:
        """Fold the chain into ledger and accounts."""
        self.chain.watch = self.accounts.fold
        while True:
            try:
                await self.chain.follow(lambda: None)
            except* Temporary:
                await trio.sleep(1)

    async def funded(self, address: bytes, name: str) -> None:
        """Wait until a deposit has arrived; at once for who had one before."""
        with trio.move_on_after(WAIT_SECONDS):
            while not await self.balance(address):  # noqa: ASYNC110
                await trio.sleep(POLL_SECONDS)
            return
        raise ChainTrouble(f"the deposit for {name} did not arrive on the L2 in {WAIT_SECONDS:g} s")

    async def balance(self, address: bytes) -> int:
        return number(await self.rpc.call("eth_getBalance", "0x" + address.hex(), "latest"))


@asynccontextmanager
async def open_desk(folder: Folder) -> AsyncIterator[Desk]:
    """Follow the chain and send for both accounts inside the block."""
    network = load_network(str(folder.path / "network.toml"))
    clock = SystemClock()
    with Store.open(folder.path / "desk") as store:
        async with connect(folder.rpc_url) as rpc, trio.open_nursery() as nursery:
            await _answers(rpc)

            def outbox(name: str) -> Outbox:
                signer = folder.signer(name)
                space = store.namespace(name.encode() + b"/")
                return Outbox(
                    space, rpc, signer, CHAIN_ID, clock=clock, confirmations=1, poll_seconds=0.5
                )

            deployer, payer = outbox("deployer"), outbox("payer")
            chain = ContractChain(network, rpc, deployer, 1, 0.5, Metrics())
            nursery.start_soon(deployer.run)
            nursery.start_soon(payer.run)
            desk = Desk(folder, rpc, chain, payer)
            nursery.start_soon(desk.follow)
            yield desk
            nursery.cancel_scope.cancel()


async def _answers(rpc: Rpc) -> None:
    """Wait until the engine serves."""
    with trio.move_on_after(WAIT_SECONDS):
        while True:
            try:
                if number(await rpc.call("eth_blockNumber")) >= 1:
                    return
            except Temporary:
                pass
            await trio.sleep(POLL_SECONDS)
    raise ChainTrouble(f"the sequencer's engine does not answer in {WAIT_SECONDS:g} s")
