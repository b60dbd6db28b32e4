"""A deposit: approve and give on the L1, then wait until the L2 has it."""

from dataclasses import dataclass

import trio

from contracts.bedrock import portal
from contracts.rpc import data, hexadecimal
from node.bridge import chains
from node.bridge.amounts import shown
from node.bridge.book import Crossing
from node.bridge.steps import Tell, Undone, once
from node.bridge.world import Account, Sides
from node.exits import ChainTrouble
from protocol.errors import Temporary
from rollup.codec.deposit import DepositTransaction


@dataclass(frozen=True, slots=True)
class Arrival:
    """A deposit that is in an L1 block; `block` is the L2's, None while it is in none.

    One whose receiver refuses the money leaves it with its sender: `succeeded` is False then.
    """

    deposit: DepositTransaction
    origin: int
    block: int | None
    succeeded: bool


async def affordable(sides: Sides, owner: bytes, amount: int) -> None:
    """Raises `ChainTrouble` when the account lacks OPEN or gas on the L1."""
    held = await sides.contracts.balance(owner)
    if held < amount:
        raise ChainTrouble(
            f"account {hexadecimal(owner)} has {shown(held)} OPEN on L1, a deposit of "
            f"{shown(amount)} needs more"
        )
    if not await chains.balance(sides.l1, owner):
        raise ChainTrouble(f"account {hexadecimal(owner)} has no ether on L1 to pay for gas")


async def carry(sides: Sides, account: Account, crossing: Crossing, tell: Tell) -> Arrival:
    """Take the deposit from wherever it is to the L2. Raises `Undone`; may be called again."""
    number, where = crossing.number, sides.where
    tell("approving and depositing on L1")
    give = portal.deposit(where, crossing.to, crossing.amount)
    try:
        # in this order: the outbox sends the second once the first allows it
        account.l1.intend(f"approve/{number}", *portal.approve(where, crossing.amount))
        account.l1.intend(f"deposit/{number}", *give)
        await once(account.l1, f"approve/{number}", portal.approve(where, crossing.amount))
        done = await once(account.l1, f"deposit/{number}", give)
    except Undone as error:
        account.book.end(crossing, str(error))
        raise
    while True:
        try:
            arrival = await _arrival(sides, done.transaction)
            if arrival.block is not None:
                break
            origin = await _origin(sides)
            tell(f"waiting until the L2 takes L1 block {arrival.origin}", origin, arrival.origin)
        except Temporary as error:
            tell(str(error))
        await trio.sleep(sides.poll_seconds)
    account.book.end(crossing, "arrived" if arrival.succeeded else "left with the sender")
    return arrival


async def arrivals(sides: Sides, found: chains.Receipt) -> list[Arrival]:
    """How far the deposits of an L1 transaction are."""
    return [
        await _follow(sides, deposit, found.block)
        for deposit in chains.deposits(found, sides.where["OptimismPortal"])
    ]


async def _arrival(sides: Sides, transaction: bytes) -> Arrival:
    found = await chains.receipt(sides.l1, transaction)
    arrived = [] if found is None else await arrivals(sides, found)
    if not arrived:  # a reorg of the L1 dropped it; the outbox sends it again
        raise Temporary(f"L1 transaction {hexadecimal(transaction)} is in no block at present")
    return arrived[0]


async def _follow(sides: Sides, deposit: DepositTransaction, origin: int) -> Arrival:
    there = await chains.receipt(sides.l2, deposit.hash)
    block = None if there is None else there.block
    return Arrival(deposit, origin, block, there is not None and there.succeeded)


async def _origin(sides: Sides) -> int:
    """The number of the L1 block that the L2 has come to."""
    call = {"to": hexadecimal(portal.L1_BLOCK), "data": hexadecimal(portal.ORIGIN_NUMBER)}
    return int.from_bytes(data(await sides.l2.call("eth_call", call, "latest"), 32), "big")
