"""FeatureRegistry and Takedowns on the simulated chain."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol import calls, events
from protocol.datanet import Shard
from protocol.errors import Malformed, Refused
from protocol.ledger import FeatureSetRecord, Status
from protocol.parameters import Parameters
from protocol.refute_features import FeatureRefutation, convicts_features

REGISTRY = "FeatureRegistry"
BLOCKHASHES = 256
PENDING_MAX = 4  # sets of one adapter


@dataclass(frozen=True)
class Bench:
    """`protocol.refute_features.FeatureContext`."""

    parameters: Parameters
    shards: Sequence[Shard]


@dataclass
class FeatureOffice:
    """`chain` is the `SimChain`; its ledger is the truth."""

    chain: Any

    def execute(self, sender: bytes, call: Any) -> list[Any]:
        match call:
            case calls.DrawSeed():
                return self._draw(call)
            case calls.PublishFeatures():
                return self._publish(sender, call)
            case calls.FinalizeFeatures():
                return self._finalize(call)
            case calls.TakeDown():
                return self._take_down(sender, call)
            case _:
                raise AssertionError(f"the simulated chain has no {type(call).__name__}")

    def _draw(self, call: calls.DrawSeed) -> list[Any]:
        truth = self.chain.truth
        target = truth.seed_blocks.get(call.adapter)
        if call.adapter in truth.seeds or call.adapter not in truth.adapters:
            raise Refused("SeedDrawn")
        if target is None or truth.number > target + BLOCKHASHES:
            return [events.SeedRequested(call.adapter, truth.number + 1)]
        if truth.number <= target:
            raise Refused("SeedPending")
        seed = hashlib.sha256(b"block %d" % target + call.adapter).digest()
        return [events.SeedDrawn(call.adapter, seed)]

    def _publish(self, sender: bytes, call: calls.PublishFeatures) -> list[Any]:
        truth, number = self.chain.truth, len(self.chain.truth.feature_sets) + 1
        seed = truth.seeds.get(call.adapter)
        if seed is None:
            raise Refused("NoSeed")
        live = truth.live_feature_sets(call.adapter)
        if any(row.status is Status.FINAL for row in live) or len(live) == PENDING_MAX:
            raise Refused("AlreadyPublished")
        if not 0 < call.example_count <= 1 << 24 or not 0 < call.basis_size <= 1 << 30:
            raise Refused("OutOfBounds")
        rules = truth.current
        deadline = truth.time + rules.datanet_window
        roots = call.features_root, call.example_count, call.basis_root, call.basis_size
        published = events.FeaturesPublished(number, call.adapter, sender, *roots, seed, deadline)
        bond = rules.datanet_bond << len(live)
        return [*self.chain.lock(REGISTRY, number, sender, bond), published]

    def _finalize(self, call: calls.FinalizeFeatures) -> list[Any]:
        row, now = self.chain.pending(REGISTRY, call.id), self.chain.truth.time
        if row is None:
            raise Refused("NotPending")
        if now < row.deadline:
            raise Refused("WindowOpen")
        if self.chain.demands.open_of(REGISTRY, call.id):
            raise Refused("DemandsOpen")
        final = events.FeaturesFinalized(call.id, row.adapter, now)
        return [*self.chain.unlock(REGISTRY, call.id), final]

    def refute(self, sender: bytes, call: FeatureRefutation) -> list[Any]:
        row, truth = self.chain.refutable(REGISTRY, call.id), self.chain.truth
        assert isinstance(row, FeatureSetRecord)
        adapter = truth.adapters[row.adapter]
        shards = truth.final_shards(adapter.datanet)[: adapter.shard_count]
        if not convicts_features(call, row, Bench(truth.parameters[row.version], shards)):
            raise Refused("NotFraud")
        found: list[Any] = self.chain.slash(REGISTRY, call.id, call.KIND, sender)
        return found

    def _take_down(self, sender: bytes, call: calls.TakeDown) -> list[Any]:
        truth = self.chain.truth
        shards = truth.final_shards(call.datanet)
        if call.shard >= len(shards):
            raise Refused("NotFinal")
        try:
            document = call.document.opened(shards[call.shard])
        except Malformed as error:
            raise Refused(f"BadOpening: {error}") from None
        who = document.contributor
        allowed = truth.datanets[call.datanet].curator, truth.signers[who], truth.payouts[who]
        if sender not in allowed:
            raise Refused("NotAllowed")
        place = call.datanet, call.shard, call.document.index
        if place in truth.takedowns:
            raise Refused("AlreadyDown")
        return [events.DocumentTakenDown(*place, truth.time)]
