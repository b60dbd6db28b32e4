"""Chains of batches, feature sets, takedowns, objections and credits, as the ledger tells them."""

from dataclasses import replace
from typing import Any

from protocol import events as e
from protocol.batch import Header
from protocol.ledger import Ledger, RoleBit, Status
from protocol.merkle import BODY, FEATURE, FEATURE_LEAF, Commitment
from protocol.parameters import Parameters

A, B, C = (bytes([n]) * 20 for n in (1, 2, 3))
ADAPTER = b"\xad" * 32
RULES = Parameters(window=100)
HEADER = Header(*(bytes([n]) * 32 for n in range(6)), 1, 55, 1, 1, 0, 0)


def folded(*events: Any, time: int = 0) -> Ledger:
    ledger = Ledger(chain_id=7, contracts={"X": A})
    ledger.begin(3, time)
    for event in events:
        ledger.apply(event)
    return ledger


def posted(number: int, total: int = 10, **changes: Any) -> Any:
    return e.BatchPosted(number, A, replace(HEADER, total=total, **changes), 500, 1)


def test_batches_stand_on_each_other_and_end_with_what_they_stand_on() -> None:
    ledger = folded(posted(1, 10), posted(2, 20), e.BatchData(2, b"where"), posted(3, 30))
    assert [b.batch for b in ledger.pending_batches()] == [1, 2, 3]
    assert [(b.parent, b.allocated) for b in ledger.pending_batches()] == [
        (0, 10),
        (1, 30),
        (2, 60),
    ]
    assert ledger.batches[2].commitment == b"where"
    assert ledger.pending_batch() == ledger.batches[1]
    assert ledger.newest_live_batch() == ledger.batches[3]

    ledger.apply(e.BatchVoided(3, 2))
    ledger.apply(e.BatchSlashed(2, B, 4, 100, 30))
    assert [b.status for b in ledger.batches.values()] == [
        Status.PENDING, Status.SLASHED, Status.VOID,
    ]  # fmt: skip
    assert ledger.newest_live_batch() == ledger.batches[1]
    ledger.apply(posted(4, 5))
    assert (ledger.batches[4].parent, ledger.batches[4].allocated) == (1, 15)
    assert ledger.batches[4].totals == (HEADER.totals_root, 15)
    assert [b.batch for b in ledger.ancestors(4)] == [1]

    ledger.apply(e.BatchFinalized(1, HEADER.totals_root, 10))
    ledger.apply(e.BatchVoided(4, 4))
    assert ledger.pending_batches() == []
    assert ledger.newest_live_batch() == ledger.last_final_batch() == ledger.batches[1]
    ledger.apply(posted(5, 7))
    assert (ledger.batches[5].parent, ledger.batches[5].allocated) == (1, 17)


def test_a_demand_of_a_voided_batch_is_closed() -> None:
    ledger = folded(posted(1), posted(2), e.OpeningDemanded("AttributionOracle", 2, 1, 0, B, 60))
    ledger.apply(e.BatchVoided(2, 1))
    assert not ledger.demands


# ---------------------------------------------------------------- influence


def published_set(number: int, examples: int = 3) -> Any:
    roots = b"\x0f" * 32, examples, b"\x0b" * 32, 5_000
    return e.FeaturesPublished(number, ADAPTER, A, *roots, b"seed", 50)


def test_a_feature_set_is_in_force_from_its_end_on() -> None:
    ledger = folded(
        e.ParametersProposed(1, 0, RULES),
        e.SeedRequested(ADAPTER, 9),
        e.SeedDrawn(ADAPTER, b"s" * 32),
        published_set(1),
        time=20,
    )
    assert (ledger.seed_blocks, ledger.seeds) == ({ADAPTER: 9}, {ADAPTER: b"s" * 32})
    row = ledger.feature_set(ADAPTER)
    assert row is not None
    assert row.features == Commitment(FEATURE, 3 * FEATURE_LEAF, b"\x0f" * 32)
    assert row.basis == Commitment(BODY, 5_000, b"\x0b" * 32)
    assert (row.status, row.posted_at, row.version) == (Status.PENDING, 20, 1)
    assert ledger.features_in_force(ADAPTER, 10**9) is None
    ledger.apply(e.FeaturesFinalized(1, ADAPTER, 70))
    assert ledger.features_in_force(ADAPTER, 69) is None
    assert ledger.features_in_force(ADAPTER, 70) == ledger.feature_sets[1]
    assert ledger.feature_sets[1].status is Status.FINAL


