"""The world of `tests.courtroom` on a real chain: everybody registered, one batch already final."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from protocol import calls
from protocol.batch import Body, Header, Text
from protocol.datanet import Document, Shard, shard_of
from protocol.datanet import domain as datanet_domain
from protocol.events import BatchFinalized, BatchPosted, BatchSlashed, SeedDrawn
from protocol.features import FeatureRow
from protocol.merkle import FEATURE, Commitment, byte_root
from protocol.openings import DocumentOpening
from protocol.parameters import OPEN
from protocol.receipt import Voucher, domain
from protocol.refute import Refutation
from protocol.signature import Domain, address_of, sign
from tests.courtroom import (
    ADAPTER,
    BASE,
    CONTRIBUTORS,
    HOST,
    PAYER,
    PHRASES,
    REDEEMED,
    RULES,
    World,
    contributor_secret,
    feature_rows,
    header_of,
    secret,
    shards,
)

PROVER, VALIDATOR, CURATOR = (address_of(secret(n)) for n in ("prover", "validator", "curator"))
ZERO = bytes(32)
TAKEN_DOWN = [(0, 0), (1, 1)]  # (shard, document)


class Courthouse:
    """`chain` with the world's corpus final, its vouchers paid, and batch 1 final.

    Then a feature set came into force, and later documents were taken down: `worlds` are those
    of just before and just after each, of which `world` has the features and all documents.
    """

    def __init__(self, kind: Any) -> None:
        self.chain = chain = kind(RULES)
        for who in (PROVER, VALIDATOR, CURATOR, PAYER, HOST):
            chain.give(who)
        for number in range(1, CONTRIBUTORS + 1):
            who = address_of(contributor_secret(number))
            chain.send(calls.RegisterContributor(who), CURATOR)
        for who in (PROVER, CURATOR):
            chain.send(calls.Stake(who, value=10**6 * OPEN), who)
        self.world = World(
            domain(chain.id, chain.addresses["InferenceEscrow"]),
            self._publish(),
        )
        self._pay()
        paid = [(Text(b"", PHRASES[n] + b" " + PHRASES[n + 1]), OPEN) for n in range(2)]
        self.world = replace(self.world, as_of=chain.time - 1)
        case = self.world.case(1, self.world.body(self.world.answered(paid)))
        self.post(case.body)
        chain.warp(RULES.window)
        assert next(type(e) for e in self.send(calls.FinalizeBatch(1))) is BatchFinalized
        self.paid = 2 * OPEN
        self.worlds = self._worlds(self.world.after(case))
        self.world = self.worlds[2]

    def send(self, call: Any, sender: bytes = PROVER) -> list[Any]:
        return list(self.chain.send(call, sender))

    def anchor(self) -> AbstractContextManager[None]:
        """What happens inside is undone."""
        scope: AbstractContextManager[None] = self.chain.env.anchor()
        return scope

    def posting(self, header: Header) -> calls.PostBatch:
        """The call that posts it now."""
        read = self.chain.read
        count, version = read("AttributionOracle", "batchCount"), read("Parameters", "current")
        return calls.PostBatch(count + 1, version, self.world.old_totals.hash, header)

    def post(self, body: Body, as_of: int | None = None) -> int:
        """The number of the batch."""
        time = self.world.as_of if as_of is None else as_of
        header = self.committed(body.trees().header(body.encode(), time))
        posted = [e for e in self.send(self.posting(header)) if isinstance(e, BatchPosted)]
        assert posted[0].header == header
        return posted[0].id

    def opened(self, document: DocumentOpening) -> DocumentOpening:
        """How a document of `texts` is opened under what is published."""
        return document

    def features(self, rows: Commitment) -> Commitment:
        """What is published for rows of features."""
        return rows

    def committed(self, header: Header) -> Header:
        """What is posted for the trees of a body."""
        return header

    def shard(self, text: bytes, table: Sequence[Document]) -> Shard:
        """What is published for a text."""
        return shard_of(text, table)

    def verdict(self, refutation: Refutation) -> BatchSlashed | None:
        """What the contracts say to a refutation; undone afterwards."""
        with self.anchor():
            try:
                events = self.send(refutation, VALIDATOR)
            except Exception as error:
                if type(error).__name__ != "Reverted":
                    raise
                return None
        return next(event for event in events if isinstance(event, BatchSlashed))

    def _worlds(self, world: World) -> list[World]:
        """Before a feature set is in force, with it, before documents are down, and with that."""
        rows = feature_rows(world.bodies)
        finalized = self._features(rows)
        self.chain.warp(100)
        for shard, number in TAKEN_DOWN:
            held = world.texts.shards[shard]
            proof = tuple(held.document_tree.siblings(number))
            opening = DocumentOpening(number, held.documents[number].encode(), proof)
            self.send(calls.TakeDown(1, shard, self.opened(opening)), CURATOR)
        down = self.chain.time
        self.chain.warp(100)
        facts = {"rows": rows, "finalized_at": finalized}
        facts["takedowns"] = dict.fromkeys(TAKEN_DOWN, down)
        times = (finalized - 1, finalized, down - 1, down)
        return [replace(world, as_of=time, **facts) for time in times]

    def _features(self, rows: list[FeatureRow]) -> int:
        """When the set came into force."""
        self.send(calls.DrawSeed(ADAPTER), CURATOR)
        self.chain.warp(100)
        assert any(isinstance(e, SeedDrawn) for e in self.send(calls.DrawSeed(ADAPTER), CURATOR))
        body = b"".join(row.encode() for row in rows)
        features = self.features(Commitment(FEATURE, len(body), byte_root(FEATURE, body)))
        publish = calls.PublishFeatures(ADAPTER, features.root, features.count, ZERO, 1)
        self.send(publish, CURATOR)
        self.chain.warp(RULES.datanet_window)
        self.send(calls.FinalizeFeatures(1), CURATOR)
        return int(self.chain.time)

    def texts(self, registry: Domain) -> list[tuple[bytes, tuple[Document, ...]]]:
        """The text and the signed documents of each shard."""
        return shards(registry)

    def _publish(self) -> Any:
        where = datanet_domain(self.chain.id, self.chain.addresses["DatanetRegistry"])
        self.send(calls.CreateDatanet("texts"), CURATOR)
        bodies = self.texts(where)
        for text, table in bodies:
            self.send(calls.PublishShard(1, self.shard(text, table)), CURATOR)
        self.chain.warp(RULES.datanet_window)
        for number in range(len(bodies)):
            self.send(calls.FinalizeShard(1, number), CURATOR)
        return bodies

    def _pay(self) -> None:
        self.send(calls.RegisterBase(BASE, "base", value=OPEN), CURATOR)
        self.send(
            calls.RegisterAdapter(
                ADAPTER, BASE, 1, 2, ZERO, 1, ZERO, ZERO, 5000, "adapter", value=OPEN
            ),
            CURATOR,
        )
        self.send(calls.Deposit(HOST, value=REDEEMED), PAYER)
        voucher = Voucher(PAYER, HOST, ADAPTER, REDEEMED)
        signature = sign(secret("payer"), voucher.digest(self.world_domain))
        self.send(calls.Redeem((calls.SignedVoucher.of(voucher, signature),)), HOST)

    @property
    def world_domain(self) -> Any:
        return domain(self.chain.id, self.chain.addresses["InferenceEscrow"])


__all__ = ["Courthouse", "header_of"]
