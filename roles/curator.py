"""Curator: screens contributions, keeps the accepted ones, publishes them as a bonded shard."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from datanet.build import build_shard
from datanet.screen import Accepted, Known, Offer, Rejected, Rule, screen
from protocol.calls import CreateDatanet, FinalizeShard, PublishShard, TakeDown
from protocol.datanet import Shard, decode_table, domain
from protocol.errors import Malformed, Refused, Temporary
from protocol.ledger import Ledger, ShardRecord, Status
from protocol.merkle import DOCUMENT
from protocol.messages import Message
from protocol.openings import DocumentOpening
from protocol.signature import Domain
from roles.demands import answer_shard_demands
from roles.disclosures import leaf_of
from roles.intents import pursue
from roles.ports import Ports

PENDING_MAX = 10_000  # accepted contributions waiting for publication
RETRY_SECONDS = 20  # a refused finalization (an open demand) is tried again so often
PREFIX, PUBLISHING = b"curator/pending/", b"curator/publishing/"
ARRIVAL = 8  # bytes of the time of acceptance, microseconds: who came first is paid first


@dataclass(frozen=True)
class Curator:
    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = ()

    trouble: dict[str, str] = field(default_factory=dict)
    _publishing: trio.Lock = field(default_factory=trio.Lock)

    async def run(self, ports: Ports) -> None:
        forgotten = 0
        async with ports.chain.heads() as heads:
            async for _ in heads:
                await self._finalize(ports)
                await self._answer_demands(ports)
                final = [row for row in own_shards(ports) if row.status is Status.FINAL]
                if len(final) != forgotten and await self._forget(ports, final):
                    forgotten = len(final)

    async def _finalize(self, ports: Ports) -> None:
        """Ours, when their windows have passed, in their order."""
        for row in own_shards(ports):
            if row.status is Status.PENDING and ports.chain.ledger.time >= row.deadline:
                call = FinalizeShard(row.datanet, row.index)
                await pursue(ports, f"finalize-shard/{row.publication}", call, RETRY_SECONDS)

    async def _answer_demands(self, ports: Ports) -> None:
        """Who does not open what is demanded of his shard loses its bond."""
        try:
            await answer_shard_demands(ports, own_shards(ports))
        except (Temporary, Malformed) as error:
            self.trouble["demands"] = str(error)

    async def _forget(self, ports: Ports, final: Sequence[ShardRecord]) -> bool:
        """Drop what final shards hold; the texts of a slashed one can be published again."""
        try:
            for datanet in {row.datanet for row in final}:
                held = await published_texts(ports, datanet, Status.FINAL)
                gone = [_key(datanet, root) for root in pending_of(ports, datanet).keys() & held]
                ports.store.write(dict.fromkeys(gone), sync=True)
        except Temporary as error:
            self.trouble["tables"] = str(error)
            return False
        return True

    async def create(self, ports: Ports, name: str) -> None:
        require_live(ports)
        fee = ports.chain.ledger.current.datanet_fee
        await pursue(ports, f"create-datanet/{name}", CreateDatanet(name, fee))

    async def take_down(self, ports: Ports, datanet: int, shard: int, document: int) -> None:
        """Nobody is paid for that document of a final shard any more, from the next block on.

        `Refused` where there is none; `Temporary` while the shard's table cannot be had.
        """
        self._require_ours(ports, datanet)
        rows = ports.chain.ledger.final_shards(datanet)
        if not 0 <= shard < len(rows) or not 0 <= document < rows[shard].document_count:
            raise Refused(f"datanet {datanet} has no document {document} in a final shard {shard}")
        table = await ports.bodies.fetch(rows[shard].table)
        opening = DocumentOpening(document, *leaf_of(DOCUMENT, table, document))
        call = TakeDown(datanet, shard, opening)
        await pursue(ports, f"take-down/{datanet}/{shard}/{document}", call, RETRY_SECONDS)

    async def accept(self, ports: Ports, offer: Offer) -> Accepted:
        """Keep the contribution durably, or raise `Rejected` with the rule and its evidence."""
        datanet = offer.contribution.datanet
        self._require_ours(ports, datanet)
        ledger = ports.chain.ledger
        known = await self._known(ports, datanet)
        where, signers = datanet_domain(ledger), dict(ledger.signers)
        accepted = await ports.compute(screen, offer, where, signers, known)
        key = _key(datanet, accepted.contribution.content_root)
        if ports.store.get(key) is not None:  # it came twice at once
            who = accepted.contribution.contributor
            raise Rejected(Rule.DUPLICATE, f"contributor {who} is sending these bytes (pending)")
        arrival = int(ports.clock.now() * 1e6).to_bytes(ARRIVAL, "big")
        ports.store.write({key: arrival + accepted.encode()}, sync=True)
        return accepted

    async def _known(self, ports: Ports, datanet: int) -> dict[bytes, Known]:
        """Every text of the Datanet, and where it stands."""
        known = await published_texts(ports, datanet, Status.PENDING, Status.FINAL)
        pending = pending_of(ports, datanet)
        if len(pending) >= PENDING_MAX:
            raise Refused(f"{len(pending)} contributions wait for publication, limit is reached")
        for root, item in pending.items():
            known.setdefault(root, Known(item.contribution.contributor, "pending"))
        return known

    def _require_ours(self, ports: Ports, datanet: int) -> None:
        require_live(ports)
        record = ports.chain.ledger.datanets.get(datanet)
        if record is None:
            raise Temporary(f"datanet {datanet} is not confirmed here yet, or does not exist")
        if record.curator != ports.signer.address:
            raise Refused(f"this node does not curate datanet {datanet}")

    async def publish(self, ports: Ports, datanet: int) -> str:
        """Publish all pending contributions as the next shard; the key of the intent."""
        self._require_ours(ports, datanet)
        async with self._publishing:
            self._require_settled(ports, datanet)
            published = await published_texts(ports, datanet, Status.PENDING, Status.FINAL)
            pending = pending_of(ports, datanet)
            fresh = [item for root, item in pending.items() if root not in published]
            if not fresh:
                raise Refused(f"datanet {datanet}: no contribution is pending")
            built = await ports.compute(build_shard, fresh)
            await ports.bodies.offer(built.shard.text, built.text)
            await ports.bodies.offer(built.shard.table, built.table)
            key = _publication(ports, datanet, built.shard)
            mark = key.encode() + b"\0" + built.shard.text_root
            ports.store.write({PUBLISHING + datanet.to_bytes(4, "big"): mark}, sync=True)
            await ports.chain.intend(key, PublishShard(datanet, built.shard))
            return key

    def _require_settled(self, ports: Ports, datanet: int) -> None:
        """A second shard beside one under way would repeat its texts: a proven duplicate."""
        mark = ports.store.get(PUBLISHING + datanet.to_bytes(4, "big"))
        if mark is None:
            return
        key, root = mark[:-33].decode(), mark[-32:]
        outcome = ports.chain.outcome(key)
        rows = ports.chain.ledger.shards.get(datanet, [])
        unseen = outcome and outcome.succeeded and root not in {r.shard.text_root for r in rows}
        if ports.chain.pending(key) or unseen:
            raise Refused(f"a shard of datanet {datanet} is being published, ask again later")


def _publication(ports: Ports, datanet: int, shard: Shard) -> str:
    """The key of the intent: the same for the same shard at the same place, until it is refused."""
    place = len(ports.chain.ledger.publications)
    stem, attempt = f"publish/{datanet}/{place}/{shard.text_root.hex()[:16]}", 0
    while (ended := ports.chain.outcome(f"{stem}/{attempt}")) and not ended.succeeded:
        attempt += 1
    return f"{stem}/{attempt}"


def require_live(ports: Ports) -> None:
    if not ports.chain.live:
        raise Temporary("the chain is not followed up to its head yet")


def datanet_domain(ledger: Ledger) -> Domain:
    return domain(ledger.chain_id, ledger.contracts["DatanetRegistry"])


def own_shards(ports: Ports) -> list[ShardRecord]:
    rows = (row for shards in ports.chain.ledger.shards.values() for row in shards)
    return [row for row in rows if row.curator == ports.signer.address]


def pending_of(ports: Ports, datanet: int) -> dict[bytes, Accepted]:
    """What this curator accepted, by content root, in the order in which it came."""
    rows = ports.store.scan(_key(datanet, b""))
    arrived = sorted((value for _, value in rows), key=lambda value: value[:ARRIVAL])
    items = [Accepted.decode(value[ARRIVAL:]) for value in arrived]
    return {item.contribution.content_root: item for item in items}


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
