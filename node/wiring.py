"""Builds a node from its settings and runs it: the one place that knows all the parts."""

import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

import trio
from starlette.routing import BaseRoute

from attribution.claims import build_body
from config.network import Network as NetworkFile
from config.network import load_network
from config.settings import Settings
from contracts.outbox import Outbox
from contracts.rpc import Rpc, connect
from node import notify
from node.chain import ContractChain
from node.check import STORE
from node.clock import SystemClock
from node.compute import Compute
from node.da import open_availability
from node.funds import Funds
from node.http import answers, datanets, health, rewards, why
from node.http import server as http
from node.http.operator import Guard, operator_token
from node.influence import Featurizers, open_featurizers
from node.keystore import LocalSigner, open_key
from node.membership import Membership, roles_of
from node.metrics import Metrics
from node.reports import Situation, attribution_lines
from node.rollup import RollupNode, open_rollup
from node.shutdown import until_signal
from node.store import Store
from node.supervisor import Duty, Supervisor
from node.why.held import Held
from node.why.shelf import Shelf
from p2p.network import Network, Plan, Registry, open_network
from protocol.ledger import Ledger
from protocol.messages import KINDS
from roles.answers import Answers
from roles.batches import BatchBodies
from roles.corpora import Corpora
from roles.curator import Curator
from roles.feature_sets import FeatureSets
from roles.features import Features
from roles.ports import Availability, Ports, Role
from roles.prover import Composer, Prover
from roles.validator import Validator

OUTBOX, ROLLUP = b"outbox/", b"rollup/"  # namespaces of the store
INDEXES = "indexes"  # folder of the corpora's indexes, made anew when lost
PROGRESS_SECONDS = 120.0  # silence of the chain follower that is suspicious


ComposerOf = Callable[[ContractChain], Composer]


def honest(chain: ContractChain) -> Composer:
    return build_body


def run(settings: Settings, compose: ComposerOf = honest) -> None:
    """Run the node until a signal ends it."""
    trio.run(until_signal, functools.partial(daemon, settings, compose))


async def daemon(settings: Settings, compose: ComposerOf = honest) -> None:
    """The node itself.  A `Fault` says in one sentence why it cannot start."""
    network_file = load_network(settings.network, settings.folder)
    signer = open_key(settings.keys)
    with Store.open(settings.data_dir / STORE) as store:
        listener = http.listen(settings.http)
        seconds = settings.chain.timeout_seconds
        async with (
            connect(settings.chain.rpc_url, seconds_max=seconds) as rpc,
            _rollup(settings, network_file, signer, store) as rollup,
            open_availability(settings.availability) as availability,
        ):
            node = Node(settings, network_file, signer, store, rpc, compose, rollup, availability)
            async with node.joined() as network:
                await node.serve(network, listener)


@asynccontextmanager
async def _rollup(
    settings: Settings, file: NetworkFile, signer: LocalSigner, store: Store
) -> AsyncIterator[RollupNode | None]:
    if settings.rollup is None:
        yield None
        return
    async with open_rollup(settings, file, signer, store.namespace(ROLLUP)) as rollup:
        yield rollup


