"""What would keep a node from starting, found before it is started."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from config import shapes
from config.network import Network, load_network
from config.settings import ConfigError, Settings, load
from node.exits import Fault, Note, WrongSettings

if TYPE_CHECKING:
    from rollup.codec.config import RollupConfig

T = TypeVar("T")
STORE = "store"  # the folder under data_dir


def problems(file: Path, *, online: bool = False) -> list[Fault]:
    """Every problem of the settings in `file`, the most basic first; each `Note` at the end."""
    try:
        settings = load(file)
    except ConfigError as error:
        return [WrongSettings(line) for line in str(error).splitlines()]
    return sorted(_found(settings, online=online), key=lambda fault: isinstance(fault, Note))


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
    for check in checks:
        try:
            check()
        except Fault as fault:
            yield fault
    config: list[RollupConfig] = []
    if settings.rollup is not None:
        from node import check_rollup

        yield from check_rollup.faults(settings, _first(network), config.append)
    if online:
        from node import check_online

        known = check_online.Known(settings, _first(network), _first(address), _first(config))
        yield from check_online.faults(known)


def _first(found: list[T]) -> T | None:
    return found[0] if found else None


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
    for place, base in enumerate(settings.influence.base_models):
        if not (base / "config.json").is_file():
            raise WrongSettings(f"influence.base_models[{place}]: no config.json in {base}")
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
