"""The ledger is a function of the events alone; each of them changes what it says, nothing else."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import events as e
from protocol.batch import Header
from protocol.datanet import Shard
from protocol.ledger import (
    AdapterRecord,
    DemandRecord,
    Ledger,
    NodeRecord,
    RoleBit,
    ShardRecord,
    Status,
)
from protocol.merkle import BODY, Commitment
from protocol.parameters import Parameters

A, B, C = (bytes([n]) * 20 for n in (1, 2, 3))
ADAPTER, BASE = b"\xad" * 32, b"\xba" * 32
RULES = Parameters(window=100)
HEADER = Header(*(bytes([n]) * 32 for n in range(6)), 1, 55, 1, 1, 0, 0)


def published(index: int, publication: int, *, datanet: int = 1, deadline: int = 50) -> Any:
    roots = bytes([publication]) * 32, bytes([100 + publication]) * 32
    return e.ShardPublished(datanet, index, A, *roots, 100, 2, deadline, publication)


def shard(publication: int) -> Shard:
    return Shard(bytes([publication]) * 32, bytes([100 + publication]) * 32, 100, 2)


def folded(*events: Any, time: int = 0) -> Ledger:
    ledger = Ledger(chain_id=7, contracts={"X": A})
    ledger.begin(3, time)
    for event in events:
        ledger.apply(event)
    return ledger


def statuses(ledger: Ledger, datanet: int = 1) -> list[Status]:
    return [row.status for row in ledger.shards[datanet]]


# ---------------------------------------------------------------- parameters


def test_a_version_binds_from_its_time_on_and_the_first_at_once() -> None:
    """Version 1 counts even before the time it names: the chain has no other."""
    later = replace(RULES, window=200)
    ledger = folded(e.ParametersProposed(1, 10, RULES), e.ParametersProposed(2, 1_000, later))

    ledger.begin(4, 0)
    assert ledger.current_version == 1
    ledger.begin(5, 999)
    assert (ledger.current_version, ledger.current) == (1, RULES)
    ledger.begin(6, 1_000)
    assert (ledger.current_version, ledger.current) == (2, later)
    assert ledger.parameters[1] == RULES, "old batches are judged by it for ever"


# ---------------------------------------------------------------- datanets


def test_a_shard_waits_and_becomes_final() -> None:
    ledger = folded(e.DatanetCreated(1, A, "texts"), published(0, 1), published(1, 2))
    assert ledger.datanets[1].curator == A
    assert ledger.final_shards(1) == []
    row = ShardRecord(1, 1, shard(2), A, 50, Status.PENDING, 2)
    assert ledger.shards[1][1] == row

    ledger.apply(e.ShardFinalized(1, 0))
    assert ledger.final_shards(1) == [shard(1)]
    assert statuses(ledger) == [Status.FINAL, Status.PENDING]
    assert ledger.final_shards(2) == [], "an unknown Datanet has none"


def test_a_slashed_place_and_the_voided_ones_after_it_are_given_again() -> None:
    ledger = folded(
        *(published(index, index + 1) for index in range(3)),
        e.ShardFinalized(1, 0),
        e.ShardSlashed(1, 1, B, 2, 100, 30),
        e.ShardVoided(1, 2),
    )
    assert statuses(ledger) == [Status.FINAL, Status.SLASHED, Status.VOID]
    assert ledger.final_shards(1) == [shard(1)]

    ledger.apply(published(1, 4))
    assert statuses(ledger) == [Status.FINAL, Status.PENDING]
    assert ledger.shards[1][1].shard == shard(4)
    assert ledger.publications == {1, 2, 3, 4}
    ledger.apply(published(2, 5))
    ledger.apply(e.ShardFinalized(1, 1))
    ledger.apply(e.ShardFinalized(1, 2))
    assert ledger.final_shards(1) == [shard(1), shard(4), shard(5)]


def test_datanets_do_not_touch_each_other() -> None:
    ledger = folded(published(0, 1), published(0, 2, datanet=2), e.ShardSlashed(2, 0, B, 1, 1, 1))
    assert statuses(ledger, 1) == [Status.PENDING]
    assert statuses(ledger, 2) == [Status.SLASHED]


# ---------------------------------------------------------------- nodes


def test_nodes_register_change_and_lose_their_roles() -> None:
    both = RoleBit.CURATOR | RoleBit.HOST
    ledger = folded(
        e.NodeRegistered(A, int(both), 5, b"peer", "/ip4/1"),
        e.NodeRegistered(B, int(RoleBit.PROVER), 5, b"other", ""),
    )
    assert ledger.nodes[A] == NodeRecord(A, both, b"peer", "/ip4/1")
    assert [node.operator for node in ledger.by_role(RoleBit.HOST)] == [A]
    assert ledger.has_role(A, RoleBit.CURATOR)
    assert not ledger.has_role(B, RoleBit.HOST)
    assert not ledger.has_role(C, RoleBit.HOST)

    ledger.apply(e.NodeUpdated(A, int(RoleBit.HOST), b"new", "/ip4/2"))
    assert ledger.nodes[A] == NodeRecord(A, RoleBit.HOST, b"new", "/ip4/2")
    ledger.apply(e.NodeSlashed(A, C, 5))
    ledger.apply(e.NodeLeft(B, 99))
    assert not ledger.nodes
    ledger.apply(e.NodeLeft(A, 99))  # a slashed node that also leaves
    assert not ledger.has_role(A, RoleBit.HOST)


def test_a_moved_payout_does_not_move_who_signs() -> None:
    ledger = folded(e.ContributorRegistered(4, A), e.PayoutMoved(4, B))
    assert (ledger.payouts[4], ledger.signers[4]) == (B, A)


# ---------------------------------------------------------------- models


def test_adapters_and_bases() -> None:
    ledger = folded(
        e.BaseRegistered(BASE, A, "base"),
        e.AdapterRegistered(
            *(ADAPTER, BASE, A, 1, 2, b"\x01" * 32, 77, b"\x02" * 32, b"\x03" * 32, 5_000, "cat")
        ),
    )
    record = ledger.adapters[ADAPTER]
    assert record == AdapterRecord(
        *(ADAPTER, BASE, 1, 2, b"\x01" * 32, 77, b"\x02" * 32, b"\x03" * 32, 5_000, "cat", A)
    )
    assert record.weights == Commitment(BODY, 77, b"\x01" * 32)
    assert ledger.bases == {BASE: "base"}
    assert ledger.adapter_named("cat") is record
    assert ledger.adapter_named("dog") is None


# ---------------------------------------------------------------- payments


def test_thawing_money_backs_nothing_and_redeeming_takes_the_rest() -> None:
    ledger = folded(e.Deposited(A, B, 60, 60), e.Deposited(A, B, 40, 100))
    assert ledger.available(A, B) == 100
    assert ledger.available(B, A) == 0

    ledger.apply(e.ThawStarted(A, B, 30, 9))
    assert ledger.available(A, B) == 70
    ledger.apply(e.ThawStarted(A, B, 50, 9))  # replaces the first
    assert ledger.available(A, B) == 50
    ledger.apply(e.Redeemed(A, B, ADAPTER, 80, 80, 8, 16, 30, 16, 10))
    assert ledger.redeemed == {(A, B, ADAPTER): 80}
    assert ledger.available(A, B) == 0, "more is thawing than is left"
    ledger.apply(e.Withdrawn(A, B, 20))
    assert ledger.deposits[A, B] == ledger.available(A, B) == 0
    ledger.apply(e.Deposited(A, B, 10, 10))
    assert ledger.available(A, B) == 10, "the notice ended with the withdrawal"


def test_accounts_of_two_adapters_are_paid_apart_from_one_deposit() -> None:
    other = b"\xae" * 32
    ledger = folded(
        e.Deposited(A, B, 100, 100),
        e.Redeemed(A, B, ADAPTER, 30, 30, 0, 0, 0, 0, 30),
        e.Redeemed(A, B, other, 20, 20, 0, 0, 0, 0, 20),
        e.Redeemed(A, B, ADAPTER, 10, 40, 0, 0, 0, 0, 10),
    )
    assert ledger.redeemed == {(A, B, ADAPTER): 40, (A, B, other): 20}
    assert ledger.available(A, B) == 40


def test_free_stake_is_what_is_neither_locked_nor_leaving() -> None:
    ledger = folded(e.Staked(A, B, 100), e.Staked(A, C, 20), e.Locked(C, A, 50))
    assert ledger.stakes == {A: 70}
    ledger.apply(e.UnbondStarted(A, 30, 9))
    ledger.apply(e.Unlocked(C, A, 50))
    assert ledger.stakes[A] == 90
    ledger.apply(e.Locked(C, A, 50))
    ledger.apply(e.Slashed(C, A, B, 50, 15, 10, 25))
    ledger.apply(e.StakeWithdrawn(A, 30))
    assert ledger.stakes[A] == 40, "a slash takes what was locked, a withdrawal what was leaving"


def test_the_pool_counts_what_came_in_and_went_out() -> None:
    ledger = folded(e.Funded(A, 5, 5), e.Funded(A, 7, 12), e.Claimed(3, A, 4, 4, False))
    assert (ledger.funded, ledger.claimed) == (12, {3: 4})
    ledger.apply(e.Claimed(3, A, 2, 6, True))
    assert ledger.claimed == {3: 6}


# ---------------------------------------------------------------- batches


def test_one_batch_waits_and_ends_slashed_or_final() -> None:
    ledger = folded(e.BatchPosted(1, A, HEADER, 500, 1), time=77)
    waiting = ledger.pending_batch()
    assert waiting is not None
    assert (waiting.batch, waiting.poster, waiting.header, waiting.version) == (1, A, HEADER, 1)
    assert (ledger.last_post, ledger.last_final_batch()) == (77, None)

    ledger.apply(e.BatchSlashed(1, B, 4, 100, 30))
    assert ledger.pending_batch() is None
    assert ledger.batches[1].status is Status.SLASHED
    assert ledger.batches[1].convicted_of == 4
    assert ledger.allocated == 0
    ledger.begin(9, 99)
    ledger.apply(e.BatchPosted(2, A, HEADER, 600, 2))
    ledger.apply(e.BatchFinalized(2, HEADER.totals_root, 55))
    assert (ledger.allocated, ledger.last_post) == (55, 99)
    assert ledger.last_final_batch() == ledger.batches[2]
    assert ledger.batches[2].status is Status.FINAL


# ---------------------------------------------------------------- demands


def test_a_demand_is_open_until_it_is_answered_or_its_subject_is_decided() -> None:
    def demanded(contract: str, subject: int, index: int) -> Any:
        return e.OpeningDemanded(contract, subject, 1, index, B, 60)

    registry, oracle = "DatanetRegistry", "AttributionOracle"
    ledger = folded(
        *(published(index, index + 1) for index in range(2)),
        e.BatchPosted(1, A, HEADER, 500, 1),
        *(demanded(registry, subject, index) for subject in (1, 2) for index in range(3)),
        demanded(oracle, 1, 0),
        demanded(oracle, 2, 0),
    )
    assert ledger.demands[registry, 1, 1, 2] == DemandRecord(B, 60)
    ledger.apply(e.OpeningAnswered(registry, 1, 1, 0, A))
    ledger.apply(e.DemandRefunded(registry, 2, 1, 0, B))
    ledger.apply(e.ShardFinalized(1, 0))
    assert set(ledger.demands) == {
        (registry, 2, 1, 1), (registry, 2, 1, 2), (oracle, 1, 1, 0), (oracle, 2, 1, 0),
    }  # fmt: skip
    ledger.apply(e.BatchSlashed(1, B, 9, 1, 1))
    ledger.apply(e.ShardVoided(1, 1))
    assert set(ledger.demands) == {(oracle, 2, 1, 0)}


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize(
    "event",
    [
        e.RootSet(bytes(32), 1), e.Burned(1), e.Distributed(A, 1, 0), e.EarnedClaimed(A, B, 1),
        e.SignerSet(A, B), e.NodeReleased(A, 1), e.CreditClaimed("X", A, B, 1),
        e.Slashed(A, B, C, 4, 0, 1, 3), e.FeesCollected("X", A, 1),
    ],
    ids=lambda event: type(event).__name__,
)  # fmt: skip
def test_what_no_role_looks_at_changes_nothing(event: Any) -> None:
    assert folded(event) == folded()


STORY: list[Any] = [
    e.ParametersProposed(1, 0, RULES),
    e.Staked(A, A, 100),
    e.Locked(C, A, 40),
    e.NodeRegistered(A, 1, 40, b"peer", ""),
    e.ContributorRegistered(1, A),
    e.DatanetCreated(1, A, "texts"),
    published(0, 1),
    published(1, 2),
    e.ShardSlashed(1, 0, B, 3, 40, 12),
    e.ShardVoided(1, 1),
    published(0, 3),
    e.Deposited(A, B, 10, 10),
    e.Redeemed(A, B, ADAPTER, 4, 4, 0, 0, 2, 1, 1),
    e.Funded(B, 2, 2),
    e.BatchPosted(1, A, HEADER, 500, 1),
    e.BatchPosted(2, A, HEADER, 500, 1),
    e.FeaturesPublished(1, ADAPTER, A, b"\x0f" * 32, 3, b"\x0b" * 32, 5_000, b"seed", 50),
    e.DocumentTakenDown(1, 0, 1, 4),
    e.BatchFinalized(1, HEADER.totals_root, 2),
    e.BatchVoided(2, 2),
    e.FeaturesFinalized(1, ADAPTER, 9),
]


@given(st.integers(0, len(STORY)), st.integers(0, len(STORY)))
def test_a_reorg_is_undone_by_folding_again(kept: int, dropped: int) -> None:
    """A ledger that saw blocks which are gone says, once folded anew, what it would have said."""
    gone = folded(*STORY[:kept], *STORY[kept : kept + dropped])
    assert gone == folded(*STORY[: kept + dropped])

    again = Ledger(chain_id=gone.chain_id, contracts=gone.contracts)
    again.begin(3, 0)
    for event in STORY[:kept]:
        again.apply(event)
    assert again == folded(*STORY[:kept])


def test_two_ledgers_share_nothing() -> None:
    """Or a fold after a reorg would begin with what is gone."""
    full, empty = folded(*STORY), Ledger()
    assert empty == Ledger()
    assert not empty.shards
    assert not empty.publications
    assert full != empty
