"""`openledger bridge` where nothing can cross: exit codes, and sentences that say what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.bedrock.deploy import BedrockSetup, addresses, batch_inbox
from contracts.bedrock.genesis import Anchor, rollup_json
from node import cli, exits
from node.listening import free_port

SETUP = BedrockSetup(
    deployer=b"\xde" * 20,
    batcher=b"\xba" * 20,
    proposer=b"\x9e" * 20,
    challenger=b"\xc4" * 20,
    unsafe_block_signer=b"\x51" * 20,
    batch_inbox=batch_inbox(9017),
    l2_genesis_time=1,
    submission_interval=4,
    finalization_seconds=12,
)
PORTAL = "OptimismPortal"


def settings(folder: Path, rollup: bool = True, **changed: str) -> str:
    """A settings file whose chains answer nobody."""
    url = f"http://127.0.0.1:{free_port()}"
    where = {name: "0x" + at.hex() for name, at in addresses(SETUP).items()} | changed
    contracts = "".join(f'{name} = "{at}"\n' for name, at in where.items())
    (folder / "network.toml").write_text(
        'name = "n"\nchain_id = 9017\nfork_digest = "00000000"\ndeployment_block = 0\n'
        f"[l1_contracts]\n{contracts}"
    )
    value: Any = rollup_json(
        *(SETUP, addresses(SETUP)),
        l1_chain_id=9016,
        l1_anchor=Anchor(b"\x01" * 32, 0),
        l2_genesis_hash=b"\x02" * 32,
    )
    (folder / "rollup.json").write_text(json.dumps(value))
    table = f'[rollup]\nl1_rpc_url = "{url}"\n' if rollup else ""
    (folder / "node.toml").write_text(
        f'network = "./network.toml"\ndata_dir = "data"\nroles = ["validator"]\n'
        f'[chain]\nrpc_url = "{url}"\n{table}'
    )
    return str(folder / "node.toml")


def says(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["bridge", *arguments])
    return code, capsys.readouterr().err


def test_a_node_without_rollup_has_no_bridge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = says(capsys, "status", settings(tmp_path, rollup=False))

    assert code == exits.USAGE
    assert "[rollup]" in said


def test_a_chain_that_is_silent_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = says(capsys, "status", settings(tmp_path))

    assert code == exits.CHAIN
    assert "rollup.l1_rpc_url: cannot reach" in said
    assert not (tmp_path / "data").exists()


def test_the_portal_of_another_rollup_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = says(capsys, "status", settings(tmp_path, **{PORTAL: "0x" + "77" * 20}))

    assert code == exits.USAGE
    assert "deposit_contract_address" in said


@pytest.mark.parametrize(
    ("damage", "words"),
    [("{", "is no rollup.json"), ('{"genesis": 1}', "is no rollup.json"), (None, "No such file")],
)
def test_a_damaged_configuration_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str | None, words: str
) -> None:
    file = settings(tmp_path)
    (tmp_path / "rollup.json").unlink()
    if damage is not None:
        (tmp_path / "rollup.json").write_text(damage)

    code, said = says(capsys, "status", file)

    assert code == exits.USAGE
    assert words in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("deposit", "FILE", "1.2.3"), "AMOUNT"),
        (("withdraw", "FILE", "1", "--to", "0x12"), "--to"),
        (("withdraw", "FILE", "--again"), "give an AMOUNT"),
        (("prove", "FILE", "0x12"), "HASH"),
    ],
)
def test_wrong_arguments_touch_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    file = settings(tmp_path)

    code, said = says(capsys, *(file if one == "FILE" else one for one in arguments))

    assert code == exits.USAGE
    assert words in said
