"""What would keep a node from deriving the chain, as far as its files tell."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config import shapes
from config.network import Network
from config.settings import Rollup, Settings
from node.exits import Fault, Note, WrongSettings
from protocol.errors import Malformed
from rollup.codec.config import FORKS, RollupConfig
from rollup.codec.config_parts import ChainOpConfig
from rollup.codec.genesis import genesis_header

FILE_BYTES_MAX = 256 << 20  # a genesis file with its code has some 10 MB
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Contracts on L1 in the network file, and where rollup.json names the same.
SAME = (
    ("OptimismPortal", "deposit_contract_address"),
    ("SystemConfig", "l1_system_config_address"),
)
FEE_KEYS = ("eip1559Elasticity", "eip1559Denominator", "eip1559DenominatorCanyon")
# Regolith is left out by some writers, Delta is a matter of derivation alone.
ENGINE_FORKS = tuple(fork for fork in FORKS if fork not in ("regolith", "delta"))
JWT_DEFAULT = "jwt.hex"  # in data_dir


def faults(
    settings: Settings, network: Network | None, found: Callable[[RollupConfig], None]
) -> Iterator[Fault]:
    """Every problem of the table, then notes; `found` gets rollup.json once it could be read."""
    table = settings.rollup
    assert table is not None
    config: RollupConfig | None = None
    try:
        config = read_config(table)
        found(config)
    except Fault as fault:
        yield fault
    if config is not None:
        if table.engine_url is None:
            yield from _genesis(table, config)
        if network is not None:
            yield from _network(settings, network, table, config)
        yield from _sources(settings, table, config)
    yield from _secret(settings, table)
    yield from _transactions(settings, table)
    if not follows_itself(settings):
        yield Note(
            f"chain.rpc_url: {settings.chain.rpc_url} is not this node's own engine, "
            f"{_engine(table)}: what that node says of the contracts is believed"
        )


def read_config(table: Rollup) -> RollupConfig:
    try:
        return RollupConfig.parse(_json("rollup.config", table.config))
    except Malformed as error:
        raise WrongSettings(
            f"rollup.config: {table.config}: {error}; get the file of this network anew"
        ) from None


def follows_itself(settings: Settings) -> bool:
    """Whether `chain.rpc_url` is the embedded engine of this very node; with an engine elsewhere
    nobody can tell."""
    table = settings.rollup
    if table is None:
        return False
    if table.engine_url is not None:
        return True
    url = urlsplit(settings.chain.rpc_url)
    return url.hostname in LOOPBACK and url.port == shapes.split_host_port(table.rpc_listen)[1]


def _json(key: str, file: Path) -> Any:
    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise WrongSettings(f"{key}: {file} has over {FILE_BYTES_MAX} bytes")
        return json.loads(file.read_bytes())
    except OSError as error:
        raise WrongSettings(
            f"{key}: {file} cannot be read: {error.strerror}; get the file of this network"
        ) from None
    except (ValueError, RecursionError) as error:
        raise WrongSettings(f"{key}: {file} is not JSON: {error}") from None


def _genesis(table: Rollup, config: RollupConfig) -> Iterator[Fault]:
    where = f"rollup.genesis: {table.genesis}"
    try:
        genesis = _json("rollup.genesis", table.genesis)
        header = genesis_header(genesis)
    except Fault as fault:
        yield fault
        return
    except Malformed as error:
        yield WrongSettings(f"{where}: {error}; get the file of this network anew")
        return
    want = config.genesis.l2.hash
    if header.hash != want:
        yield WrongSettings(
            f"{where} begins with block 0x{header.hash.hex()}, {table.config} wants "
            f"0x{want.hex()}; take both files from one network"
        )
    chain = genesis.get("config")
    if isinstance(chain, dict):
        yield from _rules(where, chain, config)


def _rules(where: str, chain: dict[str, Any], config: RollupConfig) -> Iterator[Fault]:
    """The engine goes by genesis.json, the derivation by rollup.json: they must say the same."""
    pairs: list[tuple[str, Any, Any]] = [("chainId", chain.get("chainId"), config.l2_chain_id)]
    pairs += [
        (f"{f}Time", chain.get(f"{f}Time"), getattr(config, f"{f}_time")) for f in ENGINE_FORKS
    ]
    fees = chain.get("optimism")
    if isinstance(fees, dict):
        wanted = (config.chain_op_config or ChainOpConfig()).to_json()
        pairs += [(f"optimism.{k}", fees[k], wanted.get(k)) for k in FEE_KEYS if k in fees]
    else:
        yield WrongSettings(f"{where}: config.optimism: missing; that is no chain of the OP Stack")
    for name, got, want in pairs:
        if got != want:
            yield WrongSettings(
                f"{where}: config.{name} is {got}, rollup.json wants {want}; "
                "take both files from one network"
            )


def _network(
    settings: Settings, network: Network, table: Rollup, config: RollupConfig
) -> Iterator[Fault]:
    where = f"network {network.name}"
    if network.chain_id != config.l2_chain_id:
        yield WrongSettings(
            f"{where}: chain_id is {network.chain_id}, {table.config} is of chain "
            f"{config.l2_chain_id}; set the network of that chain, or its rollup.json"
        )
    for name, key in SAME:
        at = getattr(config, key)
        if name in network.l1_contracts and network.l1_contract(name) != at:
            yield WrongSettings(
                f"{where}: l1_contracts.{name} is {network.l1_contracts[name]}, "
                f"{key} of {table.config} is 0x{at.hex()}; take both files from one network"
            )
    if "sequencer" in settings.roles and "L2OutputOracle" not in network.l1_contracts:
        yield WrongSettings(
            f"{where}: l1_contracts.L2OutputOracle: missing; a sequencer proposes outputs there"
        )


def _sources(settings: Settings, table: Rollup, config: RollupConfig) -> Iterator[Fault]:
    if config.alt_da is not None and table.da_url is None:
        yield WrongSettings(
            "rollup.da_url: missing; this chain keeps its data off L1: set the URL of its "
            "op-alt-da server, or one of your own"
        )
    if config.alt_da is None and table.da_url is not None:
        yield Note("rollup.da_url: has no effect; this chain keeps its data on L1")
    if config.alt_da is None and settings.sequencer.serve_da:
        yield Note("sequencer.serve_da: has no effect; this chain keeps its data on L1")


def _secret(settings: Settings, table: Rollup) -> Iterator[Fault]:
    from node.engine_link import read_secret

    made = settings.data_dir / JWT_DEFAULT
    file = table.jwt_file or (made if made.exists() else None)
    if file is not None:
        try:
            read_secret(file)
        except Fault as fault:
            yield fault


def _transactions(settings: Settings, table: Rollup) -> Iterator[Fault]:
    """Where what users send to this node goes."""
    if "sequencer" in settings.roles:
        if table.sequencer_url is not None:
            yield WrongSettings(
                "rollup.sequencer_url: a sequencer takes the transactions itself; remove the key"
            )
    elif table.engine_url is not None:
        if table.sequencer_url is not None:
            yield Note(
                "rollup.sequencer_url: has no effect with engine_url; tell that engine "
                "(op-reth: --rollup.sequencer-http)"
            )
    elif table.sequencer_url is None:
        yield Note(
            "rollup.sequencer_url: missing; what is sent to this node reaches no sequencer, "
            "its own transactions neither"
        )


def _engine(table: Rollup) -> str:
    return f"http://{table.rpc_listen}"
