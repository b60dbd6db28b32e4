"""What the chain takes is what nodes read: the sizes of both, number for number."""

from dataclasses import replace
from typing import Any

import pytest

from modelfactory.weights import ADAPTER_BYTES_MAX
from openlora import adapter
from protocol import calls
from protocol.batch import BODY_CLAIMS_MAX, BODY_INFLUENCES_MAX, Header
from protocol.claims import ANSWERS_MAX
from protocol.datanet import Shard
from protocol.parameters import OPEN, Parameters
from protocol.receipt import OUTPUT_MAX, PROMPT_MAX
from roles.corpora import TEXT_BYTES_MAX
from tests.evm.embedded import Reverted

WORD = b"\x01" * 32
LARGEST = 1 << 30


def test_both_sides_have_the_same_limits(chain: Any) -> None:
    assert chain.read("SumRefutations", "TEXT_MAX") == PROMPT_MAX == OUTPUT_MAX
    assert chain.read("DatanetRegistry", "TEXT_MAX") == TEXT_BYTES_MAX == LARGEST
    assert chain.read("ModelRegistry", "WEIGHTS_MAX") == ADAPTER_BYTES_MAX == LARGEST
    assert adapter.ADAPTER_BYTES_MAX == ADAPTER_BYTES_MAX
    assert chain.read("AttributionOracle", "BODY_MAX") == LARGEST
    assert chain.read("AttributionOracle", "INFLUENCES_MAX") == BODY_INFLUENCES_MAX


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 1), (LARGEST, 1), (LARGEST + 1, 0)])
def test_a_body_has_a_possible_size(size: int, taken: int, chain: Any, rich: Any) -> None:
    _, alice = rich("alice")
    chain.send(calls.Stake(alice, value=1000 * OPEN), alice)
    header = Header(*[WORD] * 6, size, 0, 1, 0, 0, chain.time - 1)
    answered(chain, calls.PostBatch(1, 1, bytes(32), header), alice, taken, "OutOfBounds")


@pytest.mark.parametrize(
    ("counts", "taken"),
    [
        ((0, 0, 0), 0),
        ((ANSWERS_MAX, BODY_CLAIMS_MAX, BODY_INFLUENCES_MAX), 1),
        ((ANSWERS_MAX + 1, 0, 0), 0),
        ((1, BODY_CLAIMS_MAX + 1, 0), 0),
        ((1, 0, BODY_INFLUENCES_MAX + 1), 0),
    ],
)
def test_a_batch_has_possible_counts(
    counts: tuple[int, int, int], taken: int, chain: Any, rich: Any
) -> None:
    _, alice = rich("alice")
    chain.send(calls.Stake(alice, value=1000 * OPEN), alice)
    header = Header(*[WORD] * 6, 1, 0, *counts, chain.time - 1)
    answered(chain, calls.PostBatch(1, 1, bytes(32), header), alice, taken, "OutOfBounds")


@pytest.mark.parametrize(("age", "taken"), [(0, 0), (1, 1), (3600, 1), (3601, 0)])
def test_a_batch_is_of_a_moment_just_past(age: int, taken: int, chain: Any, rich: Any) -> None:
    """Not of this one: a document could be taken down after it, at the same time."""
    _, alice = rich("alice")
    chain.send(calls.Stake(alice, value=1000 * OPEN), alice)
    header = Header(*[WORD] * 6, 1, 0, 1, 0, 0, chain.time - age)
    answered(chain, calls.PostBatch(1, 1, bytes(32), header), alice, taken, "Stale")


@pytest.mark.parametrize(("size", "taken"), [(1, 0), (2, 1), (LARGEST, 1), (LARGEST + 1, 0)])
def test_a_shard_has_a_possible_size(size: int, taken: int, chain: Any, rich: Any) -> None:
    _, alice = rich("alice")
    rules = Parameters()
    chain.send(calls.Stake(alice, value=rules.datanet_bond), alice)
    chain.send(calls.CreateDatanet("texts", value=rules.datanet_fee), alice)
    answered(chain, calls.PublishShard(1, Shard(WORD, WORD, size, 1)), alice, taken, "BadShard")


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 1), (LARGEST, 1), (LARGEST + 1, 0)])
def test_weights_have_a_possible_size(size: int, taken: int, chain: Any, rich: Any) -> None:
    _, alice = rich("alice")
    rules = Parameters()
    chain.send(calls.Stake(alice, value=rules.datanet_bond), alice)
    chain.send(calls.CreateDatanet("texts", value=rules.datanet_fee), alice)
    chain.send(calls.PublishShard(1, Shard(WORD, WORD, 2, 1)), alice)
    chain.warp(rules.datanet_window)
    chain.send(calls.FinalizeShard(1, 0), alice)
    chain.send(calls.RegisterBase(WORD, "base"), alice)
    adapter = calls.RegisterAdapter(WORD, WORD, 1, 1, WORD, 1, WORD, WORD, 5000, "adapter")
    answered(chain, replace(adapter, weights_size=size), alice, taken, "BadSize")


def answered(chain: Any, call: Any, sender: bytes, taken: int, why: str) -> None:
    if taken:
        assert chain.send(call, sender)
        return
    with pytest.raises(Reverted, match=why):
        chain.send(call, sender)
