"""What would keep a node from working, as the chains and servers that it needs tell."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from eth_hash.auto import keccak

from config.network import Network
from config.settings import Settings
from config.shapes import split_host_port
from node.asking import Url
from node.check_rollup import LOOPBACK, follows_itself
from node.exits import ChainTrouble, Fault
from rollup.codec.config import RollupConfig

WORD_DIGITS = 64
ADDRESS_DIGITS = 40
BEACON_SPEC = "/eth/v1/config/spec"


@dataclass(frozen=True, slots=True)
class Known:
    """What the files told; what is None could not be read, and has been complained of."""

    settings: Settings
    network: Network | None
    operator: bytes | None
    config: RollupConfig | None


def faults(known: Known) -> Iterator[Fault]:
    """Every problem, the most basic first; one that cannot be asked ends what depends on it."""
    for check in (_chain, _l1, _sequencer, _da, _beacon, _engine):
        try:
            yield from check(known)
        except Fault as fault:
            yield fault


def _chain(known: Known) -> Iterator[Fault]:
    """The L2, where another node can tell: our own engine runs only when we do."""
    settings, table = known.settings, known.settings.rollup
    key, url = "chain.rpc_url", settings.chain.rpc_url
    if table is not None and table.engine_url is None and follows_itself(settings):
        if table.sequencer_url is None:
            return
        key, url = "rollup.sequencer_url", table.sequencer_url
    chain = Url(settings, key, url)
    found = chain.number("eth_chainId")
    if known.network is not None and found != known.network.chain_id:
        raise chain.trouble(
            f"is chain {found}, network {known.network.name} is "
            f"{known.network.chain_id}; set the right URL or network"
        )
    if known.operator is not None:
        account = _hex(known.operator)
        if chain.number("eth_getBalance", account, "latest") == 0:
            yield ChainTrouble(f"account {account} has no funds on chain {found}; send it OPEN")


def _l1(known: Known) -> Iterator[Fault]:
    config, l1 = known.config, _l1_of(known)
    if config is None or l1 is None:
        return
    found = l1.number("eth_chainId")
    if found != config.l1_chain_id:
        raise l1.trouble(
            f"is chain {found}, rollup.json wants L1 chain {config.l1_chain_id}; set another URL"
        )
    genesis = config.genesis.l1
    block = l1.call("eth_getBlockByNumber", hex(genesis.number), False)
    block_hash = block.get("hash") if isinstance(block, dict) else None
    if block_hash is None:
        raise l1.trouble(
            f"does not have block {genesis.number}, after which the L2 begins; "
            "wait until that node is synchronised, or set one that keeps old blocks"
        )
    if block_hash != _hex(genesis.hash):
        raise l1.trouble(
            f"has {block_hash} as block {genesis.number}, rollup.json wants "
            f"{_hex(genesis.hash)}: another chain under the same id; set another URL"
        )
    portal = _hex(config.deposit_contract_address)
    if l1.call("eth_getCode", portal, "latest") in ("0x", None):
        yield l1.trouble(
            f"has no contract at {portal}, rollup.json's deposit_contract_address; "
            "wait until that node is synchronised, or get the file of this network anew"
        )


def _sequencer(known: Known) -> Iterator[Fault]:
    """Money for batches and outputs, and whether L1 lets this very account send them."""
    config, l1, operator = known.config, _l1_of(known), known.operator
    if "sequencer" not in known.settings.roles or config is None or l1 is None or operator is None:
        return
    account = _hex(operator)
    if l1.number("eth_getBalance", account, "latest") == 0:
        yield ChainTrouble(
            f"account {account} has no funds on L1; send it ether: a sequencer pays there for "
            "batches and outputs"
        )
    system_config = config.l1_system_config_address
    named = [
        ("SystemConfig", system_config, "batcherHash()", "batcher"),
        ("SystemConfig", system_config, "unsafeBlockSigner()", "unsafe block signer"),
    ]
    if known.network is not None and "L2OutputOracle" in known.network.l1_contracts:
        oracle = known.network.l1_contract("L2OutputOracle")
        named.append(("L2OutputOracle", oracle, "proposer()", "proposer"))
    for contract, at, method, role in named:
        try:
            found = _address(l1, at, method)
        except Fault as fault:
            yield fault
            continue
        if found != account:
            yield ChainTrouble(
                f"{contract} {_hex(at)} on L1 names {found} as {role}, this account is {account}; "
                "use the key of that account, or have the contract's owner name this one"
            )


def _da(known: Known) -> Iterator[Fault]:
    settings, table, config = known.settings, known.settings.rollup, known.config
    if table is None or config is None or config.alt_da is None or table.da_url is None:
        return
    if not (settings.sequencer.serve_da and _is_own(settings, table.da_url)):
        Url(settings, "rollup.da_url", table.da_url).reach()
    yield from ()


def _beacon(known: Known) -> Iterator[Fault]:
    table, config = known.settings.rollup, known.config
    if table is None or table.beacon_url is None:
        return
    beacon = Url(known.settings, "rollup.beacon_url", table.beacon_url)
    answer = beacon.get(BEACON_SPEC)
    spec = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(spec, dict):
        raise beacon.trouble(f"does not answer {BEACON_SPEC} as a consensus node; set another URL")
    found = spec.get("DEPOSIT_CHAIN_ID")
    if config is not None and found is not None and found != str(config.l1_chain_id):
        yield beacon.trouble(
            f"is the consensus node of chain {found}, L1 is {config.l1_chain_id}; set another URL"
        )


def _engine(known: Known) -> Iterator[Fault]:
    """An engine elsewhere: that it answers, with our secret, and is of this chain."""
    table, config = known.settings.rollup, known.config
    if table is None or table.engine_url is None or table.jwt_file is None or config is None:
        return
    from node.engine_link import read_secret, token

    try:
        bearer = token(read_secret(table.jwt_file), int(time.time()))
    except Fault:
        return  # told already
    headers = {"authorization": f"Bearer {bearer}"}
    engine = Url(known.settings, "rollup.engine_url", table.engine_url, headers)
    found = engine.number("eth_chainId")
    if found != config.l2_chain_id:
        raise engine.trouble(f"is chain {found}, rollup.json is of chain {config.l2_chain_id}")
    block = engine.call("eth_getBlockByNumber", hex(config.genesis.l2.number), False)
    block_hash = block.get("hash") if isinstance(block, dict) else None
    if block_hash != _hex(config.genesis.l2.hash):
        yield engine.trouble(
            f"has {block_hash} as the first block, rollup.json wants "
            f"{_hex(config.genesis.l2.hash)}; initialise it with the genesis.json of this network"
        )


def _l1_of(known: Known) -> Url | None:
    table = known.settings.rollup
    return None if table is None else Url(known.settings, "rollup.l1_rpc_url", table.l1_rpc_url)


def _address(l1: Url, at: bytes, method: str) -> str:
    """The address that a view function returns in its one word."""
    call = {"to": _hex(at), "data": _hex(keccak(method.encode())[:4])}
    word: Any = l1.call("eth_call", call, "latest")
    if not isinstance(word, str) or len(word) < 2 + WORD_DIGITS:
        raise l1.trouble(f"has no contract at {_hex(at)} that answers {method}")
    return "0x" + word[2:][:WORD_DIGITS][-ADDRESS_DIGITS:].lower()


def _is_own(settings: Settings, url: str) -> bool:
    """Whether it is this node's own HTTP server, which does not run now."""
    parts, (host, port) = urlsplit(url), split_host_port(settings.http.listen)
    return parts.port == port and parts.hostname in (*LOOPBACK, host)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
