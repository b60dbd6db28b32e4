"""Brings a test network up: chain, contracts, money, stakes, nodes, and a base model to serve."""

import functools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.testnet.base_training import BaseTraining
from node.testnet.client import Client, new_client
from node.testnet.desk import Desk, open_desk
from node.testnet.docstrings import Text, collect
from node.testnet.folder import L1, Folder, NodeSpec
from node.testnet.layer1 import Layer1, open_layer1
from node.testnet.processes import Processes
from node.testnet.show import Show
from protocol.calls import RegisterContributor, Stake
from protocol.parameters import OPEN

STAKE = 1_000 * OPEN


@dataclass
class Stage:
    """A network that is up, and what the story needs to act on it."""

    folder: Folder
    desk: Desk
    layer1: Layer1
    client: Client
    processes: Processes
    show: Show
    nodes: Sequence[NodeSpec]
    training: BaseTraining
    texts: Sequence[Text] = field(default_factory=collect)

    @property
    def authors(self) -> list[str]:
        return authors_of(self.texts)

    def contributor(self, author: str) -> int:
        """His id; the treasury has number 0."""
        payout = self.folder.signer(author).address
        return next(who for who, at in self.desk.ledger.payouts.items() if at == payout)

    @property
    def names(self) -> dict[int, str]:
        return {self.contributor(author): author for author in self.authors}

    def operator(self, node: NodeSpec) -> bytes:
        return self.folder.signer(node.name).address

    async def start(self, *nodes: NodeSpec) -> None:
        """Start nodes and wait until they are registered and ready."""
        for node in nodes:
            if node.name not in self.processes.children:  # the sequencer runs since the beginning
                self.processes.start(node)
        for node in nodes:
            who = self.operator(node)
            await self.desk.until(
                functools.partial(self._registered, who), f"the registration of node {node.name}"
            )
            await self.client.get(f"{self.folder.url(node.name)}/ready")  # 503 is tried again

    def _registered(self, operator: bytes) -> bool:
        return operator in self.desk.ledger.nodes


def authors_of(texts: Sequence[Text]) -> list[str]:
    """In the order in which they get their numbers, from 1 on."""
    return list(dict.fromkeys(text.author for text in texts))


@asynccontextmanager
async def open_stage(
    folder: Folder, nodes: Sequence[NodeSpec], show: Show, model: Path | None, extra: Sequence[str]
) -> AsyncIterator[Stage]:
    """Sequencer and contracts are up inside the block; all processes are ended after it."""
    base, texts = model or folder.path / "base", collect()
    training = BaseTraining([text.data.decode() for text in texts], base)
    folder.choose_ports(nodes)
    folder.write_l1_genesis()
    processes = Processes(folder, extra)
    try:
        async with trio.open_nursery() as nursery:
            processes.start(L1)
            nursery.start_soon(processes.watch)
            nursery.start_soon(training.run)  # while the chains come up
            async with open_layer1(folder) as layer1:
                await layer1.write_rollup()
                folder.write_nodes(nodes, base, layer1.where)
                processes.start(nodes[0])
                with show.bar("deploying the rollup's contracts on L1") as bar:
                    await layer1.deploy(bar)
                async with new_client() as http, open_desk(folder) as desk:
                    client = Client(http)
                    stage = Stage(
                        folder, desk, layer1, client, processes, show, nodes, training, texts
                    )
                    await _deposit(stage)
                    with show.bar("deploying OpenLedger's contracts on the L2") as bar:
                        await desk.deploy(bar)
                    await _fund(stage)
                    yield stage
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await processes.stop()


async def _deposit(stage: Stage) -> None:
    """OPEN for everybody who sends transactions: it enters the L2 by the portal alone."""
    names = ["deployer", "payer", *(node.name for node in stage.nodes)]
    with stage.show.bar("depositing OPEN from L1") as bar:
        await stage.layer1.deposit(names, bar)
        for name in names:
            await stage.desk.funded(stage.folder.signer(name).address, name)


async def _fund(stage: Stage) -> None:
    """Stakes for the operators, ids for the contributors; once, however often it is started."""
    keys = []
    for node in stage.nodes:
        key = f"stake/{node.name}"
        await stage.desk.chain.intend(key, Stake(stage.operator(node), STAKE))
        keys.append(key)
    for author in stage.authors:
        key = f"contributor/{author}"
        call = RegisterContributor(stage.folder.signer(author).address)
        await stage.desk.chain.intend(key, call)
        keys.append(key)
    with stage.show.bar("funding operators, registering contributors") as bar:
        for place, key in enumerate(keys):
            await stage.desk.done(key)
            bar(place + 1, len(keys))


def node_of(stage: Stage, role: str) -> NodeSpec:
    """The first honest node of a role."""
    return next(node for node in stage.nodes if node.role == role and not node.lies)
