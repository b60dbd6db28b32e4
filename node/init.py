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

[chain]
rpc_url = "http://127.0.0.1:8545"
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
    text = TEMPLATE.format(
        network=json.dumps(network, ensure_ascii=False), roles=json.dumps(roles), password=source
    )
    secret_password = password(Keys(keystore=key_file, password_file=password_file), confirm=True)
    _write_valid(file, text)
    yield f"settings: {file}"
    encrypt(key_file, new_secret(), secret_password)
    yield f"key: {key_file}, address {address_in(key_file)}; back it up, then fund the address"
    yield f"next: openledger check {file}"


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
