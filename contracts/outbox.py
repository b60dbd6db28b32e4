"""Sending transactions so that each intent takes effect once, whatever crashes in between.

An intent is written to disk before anything is sent; a signed transaction is written before it is
sent; an outcome is written when its block is confirmed. So after a crash at any line the disk knows
at least as much as the network, and going on means: ask the chain, send the same bytes again. An
intent never gets a second nonce while a transaction with its first one could still be included.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, NoReturn, Protocol

import trio

from contracts.intents import Attempt, Done, Intent, Intents, Outcome, Status, Store, Unsent
from contracts.rpc import LIMIT_EXCEEDED, Node, Rejected, Reverted, data, hexadecimal, number
from contracts.signing import Call, Fees, Signer, sign
from protocol.errors import Malformed, Refused, Temporary

KEY_CHARS_MAX: Final = 200
DATA_BYTES_MAX: Final = 120 << 10
WAITING_MAX: Final = 10_000
IN_FLIGHT_MAX: Final = 16
REPLACEMENTS_MAX: Final = 16
CONFIRMATIONS: Final = 2
POLL_SECONDS: Final = 1.0
REPLACE_SECONDS: Final = 30.0
FEE_LIMIT_MAX: Final = 10**12  # wei per gas
DOUBTS_MAX: Final = 3  # polls that must agree that a nonce went to a stranger
REASON_CHARS_MAX: Final = 500
GAS_TRANSFER: Final = 21_000
RETRIED: Final = (
    "insufficient funds",
    "header not found",
    "missing trie node",
    "rate limit",
    "timeout",
    "timed out",
)


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""


class Outbox:
    """The one sender of one account. Intents are taken up in order: one that the contract refuses
    while others are in flight waits for them, because it may build on what they do. A nonce that a
    second program used is noticed when that is confirmed; only then does the intent get another.
    """

    def __init__(
        self,
        store: Store,
        node: Node,
        signer: Signer,
        chain_id: int,
        *,
        clock: Clock,
        confirmations: int = CONFIRMATIONS,
        poll_seconds: float = POLL_SECONDS,
        replace_seconds: float = REPLACE_SECONDS,
        fee_limit_max: int = FEE_LIMIT_MAX,
    ) -> None:
        self._intents = Intents(store, signer.address)
        self._node = node
        self._signer = signer
        self._from = hexadecimal(signer.address)
        self._chain_id = chain_id
        self._clock = clock
        self._confirmations = confirmations
        self._poll_seconds = poll_seconds
        self._replace_seconds = replace_seconds
        self._fee_limit_max = fee_limit_max
        self._open = {intent.order: intent for intent in self._intents.open()}
        self._doubts: dict[int, int] = {}
        self._gap = (-1, 0)  # the missing nonce, and how many polls have missed it
        self._counts = {"done": 0, "unsent": 0, "replaced": 0}
        self._problem: str | None = None
        self._bound = False
        self._work = trio.Event()
        self._ended = trio.Event()

    # what the roles use

    def intend(
        self, key: str, to: bytes, data: bytes, value: int = 0, gas: int | None = None
    ) -> None:
        """Send this call once; on disk when this returns. The same key with the same call again
        changes nothing. Raises `Refused` for the same key with another call, or over a bound."""
        call = Call(to, data, value, gas)
        if not 0 < len(key) <= KEY_CHARS_MAX or len(data) > DATA_BYTES_MAX:
            raise Refused(f"a key has 1 to {KEY_CHARS_MAX} characters, data {DATA_BYTES_MAX} bytes")
        known = self._intents.find(key)
        if known is not None:
            if known[0] != call.digest:
                raise Refused(f"intent {key!r} exists with another call")
            return
        if len(self._open) >= WAITING_MAX:
            raise Refused(f"{WAITING_MAX} transactions are waiting already")
        intent = self._intents.add(key, call, self._clock.now())
        self._open[intent.order] = intent
        self._work.set()

    def result(self, key: str) -> Outcome | None:
        """How the intent ended, None while it has not. Raises `Refused` for an unknown key."""
        known = self._intents.find(key)
        if known is None:
            raise Refused(f"there is no intent {key!r}")
        return known[1]

    async def outcome(self, key: str) -> Outcome:
        """Wait for the end; the caller sets the deadline."""
        while (ended := self.result(key)) is None:
            await self._ended.wait()
        return ended

    def status(self) -> Status:
        flying = len(self._in_flight())
        oldest = min((i.made_at for i in self._open.values()), default=self._clock.now())
        return Status(
            waiting=len(self._open) - flying,
            in_flight=flying,
            oldest_seconds=max(0.0, self._clock.now() - oldest),
            problem=self._problem,
            **self._counts,
        )

    async def run(self) -> NoReturn:
        """Work until cancelled. A node that does not answer is a problem to report, not an end."""
        while True:
            self._work = trio.Event()
            try:
                await self.step()
            except (Temporary, Malformed, Rejected) as error:
                self._problem = str(error)
            with trio.move_on_after(self._poll_seconds):
                await self._work.wait()

    async def step(self) -> None:
        """Look at the chain once and do what follows from it."""
        await self._same_chain()
        self._problem = None
        if not self._open:
            return
        head = number(await self._node.call("eth_blockNumber"))
        count = await self._count("latest")
        await self._revive(count)
        for intent in self._in_flight():
            await self._follow(intent, head, count)
        await self._take_up(count)

    # the chain this store belongs to

    async def _same_chain(self) -> None:
        if self._bound:
            return
        block = await self._node.call("eth_getBlockByNumber", "0x0", False)
        if not isinstance(block, dict):
            raise Temporary("the node has no first block")
        genesis, chain_id = data(block.get("hash"), 32), await self._node.call("eth_chainId")
        known = self._intents.chain()
        if number(chain_id) != self._chain_id or known not in (None, genesis):
            raise Refused(
                f"the node at hand serves chain {number(chain_id)} from {genesis.hex()}, the store "
                f"has transactions for {self._chain_id} from {(known or b'').hex()}"
            )
        if known is None:
            self._intents.bind(genesis)
        self._bound = True

    async def _revive(self, count: int) -> None:
        """A reorg deeper than our confirmations dropped transactions that had ended: send them
        again, or nothing after them could ever be included."""
        lowest = min((i.nonce for i in self._in_flight() if i.nonce is not None), default=count)
        for nonce in range(count, lowest):
            raw = self._intents.raw(nonce)
            if raw is not None:
                await self._send(raw)
                continue
            self._problem = f"nonce {nonce} is missing below the transactions in flight"
            self._gap = (nonce, self._gap[1] + 1 if self._gap[0] == nonce else 1)
            if self._gap[1] >= DOUBTS_MAX:
                await self._fill(nonce)
            return

    async def _fill(self, nonce: int) -> None:
        """A stranger's transaction before ours was dropped for good: take its place with an empty
        one to ourselves. It moves nothing, so it needs no intent, and signing it anew is safe."""
        call = Call(self._signer.address, b"", 0, GAS_TRANSFER)
        raw = sign(self._signer, self._chain_id, nonce, GAS_TRANSFER, await self._fees(), call)
        await self._send(raw)

    # in flight

    async def _follow(self, intent: Intent, head: int, count: int) -> None:
        assert intent.nonce is not None
        receipt = await self._receipt(intent)
        if receipt is not None:
            self._doubts.pop(intent.order, None)
            if head - number(receipt.get("blockNumber")) >= self._confirmations:
                await self._finish(intent, receipt)
            return
        if count > intent.nonce:
            await self._doubt(intent, head)
            return
        sent = await self._send_best(intent)
        waited = self._clock.now() - intent.attempts[-1].at
        if sent and count == intent.nonce and waited >= self._replace_seconds:
            await self._replace(intent)

    async def _receipt(self, intent: Intent) -> dict[str, Any] | None:
        for attempt in reversed(intent.attempts):
            value = await self._node.call("eth_getTransactionReceipt", hexadecimal(attempt.hash))
            if value is None:
                continue
            if not isinstance(value, dict) or data(value.get("transactionHash")) != attempt.hash:
                raise Malformed("the node answered with the receipt of another transaction")
            return value
        return None

    async def _finish(self, intent: Intent, receipt: dict[str, Any]) -> None:
        status, block = number(receipt.get("status")), number(receipt.get("blockNumber"))
        created = receipt.get("contractAddress")
        done = Done(
            data(receipt.get("transactionHash"), 32),
            block,
            status,
            number(receipt.get("gasUsed")),
            b"" if intent.call.to or created is None else data(created, 20),
            None if status else await self._why(intent, block),
        )
        self._settle(intent, done)
        self._counts["done"] += 1

    async def _why(self, intent: Intent, block: int) -> str:
        """The reason of a failure on chain, by repeating the call on the state before its block."""
        try:
            await self._node.call("eth_call", self._object(intent), hex(max(block - 1, 0)))
        except Rejected as error:
            return str(error)[:REASON_CHARS_MAX]
        return "failed in its block; the same call before it succeeds (out of gas, or overtaken)"

    async def _doubt(self, intent: Intent, head: int) -> None:
        """The account is past this nonce, yet no receipt is ours. Once a confirmed block says so
        too, in several polls, a stranger's transaction took the nonce for good."""
        assert intent.nonce is not None
        deep = head - self._confirmations
        if deep < 0 or await self._count(hex(deep)) <= intent.nonce:
            self._doubts.pop(intent.order, None)
            return
        self._doubts[intent.order] = self._doubts.get(intent.order, 0) + 1
        self._problem = f"nonce {intent.nonce} was used by a transaction that is not ours"
        if self._doubts[intent.order] < DOUBTS_MAX:
            return
        for attempt in intent.attempts:
            if await self._known(attempt):
                return
        self._doubts.pop(intent.order)
        self._update(replace(intent, nonce=None, attempts=(), gas=0))

    async def _send_best(self, intent: Intent) -> bool:
        """Make the network hold one of the attempts, the newest if it accepts that."""
        for attempt in reversed(intent.attempts):
            if await self._known(attempt) or await self._send(attempt.raw):
                return True
        return False

    async def _known(self, attempt: Attempt) -> bool:
        answer = await self._node.call("eth_getTransactionByHash", hexadecimal(attempt.hash))
        return answer is not None

    async def _replace(self, intent: Intent) -> None:
        """The same call and nonce for more: at least an eighth above, which every pool accepts."""
        assert intent.nonce is not None
        old, now = intent.attempts[-1].fees, await self._fees()
        fees = Fees(max(old.limit * 9 // 8 + 1, now.limit), max(old.tip * 9 // 8 + 1, now.tip))
        if fees.limit > self._fee_limit_max or len(intent.attempts) > REPLACEMENTS_MAX:
            self._problem = f"{intent.key}: not included at {old.limit} wei per gas, our limit"
            return
        raw = sign(self._signer, self._chain_id, intent.nonce, intent.gas, fees, intent.call)
        attempt = Attempt(raw, fees, self._clock.now())
        self._update(replace(intent, attempts=(*intent.attempts, attempt)))
        self._counts["replaced"] += 1
        await self._send(raw)

    async def _send(self, raw: bytes) -> bool:
        """Whether the node took it; a refusal is noted and tried again at the next poll."""
        try:
            await self._node.call("eth_sendRawTransaction", hexadecimal(raw))
        except Rejected as error:
            words = str(error).lower()
            if "already known" in words:
                return True
            if "nonce too low" not in words:  # then the next poll finds its receipt, or a stranger
                self._problem = await self._explain(error)
            return False
        return True

    async def _explain(self, error: Rejected) -> str:
        if "insufficient funds" not in str(error).lower():
            return str(error)
        balance = number(await self._node.call("eth_getBalance", self._from, "latest"))
        return f"account {self._from} has {balance} wei, too little: {error}"

    # waiting

    async def _take_up(self, count: int) -> None:
        for intent in self._waiting():
            flying = self._in_flight()
            if len(flying) >= IN_FLIGHT_MAX:
                return
            try:
                gas = await self._simulate(intent)
            except Rejected as error:
                if _passes(error):
                    self._problem = await self._explain(error)
                    return
                if flying:
                    return
                self._settle(intent, Unsent(str(error)[:REASON_CHARS_MAX]))
                self._counts["unsent"] += 1
                continue
            nonce = self._free_nonce(count, (i.nonce for i in flying))
            fees = await self._fees()
            raw = sign(self._signer, self._chain_id, nonce, gas, fees, intent.call)
            attempt = Attempt(raw, fees, self._clock.now())
            self._update(replace(intent, nonce=nonce, gas=gas, attempts=(attempt,)))
            await self._send(raw)

    def _free_nonce(self, count: int, taken: Iterable[int | None]) -> int:
        """The lowest that neither the chain, nor one in flight, nor an ended one has: no gap is
        ever made, and one that a reorg made is filled."""
        used = set(taken)
        while count in used or self._intents.raw(count) is not None:
            count += 1
        return count

    async def _simulate(self, intent: Intent) -> int:
        """The gas limit to sign for. Raises `Reverted` or `Rejected` if the call would fail."""
        call = self._object(intent)
        await self._node.call("eth_call", call, "latest")
        if intent.call.gas is not None:
            return intent.call.gas
        estimate = number(await self._node.call("eth_estimateGas", call))
        limit = number((await self._latest()).get("gasLimit"))
        # a quarter more: what others do before it is included may make it dearer
        return max(estimate, min(estimate * 5 // 4, limit))

    async def _fees(self) -> Fees:
        """Twice the base fee: enough for six full blocks; then a replacement follows."""
        base_fee = number((await self._latest()).get("baseFeePerGas"))
        tip = number(await self._node.call("eth_maxPriorityFeePerGas"))
        limit = min(2 * base_fee + tip, self._fee_limit_max)
        return Fees(limit, min(tip, limit))

    async def _latest(self) -> dict[str, Any]:
        block = await self._node.call("eth_getBlockByNumber", "latest", False)
        if not isinstance(block, dict):
            raise Temporary("the node has no latest block")
        return block

    async def _count(self, tag: str) -> int:
        return number(await self._node.call("eth_getTransactionCount", self._from, tag))

    # memory follows the disk, never the other way round

    def _update(self, intent: Intent) -> None:
        self._intents.update(intent)
        self._open[intent.order] = intent

    def _settle(self, intent: Intent, outcome: Outcome) -> None:
        self._intents.settle(intent, outcome)
        del self._open[intent.order]
        self._ended.set()
        self._ended = trio.Event()

    def _waiting(self) -> list[Intent]:
        return [i for _, i in sorted(self._open.items()) if i.nonce is None]

    def _in_flight(self) -> list[Intent]:
        flying = [i for i in self._open.values() if i.nonce is not None]
        return sorted(flying, key=lambda intent: intent.nonce or 0)

    def _object(self, intent: Intent) -> dict[str, str]:
        call = intent.call
        out = {"from": self._from, "data": hexadecimal(call.data), "value": hex(call.value)}
        if call.to:
            out["to"] = hexadecimal(call.to)
        if call.gas is not None:
            out["gas"] = hex(call.gas)
        return out


def _passes(error: Rejected) -> bool:
    """Whether a refusal says something about now rather than about the call."""
    words = str(error).lower()
    lasting = isinstance(error, Reverted) or not any(word in words for word in RETRIED)
    return not lasting or error.code == LIMIT_EXCEEDED
