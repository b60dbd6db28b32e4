"""A withdrawal: start it on the L2, prove it on the L1, wait, be paid there."""

from dataclasses import dataclass

import trio

from contracts.bedrock import portal
from contracts.rpc import hexadecimal
from node.bridge import chains
from node.bridge.amounts import shown
from node.bridge.book import Crossing
from node.bridge.stages import Facts, Judgement, Stage, judge
from node.bridge.steps import Tell, Undone, again, once
from node.bridge.world import Account, Sides
from node.exits import ChainTrouble
from protocol.errors import Temporary
from rollup.codec.output import Withdrawal


@dataclass(frozen=True, slots=True)
class Sent:
    """A withdrawal in L2 block `block`, and how far it is."""

    withdrawal: Withdrawal
    block: int
    judgement: Judgement
    now: int  # the L1's time


async def affordable(sides: Sides, owner: bytes, amount: int) -> None:
    """Raises `ChainTrouble` when the account lacks OPEN on the L2, or gas on the L1."""
    held = await chains.balance(sides.l2, owner)
    if held <= amount:
        raise ChainTrouble(
            f"account {hexadecimal(owner)} has {shown(held)} OPEN on L2, a withdrawal of "
            f"{shown(amount)} and its gas need more"
        )
    if not await chains.balance(sides.l1, owner):
        raise ChainTrouble(
            f"account {hexadecimal(owner)} has no ether on L1 to pay for proof and finalization"
        )


async def carry(sides: Sides, account: Account, crossing: Crossing, tell: Tell) -> Sent:
    """Take the withdrawal from wherever it is to its payment. Raises `Undone`; call it again."""
    transaction = await begin(account, crossing, tell)
    while True:
        try:
            sent = await _sent(sides, transaction)
            if sent.judgement.stage is Stage.FINALIZED:
                break
            if await _advance(sides, account, sent, tell):
                continue
        except Temporary as error:
            tell(str(error))
        await trio.sleep(sides.poll_seconds)
    account.book.end(crossing, "paid")
    return sent


async def begin(account: Account, crossing: Crossing, tell: Tell) -> bytes:
    """The hash of its L2 transaction, once that is in a confirmed block. Raises `Undone`."""
    tell(Stage.SENDING.value)
    call = portal.initiate(crossing.to)
    try:
        return (await once(account.l2, begun(crossing), call, crossing.amount)).transaction
    except Undone as error:
        account.book.end(crossing, str(error))
        raise


def begun(crossing: Crossing) -> str:
    """The key of its intent on the L2."""
    return f"withdraw/{crossing.number}"


async def prove(sides: Sides, account: Account, withdrawal: Withdrawal) -> None:
    """Prove it against the oracle's latest output, whose state a node keeps the longest.

    Raises `ChainTrouble` when there is none, or with the portal's reason (`Undone`).
    """
    latest = await sides.contracts.latest_output()
    if latest is None:
        raise ChainTrouble("no output has been proposed on L1 yet")
    parts, nodes = await chains.proof(sides.l2, withdrawal, latest)
    call = portal.prove(sides.where, plain(withdrawal), latest.index, parts, nodes)
    await again(account.l1, f"prove/{withdrawal.hash.hex()}", lambda: call)


async def finalize(sides: Sides, account: Account, withdrawal: Withdrawal) -> None:
    """Ask the portal to pay it now. Raises `Undone` with the portal's reason."""
    call = portal.finalize(sides.where, plain(withdrawal))
    await again(account.l1, f"finalize/{withdrawal.hash.hex()}", lambda: call)


async def all_of(sides: Sides, found: chains.Receipt) -> list[Sent]:
    """How far the withdrawals of an L2 transaction are."""
    return [await look(sides, each, found.block) for each in chains.withdrawals(found)]


async def look(sides: Sides, withdrawal: Withdrawal, block: int) -> Sent:
    contracts = sides.contracts
    proven = await contracts.proven(withdrawal.hash)
    facts = Facts(
        block=block,
        now=await chains.time_of_head(sides.l1),
        rhythm=await contracts.rhythm(),
        latest=await contracts.latest_output(),
        proven=proven,
        proven_output=None if proven is None else await contracts.output(proven.index),
        finalized=await contracts.finalized(withdrawal.hash),
    )
    return Sent(withdrawal, block, judge(facts), facts.now)


def plain(withdrawal: Withdrawal) -> portal.Withdrawal:
    """As the contracts' struct has it."""
    return (
        withdrawal.nonce,
        withdrawal.sender,
        withdrawal.target,
        withdrawal.value,
        withdrawal.gas_limit,
        withdrawal.data,
    )


async def _sent(sides: Sides, transaction: bytes) -> Sent:
    found = await chains.receipt(sides.l2, transaction)
    sent = [] if found is None else await all_of(sides, found)
    if not sent:  # a reorg of the L2 dropped it; the outbox sends it again
        raise Temporary(f"L2 transaction {hexadecimal(transaction)} is in no block at present")
    return sent[0]


async def _advance(sides: Sides, account: Account, sent: Sent, tell: Tell) -> bool:
    """Make the next step if it is possible now; whether one was made."""
    stage, possible = sent.judgement.stage, sent.judgement.possible_at
    if stage is Stage.PROVABLE:
        tell("proving on L1")
        await prove(sides, account, sent.withdrawal)
        return True
    if stage is Stage.FINALIZABLE:
        tell("finalizing on L1")
        await finalize(sides, account, sent.withdrawal)
        return True
    left = 0 if possible is None else max(0, possible - sent.now)
    tell(stage.value, sent.now, possible or 0, f"{left} s at least")
    return False
