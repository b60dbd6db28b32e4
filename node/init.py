"""Writes the first settings file and operator key of a node."""

import json
from collections.abc import Iterator
from pathlib import Path

from config.network import load_network
from config.settings import ConfigError, Keys, load
from node.exits import WrongSettings
from node.keystore import address_in, encrypt, new_secret, password

TEMPLATE = """\
# Made by `openledger init`.  Every key with its meaning: config/node.example.toml.
# `openledger check FILE` says what is wrong, `openledger run FILE` starts the node.
network = {network}
data_dir = "data"
roles = {roles}

[keys]
keystore = "operator.json"
{password}
[p2p]
listen = "/ip4/0.0.0.0/tcp/4001"

[http]
listen = "127.0.0.1:8080"

[chain]                                  # the L2
rpc_url = "http://127.0.0.1:8545"
"""
HOST = """
[host]
# base_model = "/srv/models/base"        # to do: the folder of a Hugging Face causal model
"""
INFLUENCE = """
[influence]
# base_models = ["/srv/models/base"]     # to do: the base models of the adapters it is about
"""
ROLLUP = """
# This node derives the L2 from L1 by itself: its own engine answers at chain.rpc_url.
[rollup]
l1_rpc_url = "http://127.0.0.1:18545"    # to do: your node of L1; it is believed
config = "rollup.json"                   # to do: put both files of the network here,
genesis = "genesis.json"                 # from who runs it
rpc_listen = "127.0.0.1:8545"
# da_url = "http://127.0.0.1:8080/da"    # if rollup.json has alt_da: the DA server of the network
"""
SEQUENCER = """
# L1 must name the account of operator.json as batcher, unsafe block signer and proposer, and the
# account needs ether there; `openledger check FILE --online` says whether it is so.
[sequencer]
propose = "finalized"
serve_da = false                         # true: keep the data of batches here, under /da
"""
DERIVES = """
# Without the table [rollup] the node behind chain.rpc_url is believed.  To derive the L2 from L1
# instead, fill it in (config/node.example.toml has all its keys):
# [rollup]
# l1_rpc_url = "http://127.0.0.1:18545"
# config = "rollup.json"
# genesis = "genesis.json"
# rpc_listen = "127.0.0.1:8545"
# sequencer_url = "https://rpc.example.org"  # who gets the transactions that are sent to us
"""


def initialise(
    file: Path, roles: tuple[str, ...], network: str, password_file: Path | None
) -> Iterator[str]:
    """Write `file` and operator.json beside it; yields what was done.  Overwrites neither."""
    key_file = file.parent / "operator.json"
    for path in (file, key_file):
        if path.exists():
            raise WrongSettings(f"{path} exists and was left as it is; name another or move it")
    load_network(network, file.parent)
    source = ""
    if password_file is not None:
        source = f"password_file = {json.dumps(str(password_file.resolve()), ensure_ascii=False)}\n"
    text = template(roles).format(
        network=json.dumps(network, ensure_ascii=False), roles=json.dumps(roles), password=source
    )
    secret_password = password(Keys(keystore=key_file, password_file=password_file), confirm=True)
    _write_valid(file, text)
    yield f"settings: {file}"
    encrypt(key_file, new_secret(), secret_password)
    money = "OPEN on the L2, and ether on L1" if "sequencer" in roles else "OPEN on the L2"
    yield f"key: {key_file}, address {address_in(key_file)}; back it up, then give it {money}"
    if todo := text.count("to do: "):
        yield f"{todo} places of {file} say `to do`: what only you know"
    yield f"next: openledger check {file}"


def template(roles: tuple[str, ...]) -> str:
    """The tables that the roles need, with what only the operator knows marked `to do`."""
    parts = [TEMPLATE]
    if "host" in roles:
        parts.append(HOST)
    if {"prover", "validator"} & set(roles):
        parts.append(INFLUENCE)
    parts += [ROLLUP, SEQUENCER] if "sequencer" in roles else [DERIVES]
    return "".join(parts)


def _write_valid(file: Path, text: str) -> None:
    """Only settings that load are left behind."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("x", encoding="utf-8") as out:
        out.write(text)
    try:
        load(file)
    except ConfigError:
        file.unlink()
        raise