def test_a_dead_feature_set_makes_room_for_another() -> None:
    ledger = folded(e.ParametersProposed(1, 0, RULES), published_set(1))
    ledger.apply(e.FeaturesSlashed(1, B, 2, 100, 30))
    assert ledger.feature_set(ADAPTER) is None
    assert ledger.feature_sets[1].convicted_of == 2
    ledger.apply(published_set(2))
    ledger.apply(e.FeaturesVoided(2))
    assert ledger.feature_set(ADAPTER) is None
    ledger.apply(published_set(3))
    assert ledger.feature_set(ADAPTER) == ledger.feature_sets[3]


def test_a_set_too_large_to_be_fetched_is_still_told() -> None:
    ledger = folded(e.ParametersProposed(1, 0, RULES), published_set(1, 2**32 - 1))
    assert ledger.feature_sets[1].features.size == 0
    assert ledger.feature_sets[1].example_count == 2**32 - 1


def test_a_document_is_down_from_its_first_takedown_on() -> None:
    ledger = folded(e.DocumentTakenDown(1, 0, 4, 70), e.DocumentTakenDown(1, 2, 1, 80))
    ledger.apply(e.DocumentTakenDown(1, 0, 4, 90))
    assert ledger.down(1, 69) == {}
    assert ledger.down(1, 70) == {0: frozenset({4})}
    assert ledger.down(1, 80) == {0: frozenset({4}), 2: frozenset({1})}
    assert ledger.down(2, 80) == {}


def test_objections_are_counted_by_subject_and_validator() -> None:
    ledger = folded(e.Objected("AttributionOracle", 3, A, 100, 300))
    assert ledger.objected("AttributionOracle", 3, A)
    assert not ledger.objected("FeatureRegistry", 3, A)
    assert not ledger.objected("AttributionOracle", 3, B)
    assert ledger.objections["AttributionOracle", 3] == {A: 100}


def test_a_node_is_in_a_role_since_it_took_it() -> None:
    ledger = folded(e.NodeRegistered(A, RoleBit.PROVER, 1, b"p", ""), time=5)
    ledger.begin(4, 9)
    ledger.apply(e.NodeUpdated(A, RoleBit.PROVER, b"p", "elsewhere"))
    assert ledger.nodes[A].since == 5
    ledger.apply(e.NodeUpdated(A, RoleBit.PROVER | RoleBit.VALIDATOR, b"p", ""))
    assert ledger.nodes[A].since == 9


def test_who_is_owed_something_is_known_until_he_takes_it() -> None:
    oracle, vault, pool = "AttributionOracle", "StakeVault", "RewardPool"
    ledger = folded(
        posted(1),
        e.OpeningDemanded(oracle, 1, 1, 0, B, 60),
        e.OpeningDemanded(oracle, 1, 1, 1, C, 90),
        e.OpeningAnswered(oracle, 7, 1, 1, A),
        e.Slashed(A, B, C, 4, 1, 1, 2),
        e.Claimed(3, A, 4, 4, True),
        time=3,
    )
    assert ledger.credits == {(oracle, A): 3, (vault, C): 3, (pool, A): 3}
    ledger.begin(9, 70)
    ledger.apply(e.BatchSlashed(1, B, 9, 1, 1))
    assert ledger.credits[oracle, B] == 70, "his time for an answer was over"
    assert (oracle, C) not in ledger.credits
    ledger.apply(e.OpeningAnswered(oracle, 7, 1, 2, A))
    assert ledger.credits[oracle, A] == 3, "the oldest counts"
    ledger.apply(e.CreditClaimed(oracle, A, A, 1))
    assert (oracle, A) not in ledger.credits
