"""What the contracts say, folded from their events: the one view of the chain that roles use."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag

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


@dataclass(frozen=True, slots=True)
class AdapterRecord:
    adapter: bytes  # sha256 of the weights
    base: bytes
    datanet: int
    shard_count: int
    weights_root: bytes
    weights_size: int
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
    bond: int = 0


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
    datanets: dict[int, DatanetRecord] = field(default_factory=dict)
    shards: dict[int, list[ShardRecord]] = field(default_factory=dict)
    bases: dict[bytes, str] = field(default_factory=dict)
    adapters: dict[bytes, AdapterRecord] = field(default_factory=dict)
    deposits: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    thawing: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    redeemed: dict[tuple[bytes, bytes, bytes], int] = field(default_factory=dict)
    batches: dict[int, BatchRecord] = field(default_factory=dict)
    funded: int = 0
    allocated: int = 0
    claimed: dict[int, int] = field(default_factory=dict)
    stakes: dict[bytes, int] = field(default_factory=dict)

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

    def parameters_of(self, version: int) -> Parameters:
        return self.parameters[version]

    @property
    def current(self) -> Parameters:
        return self.parameters[max(self.parameters)]

    def available(self, payer: bytes, host: bytes) -> int:
        """Wei that vouchers of `payer` can still take: nothing that is thawing counts."""
        return max(0, self.deposits.get((payer, host), 0) - self.thawing.get((payer, host), 0))

    def set_batch_status(self, batch: int, status: Status) -> None:
        self.batches[batch] = replace(self.batches[batch], status=status)
