"""What the contracts say, folded from their events: the one view of the chain that roles use."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from protocol import events as e
from protocol.court import Kind
from protocol.datanet import Shard
from protocol.parameters import Parameters
from protocol.records import (
    LIVE,
    AdapterRecord,
    BatchRecord,
    DatanetRecord,
    DemandRecord,
    FeatureSetRecord,
    NodeRecord,
    RoleBit,
    ShardRecord,
    Status,
)

__all__ = [
    "LIVE",
    "AdapterRecord",
    "BatchRecord",
    "DatanetRecord",
    "DemandRecord",
    "FeatureSetRecord",
    "Ledger",
    "NodeRecord",
    "RoleBit",
    "ShardRecord",
    "Status",
]

ORACLE, DATANETS, FEATURES = "AttributionOracle", "DatanetRegistry", "FeatureRegistry"


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
    # Who has something to claim from a contract, and since when.
    credits: dict[tuple[str, bytes], int] = field(default_factory=dict)
    # When the bond of what died by objection can be had again, by (contract, subject).
    held: dict[tuple[str, int], int] = field(default_factory=dict)
    feature_sets: dict[int, FeatureSetRecord] = field(default_factory=dict)
    seed_blocks: dict[bytes, int] = field(default_factory=dict)  # whose hash makes the seed
    seeds: dict[bytes, bytes] = field(default_factory=dict)  # by adapter
    # When a document was taken down, by (datanet, shard, document).
    takedowns: dict[tuple[int, int, int], int] = field(default_factory=dict)
    # Wei behind each validator who objects, by (contract, subject).
    objections: dict[tuple[str, int], dict[bytes, int]] = field(default_factory=dict)

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

    def pending_batches(self) -> list[BatchRecord]:
        """Oldest first; each stands on the one before it."""
        found = list[BatchRecord]()
        for batch in reversed(self.batches.values()):  # those before a final one are decided
            if batch.status is Status.FINAL:
                break
            if batch.status is Status.PENDING:
                found.append(batch)
        return found[::-1]

    def pending_batch(self) -> BatchRecord | None:
        """The oldest one."""
        return next(iter(self.pending_batches()), None)

    def newest_live_batch(self) -> BatchRecord | None:
        """What the next batch stands on."""
        return next((b for b in reversed(self.batches.values()) if b.status in LIVE), None)

    def last_final_batch(self) -> BatchRecord | None:
        found = (b for b in reversed(self.batches.values()) if b.status is Status.FINAL)
        return next(found, None)

    def ancestors(self, batch: int) -> list[BatchRecord]:
        """The live batches below that number, oldest first."""
        return [b for b in self.batches.values() if b.batch < batch and b.status in LIVE]

    def live_feature_sets(self, adapter: bytes) -> list[FeatureSetRecord]:
        """Those that pend, or the one that is final."""
        rows = self.feature_sets.values()
        return [row for row in rows if row.adapter == adapter and row.status in LIVE]

    def feature_set(self, adapter: bytes) -> FeatureSetRecord | None:
        """The one that is final, or else the newest that pends."""
        rows = sorted(self.live_feature_sets(adapter), key=lambda row: (row.status, row.id))
        return rows[-1] if rows else None

    def features_in_force(self, adapter: bytes, as_of: int) -> FeatureSetRecord | None:
        rows = self.live_feature_sets(adapter)
        return next((row for row in rows if 0 < row.finalized_at <= as_of), None)

    def down(self, datanet: int, as_of: int) -> dict[int, frozenset[int]]:
        """The documents of a Datanet that were taken down by then, by shard."""
        found = dict[int, set[int]]()
        for (where, shard, document), at in self.takedowns.items():
            if where == datanet and at <= as_of:
                found.setdefault(shard, set()).add(document)
        return {shard: frozenset(documents) for shard, documents in found.items()}

    def objected(self, contract: str, subject: int, validator: bytes) -> bool:
        return validator in self.objections.get((contract, subject), {})

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
        self._close(DATANETS, rows[event.index].publication)

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
        roles, known = RoleBit(event.roles), self.nodes.get(event.operator)
        since = self.time if known is None or roles & ~known.roles else known.since
        record = NodeRecord(event.operator, roles, event.peer_id, event.endpoint, since)
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
        parent = self.newest_live_batch()
        record = BatchRecord(
            event.id,
            event.poster,
            event.header,
            event.deadline,
            event.version,
            Status.PENDING,
            posted_at=self.time,
            parent=parent.batch if parent else 0,
            allocated=(parent.allocated if parent else self.allocated) + event.header.total,
        )
        self.batches[event.id], self.last_post = record, self.time

    def _batch_data(self, event: e.BatchData) -> None:
        row = self.batches[event.id]
        self.batches[event.id] = replace(row, commitment=event.commitment)

    def _batch_slashed(self, event: e.BatchSlashed) -> None:
        self._convicted(ORACLE, event.id, event.kind)
        row = self.batches[event.id]
        self.batches[event.id] = replace(row, status=Status.SLASHED, convicted_of=event.kind)
        self._close(ORACLE, event.id)

    def _batch_final(self, event: e.BatchFinalized) -> None:
        self._end_batch(event.id, Status.FINAL)
        self.allocated = event.allocated

    def _end_batch(self, batch: int, status: Status) -> None:
        self.batches[batch] = replace(self.batches[batch], status=status)
        self._close(ORACLE, batch)

    def _published_features(self, event: e.FeaturesPublished) -> None:
        record = FeatureSetRecord.of(event, self.current_version, self.time)
        self.feature_sets[event.id] = record

    def _features_final(self, event: e.FeaturesFinalized) -> None:
        row = self._end_features(event.id, Status.FINAL)
        self.feature_sets[event.id] = replace(row, finalized_at=event.finalized_at)
        for other in self.live_feature_sets(event.adapter):
            if other.id != event.id:
                self._end_features(other.id, Status.VOID)  # the first is in force for ever
                self.held[FEATURES, other.id] = self.time

    def _features_slashed(self, event: e.FeaturesSlashed) -> None:
        self._convicted(FEATURES, event.id, event.kind)
        row = self._end_features(event.id, Status.SLASHED)
        self.feature_sets[event.id] = replace(row, convicted_of=event.kind)

    def _features_void(self, event: e.FeaturesVoided) -> None:
        if (row := self.feature_sets[event.id]).status is Status.PENDING:
            self._end_features(event.id, Status.VOID)
            self._hold(FEATURES, event.id, row)

    def _batch_void(self, event: e.BatchVoided) -> None:
        if event.because == event.id:
            self._hold(ORACLE, event.id, self.batches[event.id])
        self._end_batch(event.id, Status.VOID)

    def _hold(self, contract: str, number: int, row: BatchRecord | FeatureSetRecord) -> None:
        unbonding = self.parameters[row.version].unbonding if self.parameters else 0
        self.held[contract, number] = row.posted_at + unbonding

    def _released(self, event: e.BondReleased) -> None:
        self.held.pop((event.contract, event.id), None)

    def _end_features(self, number: int, status: Status) -> FeatureSetRecord:
        row = replace(self.feature_sets[number], status=status)
        self.feature_sets[number] = row
        self._close(FEATURES, number)
        return row

    def _taken_down(self, event: e.DocumentTakenDown) -> None:
        self.takedowns.setdefault((event.datanet, event.shard, event.document), event.at)

    def _objected(self, event: e.Objected) -> None:
        self.objections.setdefault((event.contract, event.id), {})[event.validator] = event.weight

    def _credit(self, contract: str, owner: bytes) -> None:
        self.credits.setdefault((contract, owner), self.time)

    def _paid_out(self, event: e.CreditClaimed) -> None:
        self.credits.pop((event.contract, event.owner), None)

    def _convicted(self, contract: str, subject: int, kind: int) -> None:
        """Who asked for a leaf in vain gets his bond back; whose demand it was is not said."""
        if kind == Kind.WITHHELD:
            for key, demand in self.demands.items():
                if key[:2] == (contract, subject) and demand.until <= self.time:
                    self._credit(contract, demand.by)

    def _demanded(self, event: e.OpeningDemanded) -> None:
        key = event.contract, event.subject, event.tree, event.index
        self.demands[key] = DemandRecord(event.by, event.until)

    def _settled(self, event: e.OpeningAnswered | e.DemandRefunded) -> None:
        self.demands.pop((event.contract, event.subject, event.tree, event.index), None)
        self._credit(event.contract, event.by)

    def _slashed(self, event: e.Slashed) -> None:
        if event.reward:
            self._credit("StakeVault", event.challenger)

    def _claimed(self, event: e.Claimed) -> None:
        self.claimed[event.id] = event.cumulative
        if event.credited:
            self._credit("RewardPool", event.payout)

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
        e.Claimed: _claimed,
        e.CreditClaimed: _paid_out,
        e.Staked: _staked,
        e.UnbondStarted: lambda self, event: self._stake(event.operator, -event.amount),
        e.Locked: lambda self, event: self._stake(event.operator, -event.amount),
        e.Unlocked: lambda self, event: self._stake(event.operator, event.amount),
        e.BatchPosted: _posted,
        e.Slashed: _slashed,
        e.BatchData: _batch_data,
        e.BatchSlashed: _batch_slashed,
        e.BatchVoided: _batch_void,
        e.BondReleased: _released,
        e.BatchFinalized: _batch_final,
        e.OpeningDemanded: _demanded,
        e.OpeningAnswered: _settled,
        e.DemandRefunded: _settled,
        e.SeedRequested: lambda self, event: self.seed_blocks.update({event.adapter: event.target}),
        e.SeedDrawn: lambda self, event: self.seeds.update({event.adapter: event.seed}),
        e.FeaturesPublished: _published_features,
        e.FeaturesFinalized: _features_final,
        e.FeaturesSlashed: _features_slashed,
        e.FeaturesVoided: _features_void,
        e.DocumentTakenDown: _taken_down,
        e.Objected: _objected,
        e.ParametersProposed: _proposed,
    }
