"""The L2 side of a node: its engine, what derives it from L1, and what a sequencer adds to both."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import httpx
import trio
from starlette.routing import BaseRoute

from config.network import Network
from config.settings import Rollup, Settings
from contracts.outbox import Outbox
from contracts.rpc import Rpc, connect
from node.beacon import BeaconBlobs
from node.blocks import BlockExchange, read_unsafe_signer
from node.check_rollup import read_config
from node.clock import SystemClock
from node.compute import Compute
from node.da import RestAvailability
from node.engine_link import EngineLink, open_link, read_secret
from node.execution import Endpoints, engine_secret, run_engine
from node.exits import WrongSettings
from node.funds import Funds
from node.http import optimism
from node.http.da import routes as da_routes
from node.keystore import LocalSigner
from node.metrics import Metrics
from node.rollup_report import RollupReport, Sequencer
from node.store import Records
from node.supervisor import Duty
from p2p.network import Network as P2PNetwork
from p2p.network import Rollup as Gossip
from protocol.errors import Malformed, Refused, Temporary
from rollup.batcher import Batcher
from rollup.channel_out import ChannelPolicy
from rollup.codec.config import RollupConfig
from rollup.codec.payload import PayloadEnvelope
from rollup.codec.refs import L2BlockRef
from rollup.da.rest import Mode
from rollup.driver import Driver, Watch
from rollup.proposer import Oracle, Proposer
from rollup.sequencing import Sequencing
from rollup.sources.engine import EngineClient
from rollup.sources.l1 import L1, fractions_of
from rollup.status import NodeStatus

L1_SECONDS_MAX = 20.0  # of one call
SIGNER_SECONDS = 60.0  # between two looks at who signs unsafe blocks
DA, L1_OUTBOX, SEQUENCED, BATCHED = b"da/", b"l1/", b"sequencing/", b"batcher/"  # namespaces

log = logging.getLogger(__name__)


@dataclass
class RollupNode:
    """Lives as long as the process; the engine behind `link` may come and go."""

    settings: Settings
    table: Rollup
    file: Network
    config: RollupConfig
    signer: LocalSigner
    store: Records
    l1_rpc: Rpc
    link: EngineLink
    l1: L1
    engine: EngineClient
    driver: Driver
    da: RestAvailability | None
    clock: SystemClock = field(default_factory=SystemClock)
    unsafe_signer: bytes | None = None  # who signs the blocks of gossip, as L1 says
    problems: list[Callable[[], str | None]] = field(default_factory=list)
    sequencer: Sequencer | None = None
    serving: trio.Event = field(default_factory=trio.Event)  # the engine, for the first time

    def __post_init__(self) -> None:
        self.sequences = "sequencer" in self.settings.roles
        self.exchange = BlockExchange(
            self.config,
            self.engine,
            lambda: self.unsafe_signer,
            self.clock.now,
            self.signer if self.sequences else None,
        )
        self.problems.append(lambda: _named("derivation", self.driver.watch.problem))

    def gossip(self) -> Gossip:
        """How p2p takes part in the gossip of blocks."""
        return self.exchange.rollup

    def duties(self, network: P2PNetwork, compute: Compute) -> list[Duty]:
        """The engine, unless it is somebody else's, the derivation, and a sequencer's own."""

        async def blocks() -> None:
            await self.exchange.run(network, self.driver)

        duties = [
            Duty("derivation", self.driver.run),
            Duty("blocks", blocks),
            Duty("unsafe signer", self._watch_unsafe_signer),
        ]
        if self.table.engine_url is None:
            duties.append(Duty("engine", self._run_engine))
        else:
            self.serving.set()
        if self.sequences:
            duties += self._sequencer(compute)
        return duties

    def routes(self) -> list[BaseRoute]:
        """`optimism_*`, and the data of others where they are kept here."""
        status = NodeStatus(self.config, self.driver, self.engine)
        served: list[BaseRoute] = [*optimism.routes(status.methods)]
        if self.settings.sequencer.serve_da:
            served += da_routes(self.store.namespace(DA), "/da")
        return served

    def watch(self, metrics: Metrics) -> None:
        """Let the gauges ask the driver."""
        for head in ("unsafe", "safe", "finalized"):
            metrics.watch(metrics.l2_head.labels(head), partial(self._l2_height, head))
        for head in ("latest", "finalized", "current"):
            metrics.watch(metrics.l1_head.labels(head), partial(self._l1_height, head))
        watch, driver = self.driver.watch, self.driver
        metrics.watch(metrics.derivation.labels("derived"), lambda: watch.derived)
        metrics.watch(metrics.derivation.labels("resets"), lambda: watch.resets)
        metrics.watch(metrics.derivation.labels("queued"), lambda: driver.queued)
        if self.sequencer is not None:
            tally, funds = self.sequencer.batcher.tally, self.sequencer.funds
            left = partial(funds.batches_left, self.sequencer.frame_bytes)
            metrics.watch(metrics.l1_batches_left, left)
            for what in ("channels", "blocks", "bytes", "lost", "failovers", "waiting"):
                metrics.watch(metrics.batcher.labels(what), partial(getattr, tally, what))

    def _l2_height(self, head: str) -> float:
        chain = self.driver.chain
        return float(getattr(chain.heads, head).number) if chain.known else 0.0

    def _l1_height(self, head: str) -> float:
        ref = getattr(self.driver.l1_view, head)
        return 0.0 if ref is None else float(ref.number)

    def report(self, network: P2PNetwork) -> RollupReport:
        """How it stands; after `duties`."""
        return RollupReport(
            self.driver,
            self.clock,
            self.problems,
            lambda: self.unsafe_signer,
            lambda: 0 if network.blocks is None else network.blocks.peers(),
            self.sequencer,
        )

    async def _run_engine(self) -> None:
        def started(endpoints: Endpoints) -> None:
            self.link.connect(f"http://127.0.0.1:{endpoints.engine_port}")
            self.serving.set()
            self.driver.wake()

        try:
            await run_engine(self.settings, engine_secret(self.settings), started)
        finally:
            self.link.connect(None)

    async def _watch_unsafe_signer(self) -> None:
        while True:
            address = self.config.l1_system_config_address
            try:
                self.unsafe_signer = await read_unsafe_signer(self.l1_rpc, address)
            except (Temporary, Malformed, Refused) as error:
                if self.unsafe_signer is None:  # else the last one goes on
                    raise Temporary(f"L1 tells no unsafe block signer: {error}") from None
            known = self.unsafe_signer is not None
            await trio.sleep(SIGNER_SECONDS if known else self.table.l1_poll_seconds)

    def _sequencer(self, compute: Compute) -> list[Duty]:
        table = self.settings.sequencer
        outbox = Outbox(
            self.store.namespace(L1_OUTBOX),
            self.l1_rpc,
            self.signer,
            self.config.l1_chain_id,
            clock=self.clock,
            confirmations=self.table.l1_confirmations,
            poll_seconds=self.table.l1_poll_seconds,
        )
        sequencing = Sequencing(
            config=self.config,
            driver=self.driver,
            engine=self.engine,
            l1=self.l1,
            clock=self.clock,
            store=self.store.namespace(SEQUENCED),
            publish=self.exchange.publish,
            confirmations=self.table.l1_confirmations,
        )
        batcher = Batcher(
            config=self.config,
            driver=self.driver,
            engine=self.engine,
            sender=outbox,
            store=self.store.namespace(BATCHED),
            clock=self.clock,
            da=self.da,
            policy=ChannelPolicy(
                frame_bytes=table.frame_bytes_max,
                duration=table.channel_blocks,
                compression=table.compression,
            ),
            compute=compute,
        )
        proposer = Proposer(
            driver=self.driver,
            engine=self.engine,
            l1=self.l1_rpc,
            sender=outbox,
            clock=self.clock,
            target=Oracle(self.file.l1_contract("L2OutputOracle")),
            on_safe=table.propose == "safe",
            poll_seconds=max(2.0, self.table.l1_poll_seconds),
        )
        funds = Funds(self.l1_rpc, self.signer.address)
        self.sequencer = Sequencer(sequencing, batcher, proposer, funds, table.frame_bytes_max)
        self.problems += [
            lambda: _named("sequencing", sequencing.tally.problem),
            lambda: _named("batcher", batcher.tally.problem),
            lambda: _named("proposer", proposer.tally.problem),
            lambda: _named("L1 transactions", outbox.status().problem),
        ]
        return [
            Duty("sequencer", sequencing.run),
            Duty("batcher", batcher.run),
            Duty("proposer", proposer.run),
            Duty("l1 outbox", outbox.run),
            Duty("l1 funds", funds.watch),
        ]


def _named(who: str, problem: str | None) -> str | None:
    return None if problem is None else f"{who}: {problem}"


@asynccontextmanager
async def open_rollup(
    settings: Settings, file: Network, signer: LocalSigner, store: Records
) -> AsyncIterator[RollupNode]:
    """Clients and driver for the lifetime of the block; `WrongSettings` for a wrong file."""
    table = settings.rollup
    assert table is not None
    config = read_config(table)
    secret, clock = read_secret(engine_secret(settings)), SystemClock()
    async with (
        connect(table.l1_rpc_url, seconds_max=L1_SECONDS_MAX) as l1_rpc,
        open_link(secret, clock.now) as link,
        httpx.AsyncClient(timeout=None, trust_env=False) as client,
    ):
        if table.engine_url is not None:
            link.connect(table.engine_url)
        l1 = L1(l1_rpc, inbox=config.batch_inbox_address, fraction=fractions_of(config))
        engine = EngineClient(link, config)
        da = _availability(table, config, client)
        driver = Driver(
            config=config,
            l1=l1,
            engine=engine,
            clock=clock,
            da=da,
            blobs=_blobs(table, client),
            poll_seconds=table.l1_poll_seconds,
            watch=Watch(_reset, _invalid, _unsafe_invalid),
        )
        yield RollupNode(
            settings, table, file, config, signer, store, l1_rpc, link, l1, engine, driver, da
        )


def _availability(
    table: Rollup, config: RollupConfig, client: httpx.AsyncClient
) -> RestAvailability | None:
    if config.alt_da is None:
        return None
    if table.da_url is None:
        raise WrongSettings("rollup.da_url: missing; this chain keeps its data off L1")
    keccak = config.alt_da.commitment_type == "KeccakCommitment"
    return RestAvailability(client, table.da_url, Mode.KECCAK if keccak else Mode.GENERIC)


def _blobs(table: Rollup, client: httpx.AsyncClient) -> BeaconBlobs | None:
    if table.beacon_url is None:
        return None
    urls = [url for url in (table.beacon_url, table.blob_archive_url) if url is not None]
    return BeaconBlobs(client, urls, Compute(processes=1).process)


def _reset(reason: str) -> None:
    log.warning("derivation starts over: %s", reason)


def _invalid(parent: L2BlockRef, reason: str) -> None:
    log.warning(
        "the block after %d as derived is invalid, deposits alone: %s", parent.number, reason
    )


def _unsafe_invalid(envelope: PayloadEnvelope, reason: str) -> None:
    log.warning("unsafe block %d is invalid: %s", envelope.payload.block_number, reason)
