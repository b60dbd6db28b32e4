"""Genesis files of real chains have the hashes that their chains have."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from protocol.errors import Malformed
from rollup.codec.config import RollupConfig
from rollup.codec.genesis import genesis_header

FOLDER = Path(__file__).parent / "op-stack" / "genesis"
FILES = sorted(FOLDER.glob("*.json.zst"))
# A chain that was migrated starts at a later block than its file; the file's own hash is op-geth's
# or the chain's own constant (boba: params/boba_config.go).
MIGRATED = {"mainnet-boba": "dcd9e6a8f9973eaa62da2874959cb152faeb4fd6929177bd6335a1a16074ef9c"}
each_chain = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])


def registered(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.with_name(path.name.replace(".json.zst", ".toml")).read_text())


def unpacked(path: Path) -> Any:
    dictionary = zstandard.ZstdCompressionDict((FOLDER / "dictionary").read_bytes())
    reader = zstandard.ZstdDecompressor(dict_data=dictionary).stream_reader(path.read_bytes())
    return json.loads(reader.read())


def test_there_are_vectors() -> None:
    """An empty folder must not look like success."""
    assert len(FILES) >= 27


@each_chain
def test_a_genesis_file_has_its_chains_hash(path: Path) -> None:
    """Every account, slot, fork and field of the header is in this one hash."""
    table = registered(path)

    header = genesis_header(unpacked(path), table["hardforks"])

    migrated = MIGRATED.get(path.name.split(".")[0])
    assert "0x" + header.hash.hex() == (
        f"0x{migrated}" if migrated else table["genesis"]["l2"]["hash"]
    )


@pytest.mark.parametrize(
    "name", ["mainnet-silent-data-mainnet", "sepolia-camp", "sepolia-devnet-2-sepolia-devnet-2"]
)
def test_a_file_with_its_own_config_needs_no_table(name: str) -> None:
    """Geth's way to write the forks, where the file has it, says the same."""
    path = FOLDER / f"{name}.json.zst"
    genesis = unpacked(path)

    assert genesis_header(genesis) == genesis_header(genesis, registered(path)["hardforks"])


@each_chain
def test_a_registry_table_is_a_rollup_config(path: Path) -> None:
    """What is read from TOML is written as op-node's JSON, and read again."""
    config = RollupConfig.from_superchain(registered(path), l1_chain_id=1)

    assert RollupConfig.parse(json.loads(json.dumps(config.to_json()))) == config


def test_each_part_of_a_genesis_counts() -> None:
    """A changed file is another chain or none."""
    path = FOLDER / "sepolia-devnet-2-sepolia-devnet-2.json.zst"
    genesis, forks = unpacked(path), registered(path)["hardforks"]
    real = genesis_header(genesis, forks).hash
    address = next(a for a, account in genesis["alloc"].items() if account.get("storage"))
    account = genesis["alloc"][address]
    slot, value = next(iter(account["storage"].items()))
    changes: list[dict[str, Any]] = [
        {"nonce": "0x1"},
        {"code": account["code"] + "00"},
        {"balance": "0x1234567"},
        {"storage": {**account["storage"], slot: value[:-1] + ("0" if value[-1] != "0" else "1")}},
    ]

    for change in changes:
        alloc = {**genesis["alloc"], address: {**account, **change}}
        assert genesis_header({**genesis, "alloc": alloc}, forks).hash != real
    zero = {**account["storage"], "0x" + "77" * 32: "0x" + "00" * 32}
    alloc = {**genesis["alloc"], address: {**account, "storage": zero}}
    assert genesis_header({**genesis, "alloc": alloc}, forks).hash == real


@pytest.mark.parametrize(
    "change",
    [
        {"alloc": {"0x" + "11" * 19: {}}},
        {"alloc": {"0x" + "aa" * 20: {}, "AA" * 20: {}}},
        {"alloc": {"11" * 20: {"balance": "0x1" + "00" * 32}}},
        {"alloc": {"11" * 20: {"storage": {"0x1": "0x" + "11" * 33}}}},
        {"alloc": {"11" * 20: {"code": "0x123"}}},
        {"alloc": {"11" * 20: []}},
        {"alloc": []},
        {"timestamp": "0xzz"},
        {"timestamp": -1},
        {"timestamp": True},
        {"timestamp": 1.5},
        {"coinbase": "0x00"},
        {"nonce": "0x10000000000000000"},
        {"extraData": 7},
        {"stateHash": "0x" + "11" * 32, "alloc": {"11" * 20: {}}},
        {"config": 7},
    ],
    ids=str,
)
def test_a_file_that_is_none_is_malformed(change: dict[str, Any]) -> None:
    """Nothing but `Malformed` comes out of a bad file."""
    with pytest.raises(Malformed):
        genesis_header({"alloc": {}, **change})
