"""What would keep a node from starting, found before it is started."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

from config import shapes
from config.network import Network, load_network
from config.settings import ConfigError, Settings, load
from node.exits import ChainTrouble, Fault, WrongSettings

ANSWER_BYTES_MAX = 1 << 20
STORE = "store"  # the folder under data_dir


def problems(file: Path, *, online: bool = False) -> list[Fault]:
    """Every problem of the settings in `file`, the most basic first."""
    try:
        settings = load(file)
    except ConfigError as error:
        return [WrongSettings(line) for line in str(error).splitlines()]
    return list(_found(settings, online=online))


def _found(settings: Settings, *, online: bool) -> Iterator[Fault]:
    network: list[Network] = []
    address: list[bytes] = []
    checks: list[Callable[[], None]] = [
        lambda: network.append(_network(settings)),
        lambda: _roles(settings),
        lambda: address.append(_key(settings)),
        lambda: _store(settings),
        lambda: _ports(settings),
    ]
    if online:
        checks.append(lambda: _chain(settings, network, address))
    for check in checks:
        try:
            check()
        except Fault as fault:
            yield fault


def _network(settings: Settings) -> Network:
    try:
        return load_network(settings.network, settings.folder)
    except ConfigError as error:
        raise WrongSettings(str(error)) from None


def _roles(settings: Settings) -> None:
    model, inbox = settings.host.base_model, settings.curator.inbox
    if "host" in settings.roles:
        if model is None:
            raise WrongSettings("host.base_model: missing; set the folder of a causal model")
        if not (model / "config.json").is_file():
            raise WrongSettings(f"host.base_model: no config.json in {model}; want a model folder")
    if "curator" in settings.roles and inbox is not None and not inbox.is_dir():
        raise WrongSettings(f"curator.inbox: no folder {inbox}; make it or leave the key out")


def _key(settings: Settings) -> bytes:
    from node.keystore import open_key

    return open_key(settings.keys).address


def _store(settings: Settings) -> None:
    from node.store import Store

    path = settings.data_dir / STORE
    if path.exists():  # a check makes nothing
        with Store.open(path) as store:
            store.verify()
        return
    parent = next(folder for folder in path.parents if folder.exists())
    if not parent.is_dir():
        raise WrongSettings(f"data_dir: {parent} is a file; want a folder")


def _ports(settings: Settings) -> None:
    from node.listening import probe

    wanted = [
        ("p2p.listen", *shapes.tcp_of_multiaddr(settings.p2p.listen)),
        ("http.listen", *shapes.split_host_port(settings.http.listen)),
    ]
    table = settings.rollup
    if table is not None and table.engine_url is None:
        wanted.append(("rollup.rpc_listen", *shapes.split_host_port(table.rpc_listen)))
    ports = [port for _, _, port in wanted if port]
    if len(set(ports)) < len(ports):
        names = ", ".join(name for name, _, _ in wanted)
        raise WrongSettings(f"{names}: want a port each, got {ports}")
    for name, host, port in wanted:
        probe(host, port, name)


def _chain(settings: Settings, networks: list[Network], addresses: list[bytes]) -> None:
    url = settings.chain.rpc_url
    found = int(_call(settings, "eth_chainId"), 16)
    if networks and found != networks[0].chain_id:
        raise ChainTrouble(
            f"chain.rpc_url: {url} is chain {found}, network {networks[0].name} is "
            f"{networks[0].chain_id}; set the right URL or network"
        )
    if addresses:
        account = "0x" + addresses[0].hex()
        if int(_call(settings, "eth_getBalance", account, "latest"), 16) == 0:
            raise ChainTrouble(f"account {account} has no funds on chain {found}; send it OPEN")


def _call(settings: Settings, method: str, *params: str) -> str:
    url = settings.chain.rpc_url
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=settings.chain.timeout_seconds) as answer:
            result = json.loads(answer.read(ANSWER_BYTES_MAX))["result"]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", None) or error
        raise ChainTrouble(
            f"chain.rpc_url: {url} does not answer {method}: {reason}; "
            "start the chain's node or set another URL"
        ) from None
    if not isinstance(result, str) or not result.startswith("0x"):
        raise ChainTrouble(f"chain.rpc_url: {url} answers {method} with {result!r}")
    return result
