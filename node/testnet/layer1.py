"""The test network's desk on L1: deploys the rollup's contracts, deposits OPEN for everybody."""

import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from contracts.bedrock.deploy import BedrockSetup, addresses, batch_inbox, gas, steps
from contracts.bedrock.genesis import Anchor, L2Setup, keccak_da, l2_genesis, rollup_json
from contracts.bedrock.portal import approve, deposit
from contracts.outbox import Outbox
from contracts.rpc import Rpc, connect, data, number
from node.clock import SystemClock
from node.exits import ChainTrouble
from node.store import Store
from node.testnet.folder import CHAIN_ID, L1_CHAIN_ID, SPECS, Folder
from protocol.errors import Temporary
from protocol.parameters import OPEN
from rollup.codec.genesis import genesis_header

SUPPLY = 1_000_000_000 * OPEN  # minted on L1 for the bank
DEPOSIT = 10_000_000 * OPEN  # into the L2, for each account
SUBMISSION_BLOCKS = 10  # L2 blocks between two outputs
FINALIZATION_SECONDS = 20  # a withdrawal waits from its proof
CHALLENGE_BLOCKS = 6  # L1 blocks to challenge data, and as many to show them
WAIT_SECONDS, POLL_SECONDS = 300.0, 0.25


@dataclass
class Layer1:
    """The account of the bank on L1."""

    folder: Folder
    rpc: Rpc
    outbox: Outbox

    @functools.cached_property
    def setup(self) -> BedrockSetup:
        sequencer = self.folder.signer(SPECS[0].name).address
        return BedrockSetup(
            deployer=self.folder.bank.address,
            batcher=sequencer,
            proposer=sequencer,
            challenger=self.folder.bank.address,
            unsafe_block_signer=sequencer,
            batch_inbox=batch_inbox(CHAIN_ID),
            l2_genesis_time=self.folder.born,
            submission_interval=SUBMISSION_BLOCKS,
            finalization_seconds=FINALIZATION_SECONDS,
            challenge_blocks=CHALLENGE_BLOCKS,
            resolve_blocks=CHALLENGE_BLOCKS,
            mints=((self.folder.bank.address, SUPPLY),),
        )

    @property
    def where(self) -> Mapping[str, bytes]:
        return addresses(self.setup)

    async def write_rollup(self) -> None:
        """The L2's first block and configuration: it begins with L1's own first block."""
        block = await self.rpc.call("eth_getBlockByNumber", "0x0", False)
        anchor = Anchor(hash=data(block["hash"], 32), number=0)
        treasury = self.folder.signer("treasury").address
        setup = L2Setup(
            l1=self.where,
            owner=self.folder.bank.address,
            fee_recipient=treasury,
            timestamp=self.folder.born,
            chain_id=CHAIN_ID,
        )
        genesis = l2_genesis(setup)
        rollup = rollup_json(
            self.setup,
            self.where,
            l1_chain_id=L1_CHAIN_ID,
            l1_anchor=anchor,
            l2_genesis_hash=genesis_header(genesis).hash,
            l2_chain_id=CHAIN_ID,
            alt_da=keccak_da(self.setup, self.where),
        )
        self.folder.write_rollup(genesis, rollup)

    async def deploy(self, told: Callable[[int, int], None]) -> None:
        """Send every step once; a second start finds what the first one sent."""
        todo = steps(self.setup)
        for place, step in enumerate(todo):
            self.outbox.intend(f"bedrock/{place}", step.to or b"", step.data, step.value, gas(step))
        for place in range(len(todo)):
            await self._done(f"bedrock/{place}")
            told(place + 1, len(todo))

    async def deposit(self, names: Sequence[str], told: Callable[[int, int], None]) -> None:
        """OPEN for every account on the L2, through the portal; each once."""
        to, call = approve(self.where, SUPPLY)
        self.outbox.intend("approve", to, call)
        await self._done("approve")
        for name in names:
            to, call = deposit(self.where, self.folder.signer(name).address, DEPOSIT)
            self.outbox.intend(f"deposit/{name}", to, call)
        for place, name in enumerate(names):
            await self._done(f"deposit/{name}")
            told(place + 1, len(names))

    async def _done(self, key: str) -> None:
        with trio.move_on_after(WAIT_SECONDS):
            outcome = await self.outbox.outcome(key)
            if not outcome.succeeded:
                raise ChainTrouble(f"L1, {key}: {outcome.reason}")
            return
        raise ChainTrouble(f"L1, {key}: not confirmed in {WAIT_SECONDS:g} s")


@asynccontextmanager
async def open_layer1(folder: Folder) -> AsyncIterator[Layer1]:
    """Send for the bank on L1 inside the block."""
    with Store.open(folder.path / "layer1") as store:
        async with connect(folder.l1_url) as rpc, trio.open_nursery() as nursery:
            await _answers(rpc)
            outbox = Outbox(
                store.namespace(b"outbox/"),
                rpc,
                folder.bank,
                L1_CHAIN_ID,
                clock=SystemClock(),
                confirmations=1,
                poll_seconds=0.5,
            )
            nursery.start_soon(outbox.run)
            yield Layer1(folder, rpc, outbox)
            nursery.cancel_scope.cancel()


async def _answers(rpc: Rpc) -> None:
    with trio.move_on_after(WAIT_SECONDS):
        while True:
            try:
                number(await rpc.call("eth_blockNumber"))
                return
            except Temporary:
                await trio.sleep(POLL_SECONDS)
    raise ChainTrouble(f"the L1 does not answer in {WAIT_SECONDS:g} s")
