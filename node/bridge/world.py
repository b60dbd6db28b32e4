"""The two chains, the account and its outboxes, opened from a settings file."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from config.network import load_network
from config.settings import ConfigError, Rollup, Settings
from contracts.bedrock.portal import L1Contracts
from contracts.outbox import Outbox
from contracts.rpc import Node, connect, number
from contracts.signing import Signer
from node.bridge.book import Book
from node.clock import SystemClock
from node.exits import ChainTrouble, WrongSettings
from node.store import Store
from protocol.errors import Malformed, Temporary
from rollup.codec.config import RollupConfig

STORE: Final = "bridge"
CONFIG_BYTES_MAX: Final = 1 << 20
COMPLAIN_SECONDS: Final = 1.0
CONTRACTS: Final = ("OPEN", "OptimismPortal", "L2OutputOracle")


@dataclass(frozen=True, slots=True)
class Sides:
    """Both chains and the contracts between them; `l1` and `l2` serve JSON-RPC."""

    l1: Node
    l2: Node
    where: Mapping[str, bytes]
    poll_seconds: float

    @property
    def contracts(self) -> L1Contracts:
        return L1Contracts(self.l1, self.where)


@dataclass(frozen=True, slots=True)
class Account:
    """One account on both sides, and what it asked for; the outboxes must be running."""

    address: bytes
    book: Book
    l1: Outbox
    l2: Outbox
    clock: SystemClock


@dataclass(frozen=True, slots=True)
class ReadOnly:
    """The account of somebody who only looks: what would be signed is a bug."""

    address: bytes

    def sign(self, digest: bytes) -> bytes:
        raise AssertionError("nothing is signed here")


@asynccontextmanager
async def open_sides(settings: Settings) -> AsyncIterator[Sides]:
    """Connected inside the block, and of the chains that the settings mean.

    Raises `ConfigError`, `WrongSettings`, `ChainTrouble` with what to do.
    """
    table = rollup_table(settings)
    config = rollup_config(table.config)
    network = load_network(settings.network, settings.folder)
    where = {name: network.l1_contract(name) for name in CONTRACTS}
    if where["OptimismPortal"] != config.deposit_contract_address:
        raise ConfigError(
            f"network {network.name}: l1_contracts.OptimismPortal: want the "
            f"deposit_contract_address of {table.config}, got 0x{where['OptimismPortal'].hex()}"
        )
    seconds = settings.chain.timeout_seconds
    async with (
        connect(table.l1_rpc_url, seconds_max=seconds) as l1,
        connect(settings.chain.rpc_url, seconds_max=seconds) as l2,
    ):
        await _is_chain(l1, "rollup.l1_rpc_url", config.l1_chain_id)
        await _is_chain(l2, "chain.rpc_url", config.l2_chain_id)
        yield Sides(l1, l2, where, min(settings.chain.poll_seconds, table.l1_poll_seconds))


@asynccontextmanager
async def open_account(settings: Settings, sides: Sides, signer: Signer) -> AsyncIterator[Account]:
    """The account's book and outboxes; another process of the bridge on the same folder is told."""
    table, clock = rollup_table(settings), SystemClock()
    config = rollup_config(table.config)
    with Store.open(settings.data_dir / STORE) as store:

        def outbox(name: bytes, node: Node, chain_id: int, confirmations: int) -> Outbox:
            space = store.namespace(name + b"/")
            return Outbox(
                space,
                node,
                signer,
                chain_id,
                clock=clock,
                confirmations=confirmations,
                poll_seconds=sides.poll_seconds,
            )

        yield Account(
            signer.address,
            Book(store.namespace(b"book/" + signer.address + b"/")),
            outbox(b"l1", sides.l1, config.l1_chain_id, table.l1_confirmations),
            outbox(b"l2", sides.l2, config.l2_chain_id, settings.chain.confirmations),
            clock,
        )


@asynccontextmanager
async def sending(account: Account, trouble: Callable[[str], None]) -> AsyncIterator[None]:
    """Both outboxes work inside the block; what is open after it goes on at the next start.

    `trouble` hears of what stands against a transaction, such as an account without gas.
    """
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(account.l1.run)
            nursery.start_soon(account.l2.run)
            for outbox in (account.l1, account.l2):
                nursery.start_soon(_complain, outbox, trouble)
            yield
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        raise group.exceptions[0] from None  # one thing went wrong: it, not a group of it


async def _complain(outbox: Outbox, trouble: Callable[[str], None]) -> None:
    last = None
    while True:
        problem = outbox.status().problem
        if problem is not None and problem != last:
            trouble(problem)
            last = problem
        await trio.sleep(COMPLAIN_SECONDS)


def rollup_table(settings: Settings) -> Rollup:
    if settings.rollup is None:
        raise WrongSettings(
            "the bridge needs the table [rollup] with l1_rpc_url and config (rollup.json)"
        )
    return settings.rollup


def rollup_config(path: Path) -> RollupConfig:
    try:
        if path.stat().st_size > CONFIG_BYTES_MAX:
            raise WrongSettings(f"{path} is over {CONFIG_BYTES_MAX} bytes")
        return RollupConfig.parse(json.loads(path.read_bytes()))
    except OSError as error:
        raise WrongSettings(f"rollup.config: {path}: {error.strerror}") from None
    except (ValueError, RecursionError, Malformed) as error:
        raise WrongSettings(f"rollup.config: {path} is no rollup.json: {error}") from None


async def _is_chain(node: Node, setting: str, expected: int) -> None:
    try:
        found = number(await node.call("eth_chainId"))
    except (Temporary, Malformed) as error:
        raise ChainTrouble(f"{setting}: {error}; start that node, or set another URL") from None
    if found != expected:
        raise ChainTrouble(f"{setting} serves chain {found}, rollup.json is of chain {expected}")
