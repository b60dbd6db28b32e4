"""The first block of the engine is the one that geth and our own codec make of the file."""

from pathlib import Path
from typing import Any

import pytest

from contracts.bedrock.genesis import L2Setup, l2_genesis
from protocol.errors import Malformed
from rollup.codec.genesis import genesis_header
from rollup.engine.chain import first_block
from rollup.engine.genesis import parse
from rollup.engine.kv import KeyValues
from tests.unit.optimism_world import genesis_json


def built(folder: Path, value: Any) -> Any:
    store = KeyValues(folder)
    block, nodes = first_block(store, parse(value))
    store.close()
    return block, nodes


@pytest.mark.parametrize("fork", ["holocene", "isthmus", "jovian"])
def test_a_small_chain_begins_as_the_codec_says(tmp_path: Path, fork: str) -> None:
    """Built node by node here, bottom up there."""
    value = genesis_json(fork)
    value["config"] |= dict.fromkeys(
        ("bedrockBlock", "regolithTime", "canyonTime", "ecotoneTime", "fjordTime", "graniteTime"), 0
    )
    value["difficulty"] = "0x0"
    value["config"] |= {"shanghaiTime": 0, "cancunTime": 0, "londonBlock": 0}
    value["config"] |= {} if fork == "holocene" else {"pragueTime": 0}

    block, nodes = built(tmp_path / "data", value)

    assert block.header == genesis_header(value)
    assert block.header.state_root in nodes


def test_the_testnet_s_chain_begins_as_the_codec_says(tmp_path: Path) -> None:
    """All of its predeploys, with their storage."""
    names = ("OptimismPortal", "L1CrossDomainMessenger", "L1StandardBridge", "L1ERC721Bridge")
    where = {name: bytes([n + 1]) * 20 for n, name in enumerate((*names, "OPEN", "SystemConfig"))}
    setup = L2Setup(l1=where, owner=b"\x01" * 20, fee_recipient=b"\x02" * 20, timestamp=5)
    value = l2_genesis(setup)

    block, _ = built(tmp_path / "data", value)

    assert block.header == genesis_header(value)


@pytest.mark.parametrize(
    "times", [{"isthmusTime": 0}, {"holoceneTime": 0, "jovianTime": 0}], ids=str
)
def test_forks_out_of_order_are_malformed(times: dict[str, int]) -> None:
    value = genesis_json()
    value["config"] = {"chainId": 1, "optimism": {}, **times}

    with pytest.raises(Malformed, match="out of order"):
        parse(value)


def test_a_time_before_holocene_is_malformed() -> None:
    """Those rules are not built in."""
    value = genesis_json()
    value["config"] = {"chainId": 1, "optimism": {}, "holoceneTime": 5}

    with pytest.raises(Malformed, match="before Holocene"):
        parse(value).rules.fork(4)
