"""Driver, sequencer and batcher over our real engine, through the JSON of the Engine API."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from rollup.batcher import Batcher
from rollup.channel_out import ChannelPolicy
from rollup.codec.config import RollupConfig
from rollup.codec.output import output_root
from rollup.codec.refs import BlockId
from rollup.codec.system_config import SystemConfig, encode_ecotone_scalar
from rollup.driver import Driver
from rollup.engine.chain import Chain
from rollup.engine.genesis import parse
from rollup.engine.kv import KeyValues
from rollup.ports import INVALID
from rollup.sequencing import Sequencing
from rollup.sources.engine import EngineClient
from rollup.status import NodeStatus
from tests.derive_world import BATCHER, L1_TIME, make_config
from tests.engine_call import EngineCall
from tests.sim.rollup_world import DictStore, SimL1, SimSender

CHAIN_ID = 9017
GAS_LIMIT = 15_000_000
RICH: LocalAccount = Account.from_key("0x" + "ac" * 32)
HERE = b"\x99" * 20


def genesis_json() -> dict[str, Any]:
    optimism = {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}
    return {
        "config": {
            "chainId": CHAIN_ID,
            "optimism": optimism,
            "holoceneTime": 0,
            "isthmusTime": 0,
        },
        "timestamp": hex(L1_TIME),
        "gasLimit": hex(GAS_LIMIT),
        "baseFeePerGas": hex(10**9),
        "extraData": "0x00000000fa00000006",
        "alloc": {RICH.address.lower(): {"balance": hex(10**24)}},
    }


def config_for(chain: Chain) -> RollupConfig:
    system_config = SystemConfig(BATCHER, bytes(32), encode_ecotone_scalar(5, 7), GAS_LIMIT)
    config = make_config(l2_chain_id=CHAIN_ID)
    l2 = BlockId(chain.head.hash, 0)
    return replace(config, genesis=replace(config.genesis, l2=l2, system_config=system_config))


def signed(nonce: int) -> bytes:
    fields = {
        "chainId": CHAIN_ID,
        "type": 2,
        "nonce": nonce,
        "to": HERE,
        "value": 1,
        "gas": 30_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 1,
    }
    return bytes(RICH.sign_transaction(fields).raw_transaction)


@dataclass
class Time:
    """Stands still unless somebody sleeps: threads take no virtual time."""

    seconds: float = float(L1_TIME)

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Rig:
    """One node whose parts are stepped by hand."""

    call: EngineCall
    l1: SimL1
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.config = config_for(self.call.chain)
        self.engine = EngineClient(self.call, self.config)
        self.sender = SimSender(self.l1)
        self.store = DictStore()
        self.out: list[Any] = []
        self.driver = Driver(
            config=self.config, l1=self.l1, engine=self.engine, clock=self.time, poll_seconds=0
        )
        self.sequencing = Sequencing(
            config=self.config,
            driver=self.driver,
            engine=self.engine,
            l1=self.l1,
            clock=self.time,
            store=self.store,
            publish=self.out.append,
            confirmations=0,
        )
        self.batcher = Batcher(
            config=self.config,
            driver=self.driver,
            engine=self.engine,
            sender=self.sender,
            store=self.store,
            clock=self.time,
            policy=ChannelPolicy(duration=1),
        )

    async def drive(self) -> None:
        while await self.driver.step():
            pass

    async def blocks(self, count: int) -> None:
        await self.drive()
        before = len(self.out)
        while len(self.out) < before + count:
            await self.sequencing.step()
            if self.time.now() >= self.l1.tip.ref.time + 12:
                self.l1.mine()
                await self.drive()

    @property
    def heads(self) -> Any:
        return self.driver.chain.heads


@contextmanager
def rig(folder: Path, l1: SimL1) -> Iterator[Rig]:
    store = KeyValues(folder)
    try:
        yield Rig(EngineCall(Chain(store, parse(genesis_json()))), l1)
    finally:
        store.close()


@asynccontextmanager
async def posted(folder: Path, l1: SimL1, count: int) -> AsyncIterator[Rig]:
    """A sequencer with `count` blocks, all of them on L1 and safe."""
    with rig(folder, l1) as node:
        for nonce in range(3):
            await node.call.call("eth_sendRawTransaction", "0x" + signed(nonce).hex())
        l1.deposits = 2
        await node.blocks(count)
        head = node.heads.unsafe
        for _ in range(6):
            l1.mine()
            await node.drive()
            if head.number > node.heads.safe.number:
                await node.batcher.step()
        assert node.heads.safe == head
        yield node


async def test_a_block_takes_deposits_and_what_waits_in_the_pool(tmp_path: Path) -> None:
    with rig(tmp_path, SimL1()) as node:
        for nonce in range(3):
            await node.call.call("eth_sendRawTransaction", "0x" + signed(nonce).hex())
        node.l1.deposits = 2
        await node.blocks(8)

        paid = await node.call.call("eth_getBalance", "0x" + HERE.hex(), "latest")
        assert int(paid, 16) == 3
        kinds = [[raw[0] for raw in e.payload.transactions] for e in node.out]
        assert [0x7E] * 3 in kinds  # L1's attributes and two deposits
        assert node.heads.unsafe.number == 8
        assert node.heads.unsafe.l1_origin.number > node.config.genesis.l1.number


async def test_a_second_engine_derives_the_same_chain_from_l1_alone(tmp_path: Path) -> None:
    l1 = SimL1()
    async with posted(tmp_path / "first", l1, 10) as first:
        with rig(tmp_path / "second", l1) as second:
            await second.drive()

            assert second.heads.safe == first.heads.safe
            assert second.call.chain.head.hash == first.call.chain.head.hash


async def test_consolidation_asks_for_no_second_execution(tmp_path: Path) -> None:
    l1 = SimL1()
    async with posted(tmp_path, l1, 10) as node:
        methods: list[str] = []
        assert node.driver.watch.derived >= 10
        node.call.change = lambda method, result: methods.append(method) or result
        await node.drive()

        assert "engine_newPayloadV4" not in methods


async def test_after_a_reorg_of_l1_the_engine_goes_back_and_on(tmp_path: Path) -> None:
    l1 = SimL1()
    async with posted(tmp_path, l1, 10) as node:
        l1.reorg(8, b"other")
        try:
            await node.drive()
        except Exception as error:
            await node.driver._lost(str(error))
        l1.mine()
        l1.mine()
        await node.drive()

        canonical = {block.ref.hash for block in l1.blocks}
        assert node.heads.unsafe.l1_origin.hash in canonical
        assert node.heads.safe.l1_origin.hash in canonical


async def test_the_output_root_is_what_the_header_says(tmp_path: Path) -> None:
    with rig(tmp_path, SimL1()) as node:
        await node.blocks(2)
        head = node.call.chain.head.header
        assert head.withdrawals_root is not None

        wanted = output_root(head.state_root, head.withdrawals_root, head.hash)
        assert await node.engine.output_root(2) == wanted


async def test_before_isthmus_the_output_root_comes_from_a_proof(tmp_path: Path) -> None:
    with rig(tmp_path, SimL1()) as node:
        await node.blocks(2)
        wanted = await node.engine.output_root(2)
        old = replace(node.config, isthmus_time=None)

        assert await EngineClient(node.call, old).output_root(2) == wanted


async def test_an_envelope_survives_the_trip_through_eth_methods(tmp_path: Path) -> None:
    """What the batcher reads is byte for byte what was built, deposits included."""
    with rig(tmp_path, SimL1()) as node:
        node.l1.deposits = 1
        await node.blocks(8)

        for envelope in node.out:
            assert await node.engine.payload(envelope.payload.block_hash) == envelope


async def test_a_block_that_lies_about_its_state_is_invalid(tmp_path: Path) -> None:
    with rig(tmp_path, SimL1()) as node:
        await node.blocks(1)
        payload = replace(node.out[0].payload, state_root=bytes(32))
        root = node.out[0].parent_beacon_block_root
        payload = replace(payload, block_hash=payload.compute_hash(root))

        status = await node.engine.new_payload(replace(node.out[0], payload=payload))

        assert status.status == INVALID


async def test_the_status_is_in_the_form_of_op_node(tmp_path: Path) -> None:
    with rig(tmp_path, SimL1()) as node:
        await node.blocks(3)
        methods = NodeStatus(node.config, node.driver, node.engine).methods

        status = await methods["optimism_syncStatus"]()
        output = await methods["optimism_outputAtBlock"]("0x2")

        assert status["unsafe_l2"]["number"] == 3
        assert status["unsafe_l2"]["l1origin"]["number"] >= 100
        assert status["head_l1"]["hash"] == "0x" + node.l1.tip.ref.hash.hex()
        assert output["outputRoot"] == "0x" + (await node.engine.output_root(2)).hex()
        assert output["blockRef"]["number"] == 2
        assert (await methods["optimism_rollupConfig"]())["l2_chain_id"] == CHAIN_ID
