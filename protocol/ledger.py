"""What the contracts say, folded from their events: the one view of the chain that roles use."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum, IntFlag
from typing import Any, ClassVar

from protocol import events as e
from protocol.batch import Header
from protocol.datanet import Shard
from protocol.merkle import BODY, Commitment
from protocol.parameters import Parameters


class RoleBit(IntFlag):
    CURATOR = 1
    VALIDATOR = 2
    HOST = 4
    PROVER = 8
    SEQUENCER = 16


class Status(IntEnum):
    PENDING = 1
    FINAL = 2
    SLASHED = 3
    VOID = 4  # built on something that was slashed; its bond went back


@dataclass(frozen=True, slots=True)
class NodeRecord:
    operator: bytes
    roles: RoleBit
    peer_id: bytes
    multiaddr: str


@dataclass(frozen=True, slots=True)
class DatanetRecord:
    datanet: int
    curator: bytes
    name: str


@dataclass(frozen=True, slots=True)
class ShardRecord:
    datanet: int
    index: int
    shard: Shard
    curator: bytes
    deadline: int
    status: Status
    publication: int = 0  # what demands of its leaves name


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    adapter: bytes  # sha256 of the weights
    base: bytes
    datanet: int
    shard_count: int
    weights_root: bytes
    weights_size: int
    config_hash: bytes
    manifest_hash: bytes
    host_bps: int
    name: str
    owner: bytes

    @property
    def weights(self) -> Commitment:
        return Commitment(BODY, self.weights_size, self.weights_root)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    batch: int
    poster: bytes
    header: Header
    deadline: int
    version: int
    status: Status
    convicted_of: int = 0  # a `protocol.court.Kind`, once slashed


@dataclass(frozen=True, slots=True)
class DemandRecord:
    """An open demand for a leaf: who asked, and when who is silent can be convicted."""

    by: bytes
    until: int


@dataclass
class Ledger:
    """Mutable only by `apply`; after a reorg it is thrown away and folded again."""

    chain_id: int = 0
    contracts: dict[str, bytes] = field(default_factory=dict)
    time: int = 0  # of the newest confirmed block, unix seconds
    number: int = -1
    parameters: dict[int, Parameters] = field(default_factory=dict)
    nodes: dict[bytes, NodeRecord] = field(default_factory=dict)
    payouts: dict[int, bytes] = field(default_factory=dict)
    signers: dict[int, bytes] = field(default_factory=dict)  # of contributions; these never move
    datanets: dict[int, DatanetRecord] = field(default_factory=dict)
    shards: dict[int, list[ShardRecord]] = field(default_factory=dict)
    publications: set[int] = field(default_factory=set)
    bases: dict[bytes, str] = field(default_factory=dict)
    adapters: dict[bytes, AdapterRecord] = field(default_factory=dict)
    deposits: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    thawing: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    redeemed: dict[tuple[bytes, bytes, bytes], int] = field(default_factory=dict)
    batches: dict[int, BatchRecord] = field(default_factory=dict)
    funded: int = 0
    allocated: int = 0
    claimed: dict[int, int] = field(default_factory=dict)
    stakes: dict[bytes, int] = field(default_factory=dict)  # free stake, in wei
    effective: dict[int, int] = field(default_factory=dict)  # parameter version -> time
    last_post: int = 0  # time of the newest batch
    # Open ones, by (contract, subject, tree, index); they end with an answer or their subject.
    demands: dict[tuple[str, int, int, int], DemandRecord] = field(default_factory=dict)

    def by_role(self, role: RoleBit) -> Iterator[NodeRecord]:
        return (node for node in self.nodes.values() if node.roles & role)

    def has_role(self, operator: bytes, role: RoleBit) -> bool:
        node = self.nodes.get(operator)
        return node is not None and bool(node.roles & role)

    def final_shards(self, datanet: int) -> list[Shard]:
        """The shards that adapters may be trained on: final, in order."""
        rows = self.shards.get(datanet, [])
        return [row.shard for row in rows if row.status is Status.FINAL]

    def adapter_named(self, name: str) -> AdapterRecord | None:
        return next((a for a in self.adapters.values() if a.name == name), None)

    def pending_batch(self) -> BatchRecord | None:
        return next((b for b in self.batches.values() if b.status is Status.PENDING), None)

    def last_final_batch(self) -> BatchRecord | None:
        final = [b for b in self.batches.values() if b.status is Status.FINAL]
        return final[-1] if final else None

    @property
    def current_version(self) -> int:
        return max(v for v, at in self.effective.items() if v == 1 or at <= self.time)

    @property
    def current(self) -> Parameters:
        return self.parameters[self.current_version]

    def available(self, payer: bytes, host: bytes) -> int:
        """Wei that vouchers of `payer` can still take: nothing that is thawing counts."""
        return max(0, self.deposits.get((payer, host), 0) - self.thawing.get((payer, host), 0))

    def begin(self, number: int, time: int) -> None:
        """A confirmed block begins; its events follow."""
        self.number, self.time = number, time

    def apply(self, event: e.Event) -> None:
        """Fold one event; events that no role looks at change nothing."""
        if fold := self._FOLDS.get(type(event)):
            fold(self, event)

    def _shard(self, event: Any, status: Status) -> None:
        rows = self.shards[event.datanet]
        rows[event.index] = replace(rows[event.index], status=status)
        self._close("DatanetRegistry", rows[event.index].publication)

    def _published(self, event: e.ShardPublished) -> None:
        shard = Shard(event.text_root, event.document_root, event.text_size, event.document_count)
        row = ShardRecord(
            event.datanet,
            event.index,
            shard,
            event.curator,
            event.deadline,
            Status.PENDING,
            event.publication,
        )
        self.publications.add(event.publication)
        rows = self.shards.setdefault(event.datanet, [])
        rows[event.index :] = [row]  # the places of slashed and voided shards are given again

    def _node(self, event: e.NodeRegistered | e.NodeUpdated) -> None:
        roles = RoleBit(event.roles)
        record = NodeRecord(event.operator, roles, event.peer_id, event.endpoint)
        self.nodes[event.operator] = record

    def _without_roles(self, event: e.NodeLeft | e.NodeSlashed) -> None:
        self.nodes.pop(event.operator, None)

    def _contributor(self, event: e.ContributorRegistered) -> None:
        self.payouts[event.id] = self.signers[event.id] = event.payout

    def _datanet(self, event: e.DatanetCreated) -> None:
        self.datanets[event.datanet] = DatanetRecord(event.datanet, event.curator, event.name)

    def _adapter(self, event: e.AdapterRegistered) -> None:
        names = (item.name for item in fields(AdapterRecord))
        record = AdapterRecord(*(getattr(event, name) for name in names))
        self.adapters[event.adapter] = record

    def _deposited(self, event: e.Deposited) -> None:
        self.deposits[event.payer, event.host] = event.balance

    def _thaw(self, event: e.ThawStarted) -> None:
        self.thawing[event.payer, event.host] = event.amount

    def _withdrawn(self, event: e.Withdrawn) -> None:
        self.deposits[event.payer, event.host] -= event.amount
        self.thawing.pop((event.payer, event.host), None)

    def _redeemed(self, event: e.Redeemed) -> None:
        self.redeemed[event.payer, event.host, event.adapter] = event.cumulative
        self.deposits[event.payer, event.host] -= event.amount

    def _staked(self, event: e.Staked) -> None:
        self._stake(event.operator, event.amount)

    def _stake(self, operator: bytes, amount: int) -> None:
        self.stakes[operator] = self.stakes.get(operator, 0) + amount

    def _posted(self, event: e.BatchPosted) -> None:
        record = BatchRecord(
            event.id, event.poster, event.header, event.deadline, event.version, Status.PENDING
        )
        self.batches[event.id], self.last_post = record, self.time

    def _batch_slashed(self, event: e.BatchSlashed) -> None:
        row = self.batches[event.id]
        self.batches[event.id] = replace(row, status=Status.SLASHED, convicted_of=event.kind)
        self._close("AttributionOracle", event.id)

    def _batch_final(self, event: e.BatchFinalized) -> None:
        self._set_batch_status(event.id, Status.FINAL)
        self.allocated = event.allocated

    def _set_batch_status(self, batch: int, status: Status) -> None:
        self.batches[batch] = replace(self.batches[batch], status=status)
        self._close("AttributionOracle", batch)

    def _demanded(self, event: e.OpeningDemanded) -> None:
        key = event.contract, event.subject, event.tree, event.index
        self.demands[key] = DemandRecord(event.by, event.until)

    def _settled(self, event: e.OpeningAnswered | e.DemandRefunded) -> None:
        self.demands.pop((event.contract, event.subject, event.tree, event.index), None)

    def _close(self, contract: str, subject: int) -> None:
        """Nothing is demanded any more of a subject that is decided."""
        for key in [key for key in self.demands if key[:2] == (contract, subject)]:
            del self.demands[key]

    def _proposed(self, event: e.ParametersProposed) -> None:
        self.parameters[event.version] = event.values
        self.effective[event.version] = event.effective_at

    _FOLDS: ClassVar[dict[type, Callable[["Ledger", Any], None]]] = {
        e.NodeRegistered: _node,
        e.NodeUpdated: _node,
        e.NodeLeft: _without_roles,
        e.NodeSlashed: _without_roles,
        e.ContributorRegistered: _contributor,
        e.PayoutMoved: lambda self, event: self.payouts.update({event.id: event.payout}),
        e.DatanetCreated: _datanet,
        e.ShardPublished: _published,
        e.ShardFinalized: lambda self, event: self._shard(event, Status.FINAL),
        e.ShardSlashed: lambda self, event: self._shard(event, Status.SLASHED),
        e.ShardVoided: lambda self, event: self._shard(event, Status.VOID),
        e.BaseRegistered: lambda self, event: self.bases.update({event.base: event.name}),
        e.AdapterRegistered: _adapter,
        e.Deposited: _deposited,
        e.ThawStarted: _thaw,
        e.Withdrawn: _withdrawn,
        e.Redeemed: _redeemed,
        e.Funded: lambda self, event: setattr(self, "funded", event.funded),
        e.Claimed: lambda self, event: self.claimed.update({event.id: event.cumulative}),
        e.Staked: _staked,
        e.UnbondStarted: lambda self, event: self._stake(event.operator, -event.amount),
        e.Locked: lambda self, event: self._stake(event.operator, -event.amount),
        e.Unlocked: lambda self, event: self._stake(event.operator, event.amount),
        e.BatchPosted: _posted,
        e.BatchSlashed: _batch_slashed,
        e.BatchFinalized: _batch_final,
        e.OpeningDemanded: _demanded,
        e.OpeningAnswered: _settled,
        e.DemandRefunded: _settled,
        e.ParametersProposed: _proposed,
    }
