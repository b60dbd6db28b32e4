"""What the bridge's commands do, in the caller's loop: each gives its reports or raises a fault."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from config.settings import Keys, Settings, load
from contracts.signing import Signer
from node.bridge import chains, deposits, reports, show, withdrawals
from node.bridge.amounts import address, digest, shown, wei
from node.bridge.book import Crossing, Kind
from node.bridge.reports import Report
from node.bridge.world import Account, ReadOnly, Sides, open_account, open_sides, sending
from node.exits import ChainTrouble, Occupied, WrongSettings
from node.keystore import address_in, open_key
from node.store import BusyStore
from rollup.codec.output import Withdrawal

WAIT_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Options:
    """What all commands take: settings file, another key than its own, output, patience."""

    file: Path
    key: Path | None = None
    password_file: Path | None = None
    as_json: bool = False
    wait_seconds: float = WAIT_SECONDS


async def cross(
    options: Options, kind: Kind, amount: str | None, to: str | None, again: bool
) -> list[Report]:
    """Make a crossing of `amount` OPEN and see it through; without `amount`, those under way."""
    if amount is None and (to is not None or again):
        raise WrongSettings("--to and --again belong to a new crossing: give an AMOUNT")
    wanted = None if amount is None else wei(amount)
    receiver = None if to is None else address(to)
    settings = load(options.file)
    signer = open_key(_keys(options, settings))
    async with open_sides(settings) as sides, open_account(settings, sides, signer) as account:
        todo = account.book.open(kind)
        if wanted is not None:
            receiver = receiver or account.address
            todo = [await _begun(sides, account, kind, wanted, receiver, again)]
        elif not todo:
            raise WrongSettings(f"no {kind} is under way: give an AMOUNT to begin one")
        carry = deposits.carry if kind == "deposit" else withdrawals.carry
        with show.progress() as progress:
            async with _patience(options, account), sending(account, progress.trouble):
                for crossing in todo:
                    await carry(sides, account, crossing, progress.tell)
        return [await reports.of_crossing(sides, account, crossing) for crossing in todo]


async def _begun(
    sides: Sides, account: Account, kind: Kind, amount: int, to: bytes, again: bool
) -> Crossing:
    """A new crossing in the book; one that looks like a repeated command is asked about."""
    for before in account.book.open(kind):
        if (before.amount, before.to) == (amount, to) and not again:
            raise WrongSettings(
                f"a {kind} of {shown(amount)} OPEN to the same address is under way: leave out "
                "AMOUNT to go on with it, or add --again to make another"
            )
    affordable = deposits.affordable if kind == "deposit" else withdrawals.affordable
    await affordable(sides, account.address, amount)
    return account.book.add(kind, amount, to, time.time())


@asynccontextmanager
async def _patience(options: Options, account: Account) -> AsyncIterator[None]:
    """Ends the wait with what stands against; nothing that was begun is lost by it."""
    with trio.move_on_after(options.wait_seconds) as scope:
        yield
    if scope.cancelled_caught:
        problems = (account.l1.status().problem, account.l2.status().problem)
        why = "; ".join(problem for problem in problems if problem)
        raise ChainTrouble(
            f"not done in {options.wait_seconds:g} s{f': {why}' if why else ''}; nothing is lost: "
            "the same command without AMOUNT goes on, `status` says what it waits for"
        )


async def at_once(
    options: Options,
    text: str,
    step: Callable[[Sides, Account, Withdrawal], Awaitable[None]],
) -> list[Report]:
    """One step of the withdrawals of an L2 transaction, whoever made it, possible or not."""
    transaction = digest(text)
    settings = load(options.file)
    signer = open_key(_keys(options, settings))
    async with open_sides(settings) as sides, open_account(settings, sides, signer) as account:
        found = await chains.receipt(sides.l2, transaction)
        todo = [] if found is None else chains.withdrawals(found)
        if not todo:
            raise ChainTrouble(f"0x{transaction.hex()} is no L2 transaction with a withdrawal")
        with show.progress() as progress:
            async with _patience(options, account), sending(account, progress.trouble):
                for withdrawal in todo:
                    await step(sides, account, withdrawal)
        return await reports.of_transaction(sides, transaction)


async def look(options: Options, transaction: str | None) -> list[Report]:
    """Each crossing of the account, or those of one transaction, whoever made it."""
    settings = load(options.file)
    async with open_sides(settings) as sides:
        if transaction is not None:
            return await reports.of_transaction(sides, digest(transaction))
        owner = bytes.fromhex(address_in(_keys(options, settings).keystore)[2:])
        watcher: Signer = ReadOnly(owner)
        try:
            async with open_account(settings, sides, watcher) as account:
                crossings = account.book.all()
                return [await reports.of_crossing(sides, account, each) for each in crossings]
        except BusyStore:
            raise Occupied(
                f"another `openledger bridge` is at work on {settings.data_dir}; ask for one "
                "transaction: openledger bridge status FILE HASH"
            ) from None


def _keys(options: Options, settings: Settings) -> Keys:
    if options.key is None:
        if options.password_file is not None:
            raise WrongSettings("--password-file belongs to --key")
        return settings.keys
    return Keys(keystore=options.key, password_file=options.password_file)