@dataclass
class Node:
    """Everything that lives as long as the process."""

    settings: Settings
    file: NetworkFile
    signer: LocalSigner
    store: Store
    rpc: Rpc
    compose: ComposerOf
    rollup: RollupNode | None = None
    availability: Availability | None = None

    def __post_init__(self) -> None:
        chain, self.clock = self.settings.chain, SystemClock()
        self.metrics, self.compute = Metrics(), Compute()
        self.operator = Guard(operator_token(self.settings.data_dir))
        self.watchdog = notify.Watchdog()
        self.outbox = Outbox(
            self.store.namespace(OUTBOX),
            self.rpc,
            self.signer,
            self.file.chain_id,
            clock=self.clock,
            confirmations=chain.confirmations,
            poll_seconds=chain.poll_seconds,
        )
        self.chain = ContractChain(
            self.file, self.rpc, self.outbox, chain.confirmations, chain.poll_seconds, self.metrics
        )
        self.funds = Funds(self.rpc, self.signer.address)
        self.trouble: list[Callable[[], Sequence[str]]] = []
        self.routes: list[BaseRoute] = []
        self.corpora = Corpora(self.settings.data_dir / INDEXES)
        self.feature_sets, self.bodies = FeatureSets(), BatchBodies()
        self.features: Features | None = None
        self.shelf: Shelf | None = None

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[Network]:
        """The p2p network, with peers known by their registration."""
        plan = Plan(
            identity=self.signer.p2p_secret(),
            listen=self.settings.p2p.listen,
            chain_id=self.file.chain_id,
            fork_digest=bytes.fromhex(self.file.fork_digest),
            kinds=KINDS,
            folder=self.settings.data_dir / "p2p",
            bootstrap=[*self.file.bootstrap, *self.settings.p2p.bootstrap],
        )
        blocks = None if self.rollup is None else self.rollup.gossip()
        async with open_network(plan, self._registry(), self.signer, rollup=blocks) as network:
            yield network

    def _registry(self) -> Registry:
        def ledger() -> Ledger:
            return self.chain.ledger

        def operator_of(peer: bytes) -> bytes | None:
            rows = ledger().nodes.values()
            return next((row.operator for row in rows if row.peer_id == peer), None)

        return Registry(
            operator_of=operator_of,
            registered=lambda address: address in ledger().nodes,
            addresses=lambda: [row.multiaddr for row in ledger().nodes.values() if row.multiaddr],
        )

    async def serve(self, network: Network, listener: socket.socket) -> None:
        """Run all duties and the HTTP server; ends by cancellation or a bug."""
        endpoint = self._endpoint(network)
        roles = roles_of(self.settings.roles)
        membership = Membership(self.signer.address, roles, network.peer, endpoint)
        ports = Ports(
            gossip=network.gossip,
            bodies=network.bodies,
            chain=self.chain,
            store=self.store,
            signer=self.signer,
            compute=self.compute,
            clock=self.clock,
            featurizer=await self._featurizers(),
            availability=self.availability,
        )
        role_duties = await self._role_duties(ports, membership)
        duties = [*self._chain_duties(ports, membership), *role_duties]
        if self.rollup is not None:
            duties += self.rollup.duties(network, self.compute)
            self.routes += self.rollup.routes()
            self.rollup.watch(self.metrics)
        supervisor = Supervisor(duties, self.chain.rebuild, self.metrics.on_duty)
        situation = Situation(
            self.settings,
            self.chain,
            network,
            membership,
            lambda: supervisor,
            self.watchdog,
            self.clock,
            lambda: [reason for ask in self.trouble for reason in ask()],
            self.funds,
            None if self.rollup is None else self.rollup.report(network),
            lambda: attribution_lines(self.chain.ledger, self.signer.address, self.features),
        )
        self.trouble.append(lambda: [] if (told := self.funds.problem()) is None else [told])
        self._watch(network)
        self.routes += health.routes(situation.report(), self.metrics)
        app = http.application(self.routes, self.settings.http, self.metrics)
        async with trio.open_nursery() as nursery:
            await nursery.start(functools.partial(http.serve, app, listener))
            nursery.start_soon(self.watchdog.run)
            notify.notify("READY=1")
            await supervisor.run()

    def _endpoint(self, network: Network) -> str:
        external = self.settings.p2p.external
        if external is None:
            return network.address
        return f"{external}/p2p/{network.address.rsplit('/p2p/', 1)[1]}"

    def _chain_duties(self, ports: Ports, membership: Membership) -> list[Duty]:
        async def follow() -> None:
            if self.rollup is not None:
                await self.rollup.serving.wait()
            progress = self.watchdog.expect("chain", within=PROGRESS_SECONDS)
            await self.chain.follow(progress)

        async def member() -> None:
            await membership.run(ports)

        return [
            Duty("chain", follow, follows_chain=True),
            Duty("membership", member, follows_chain=True),
            Duty("outbox", self.outbox.run),
            Duty("funds", self.funds.watch),
        ]

    async def _role_duties(self, ports: Ports, membership: Membership) -> list[Duty]:
        duties = []
        # A curator hears of no answers: of several roles, another one explains.
        for name in sorted(self.settings.roles, key=lambda role: role == "curator"):
            if name == "sequencer":
                continue  # its duties are those of the rollup
            role = await self._role(name, ports)
            duties.append(Duty(name, _once_member(role, ports, membership), follows_chain=True))
        if ports.featurizer is not None and {"host", "prover"} & set(self.settings.roles):
            features = self.features = Features(self.corpora, self.feature_sets)
            self.trouble.append(lambda: _told("features", features.trouble))
            run = _once_member(features, ports, membership)
            duties.append(Duty("features", run, follows_chain=True))
        if (shelf := self.shelf) is not None:
            duties.append(Duty("why", functools.partial(shelf.run, ports), follows_chain=True))
        return duties

    async def _featurizers(self) -> Featurizers | None:
        """Over the base models at hand, for the roles that compute features."""
        table, host = self.settings.influence, self.settings.host
        folders = list(table.base_models)
        if "host" in self.settings.roles and host.base_model is not None:
            folders.append(host.base_model)
        if not {"host", "prover", "validator"} & set(self.settings.roles):
            return None
        return await open_featurizers(self.compute, folders, table)

    async def _role(self, name: str, ports: Ports) -> Role:
        match name:
            case "curator":
                curator = Curator()
                self.trouble.append(lambda: _told("curator", curator.trouble))
                self.routes += datanets.routes(curator, ports, self.operator)
                self._explain(ports, Answers())
                return curator
            case "validator":
                validator = Validator(
                    corpora=self.corpora, bodies=self.bodies, feature_sets=self.feature_sets
                )
                self.trouble.append(lambda: _told("validator", validator.trouble))
                self._explain(ports, validator.answers)
                return validator
            case "prover":
                table = self.settings.prover
                prover = Prover(
                    compose=self.compose(self.chain),
                    corpora=self.corpora,
                    bodies=self.bodies,
                    feature_sets=self.feature_sets,
                    answers_max=table.answers_max,
                    interval=table.batch_seconds,
                )
                self.trouble.append(lambda: _told("prover", prover.trouble))
                self._explain(ports, prover.answers)
                return prover
            case "host":
                from node.hosting import build_host  # torch and transformers: 10 s

                host, routes = await build_host(self.settings, ports, self.operator)
                self.routes += routes
                self.trouble.append(lambda: _told("host", host.trouble))
                return host
            case _:
                raise AssertionError(name)

    def _explain(self, ports: Ports, known: Answers) -> None:
        """The routes that say where words come from; once, by the role that knows most."""
        if self.shelf is not None:
            return
        self.shelf = Shelf(self.bodies)
        postings = self.chain.postings
        held = Held(self.shelf, self.corpora, self.feature_sets, known, postings)
        self.routes += [*rewards.routes(ports, self.shelf), *why.routes(ports, held)]
        self.routes += answers.routes(ports, known, self.corpora)

    def _watch(self, network: Network) -> None:
        metrics = self.metrics
        metrics.watch(metrics.peers, lambda: len(network.peers.connected()))
        metrics.watch(metrics.balance, lambda: self.funds.coins)
        metrics.watch(metrics.chain_head, lambda: self.funds.height)
        late = metrics.watchdog_late.labels("chain")
        metrics.watch(late, lambda: float("chain" in self.watchdog.late()))
        roles = ",".join(self.settings.roles)
        metrics.info.labels(version("openledger-node"), self.file.name, roles).set(1)
        metrics.watch(metrics.store_bytes, self.store.size)
        metrics.watch_counts(metrics.gossip, network.standing.counts)
        for state in ("waiting", "in_flight"):
            gauge = metrics.intents.labels(state)
            gauge.set_function(functools.partial(self._intents, state))

    def _intents(self, state: str) -> float:
        return float(getattr(self.outbox.status(), state))


def _told(role: str, trouble: Mapping[str, str]) -> list[str]:
    return [f"{role}: {name}: {why}" for name, why in trouble.items()]


def _once_member(role: Role, ports: Ports, membership: Membership) -> Callable[[], Awaitable[None]]:
    """A role acts only when its operator is registered: nobody would forward what it says."""

    async def run() -> None:
        await membership.confirmed.wait()
        await role.run(ports)

    return run
