"""What the chain takes is what nodes read: the sizes of both, number for number."""

from dataclasses import replace
from typing import Any

import pytest

from modelfactory.weights import ADAPTER_BYTES_MAX
from openlora import adapter
from protocol import calls
from protocol.batch import Header
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


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 1), (LARGEST, 1), (LARGEST + 1, 0)])
def test_a_body_has_a_possible_size(size: int, taken: int, chain: Any, rich: Any) -> None:
    _, alice = rich("alice")
    chain.send(calls.Stake(alice, value=1000 * OPEN), alice)
    header = Header(WORD, WORD, WORD, WORD, WORD, size, 0, 1, 0)
    answered(chain, calls.PostBatch(1, 1, header), alice, taken, "OutOfBounds")


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
