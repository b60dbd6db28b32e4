"""Curator: screens contributions, keeps the accepted ones, publishes them as a bonded shard."""

from dataclasses import dataclass
from typing import ClassVar

from datanet.build import build_shard
from datanet.screen import Accepted, Known, Offer, screen
from protocol.calls import CreateDatanet, FinalizeShard, PublishShard
from protocol.datanet import decode_table, domain
from protocol.errors import Refused, Temporary
from protocol.ledger import Ledger, ShardRecord, Status
from protocol.messages import Message
from protocol.signature import Domain
from roles.ports import Ports

PENDING_MAX = 10_000  # accepted contributions waiting for publication
RETRY_SECONDS = 120  # a refused finalization (an open demand) is tried again so often
PREFIX = b"curator/pending/"
ARRIVAL = 8  # bytes of the time of acceptance, microseconds: who came first is paid first


@dataclass(frozen=True)
class Curator:
    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = ()

    async def run(self, ports: Ports) -> None:
        async for _ in ports.chain.heads():
            for record in own_shards(ports):
                if record.status is Status.PENDING and ports.chain.ledger.time >= record.deadline:
                    call = FinalizeShard(record.datanet, record.index)
                    await ports.chain.intend(
                        f"finalize-shard/{record.datanet}/{record.index}", call
                    )
                if record.status is Status.FINAL:
                    await self._forget(ports, record)

    async def _forget(self, ports: Ports, record: ShardRecord) -> None:
        """Drop what a final shard holds; a slashed or lost one can be published again."""
        pending = pending_of(ports, record.datanet)
        if pending:
            final = await published_texts(ports, record.datanet, Status.FINAL)
            gone = [_key(record.datanet, root) for root in pending.keys() & final.keys()]
            ports.store.write(dict.fromkeys(gone), sync=True)

    async def create(self, ports: Ports, name: str) -> None:
        fee = ports.chain.ledger.current.datanet_fee
        await ports.chain.intend(f"create-datanet/{name}", CreateDatanet(name, fee))

    async def accept(self, ports: Ports, offer: Offer) -> Accepted:
        """Keep the contribution durably, or raise `Rejected` with the rule and its evidence."""
        ledger, datanet = ports.chain.ledger, offer.contribution.datanet
        record = ledger.datanets.get(datanet)
        if record is None:
            raise Temporary(f"datanet {datanet} is not confirmed here yet, or does not exist")
        if record.curator != ports.signer.address:
            raise Refused(f"this node does not curate datanet {datanet}")
        known = await published_texts(ports, datanet, Status.PENDING, Status.FINAL)
        pending = pending_of(ports, datanet)
        if len(pending) >= PENDING_MAX:
            raise Refused(f"{len(pending)} contributions wait for publication, limit is reached")
        for root, item in pending.items():
            known.setdefault(root, Known(item.contribution.contributor, "pending"))
        accepted = await ports.compute(screen, offer, datanet_domain(ledger), ledger.signers, known)
        key = _key(datanet, accepted.contribution.content_root)
        arrival = int(ports.clock.now() * 1e6).to_bytes(ARRIVAL, "big")
        ports.store.write({key: arrival + accepted.encode()}, sync=True)
        return accepted

    async def publish(self, ports: Ports, datanet: int) -> str:
        """Publish all pending contributions as the next shard; the key of the intent."""
        published = await published_texts(ports, datanet, Status.PENDING, Status.FINAL)
        pending = pending_of(ports, datanet)
        fresh = [item for root, item in pending.items() if root not in published]
        if not fresh:
            raise Refused(f"datanet {datanet}: no contribution is pending")
        built = await ports.compute(build_shard, fresh)
        await ports.bodies.offer(built.shard.text, built.text)
        await ports.bodies.offer(built.shard.table, built.table)
        publications = len(ports.chain.ledger.publications)
        key = f"publish/{datanet}/{publications}/{built.shard.text_root.hex()[:16]}"
        await ports.chain.intend(key, PublishShard(datanet, built.shard))
        return key


def datanet_domain(ledger: Ledger) -> Domain:
    return domain(ledger.chain_id, ledger.contracts["DatanetRegistry"])


def own_shards(ports: Ports) -> list[ShardRecord]:
    rows = (row for shards in ports.chain.ledger.shards.values() for row in shards)
    return [row for row in rows if row.curator == ports.signer.address]


def pending_of(ports: Ports, datanet: int) -> dict[bytes, Accepted]:
    """What this curator accepted, by content root, in the order in which it came."""
    rows = ports.store.scan(_key(datanet, b""))
    arrived = sorted((value[:ARRIVAL], Accepted.decode(value[ARRIVAL:])) for _, value in rows)
    return {item.contribution.content_root: item for _, item in arrived}


async def published_texts(ports: Ports, datanet: int, *statuses: Status) -> dict[bytes, Known]:
    """Content roots that stand in shards of these statuses, and where."""
    known = dict[bytes, Known]()
    for row in ports.chain.ledger.shards.get(datanet, []):
        if row.status in statuses:
            table = decode_table(await ports.bodies.fetch(row.shard.table))
            for number, document in enumerate(table):
                where = f"shard {row.index}, document {number}"
                known.setdefault(document.content_root, Known(document.contributor, where))
    return known


def _key(datanet: int, root: bytes) -> bytes:
    return PREFIX + datanet.to_bytes(4, "big") + root
