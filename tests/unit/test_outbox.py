"""The outbox: each intent takes effect once, whatever crashes, is lost, reorged or overtaken."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from coincurve import PrivateKey
from eth_hash.auto import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.intents import Done, Unsent
from contracts.outbox import Outbox
from contracts.rpc import Rejected, Reverted
from contracts.signing import Fees, sign
from protocol.errors import Refused, Temporary
from rollup.engine import transaction
from rollup.engine.transaction import Transaction

CHAIN_ID = 4242
decode = functools.cache(transaction.decode)
CONFIRMATIONS = 2
TO = b"\x11" * 20


class LocalSigner:
    def __init__(self, secret: bytes = b"\x01" * 32) -> None:
        self._key = PrivateKey(secret)
        self.address = keccak(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, digest: bytes) -> bytes:
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])


class Crash(Exception):
    """The process dies here."""


@dataclass
class MemoryStore:
    """What the disk holds; dies before or after the write that `dies_at` counts down to."""

    values: dict[bytes, bytes] = field(default_factory=dict)
    dies_at: int | None = None
    after: bool = False

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter([(k, v) for k, v in self.values.items() if k.startswith(prefix)])

    def open(self) -> int:
        """How many intents have not ended, by the disk."""
        return sum(b"/open/" in key for key in self.values)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        assert sync, "money must be on disk"
        dying = self.dies_at == 0
        if self.dies_at is not None:
            self.dies_at -= 1
        if dying and not self.after:
            raise Crash
        for key, value in puts.items():
            if value is None:
                self.values.pop(key, None)
            else:
                self.values[key] = value
        if dying:
            raise Crash


@dataclass
class World:
    """A chain of one interesting account, behind the JSON-RPC methods that the outbox uses.

    Data b"pay..." always works, b"bad" always reverts, b"late" only on chain, b"after:X" works once
    X was paid.
    """

    address: bytes
    blocks: list[list[bytes]] = field(default_factory=lambda: [[]])
    pool: dict[int, bytes] = field(default_factory=dict)
    fork: int = 0
    rich: bool = True
    base_fee: int = 100
    fails_at: int | None = None
    fails_after: bool = False
    sent: list[bytes] = field(default_factory=list)
    asked: Callable[[str], None] = lambda method: None

    def transactions(self, last: int | None = None) -> list[Transaction]:
        chosen = self.blocks if last is None else self.blocks[: last + 1]
        raws = [raw for block in chosen for raw in block if raw != b"stranger"]
        return [decode(raw, CHAIN_ID) for raw in raws]

    def count(self, last: int | None = None) -> int:
        return sum(map(len, self.blocks if last is None else self.blocks[: last + 1]))

    def paid(self) -> list[bytes]:
        return [tx.data for tx in self.transactions() if self.works(tx.data)]

    def works(self, data: bytes, simulated: bool = False) -> bool:
        if data.startswith(b"after:"):
            return data[6:] in [tx.data for tx in self.transactions()]
        return data != b"bad" and (simulated or data != b"late")

    def mine(self) -> None:
        block = []
        while (raw := self.pool.pop(self.count() + len(block), None)) is not None:
            if decode(raw, CHAIN_ID).max_fee_per_gas < self.base_fee:
                self.pool[self.count() + len(block)] = raw
                break
            block.append(raw)
        self.blocks.append(block)

    def reorg(self, depth: int, back_to_pool: bool) -> None:
        gone = self.blocks[-depth:]
        del self.blocks[-depth:]
        self.fork += 1
        nonce = self.count()
        for raw in [raw for block in gone for raw in block]:
            if back_to_pool and raw != b"stranger":
                self.pool.setdefault(nonce, raw)
            nonce += 1
        for _ in gone:
            self.blocks.append([])

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [await self.call(method, *params) for method, params in calls]

    async def call(self, method: str, *params: Any) -> Any:
        self.asked(method)
        failing = self.fails_at == 0
        if self.fails_at is not None:
            self.fails_at -= 1
        if failing and not self.fails_after:
            raise Temporary("lost on the way there")
        result = getattr(self, method)(*params)
        if failing:
            raise Temporary("lost on the way back")
        return result

    def eth_chainId(self) -> str:  # noqa: N802
        return hex(CHAIN_ID)

    def eth_blockNumber(self) -> str:  # noqa: N802
        return hex(len(self.blocks) - 1)

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:  # noqa: N802
        number = len(self.blocks) - 1 if tag == "latest" else int(tag, 16)
        fork = self.fork if number else 0
        block_hash = keccak(b"%d %d" % (number, fork)).hex()
        fee, limit = hex(self.base_fee), hex(10**7)
        return {"hash": "0x" + block_hash, "baseFeePerGas": fee, "gasLimit": limit}

    def eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802
        return hex(10)

    def eth_getBalance(self, address: str, tag: str) -> str:  # noqa: N802
        return hex(10**18 if self.rich else 1)

    def eth_getTransactionCount(self, address: str, tag: str) -> str:  # noqa: N802
        assert bytes.fromhex(address[2:]) == self.address
        return hex(self.count(None if tag == "latest" else int(tag, 16)))

    def eth_call(self, call: dict[str, str], tag: str) -> str:
        if not self.works(bytes.fromhex(call["data"][2:]), simulated=True):
            raise Reverted("reverted: it is bad", b"")
        return "0x"

    def eth_estimateGas(self, call: dict[str, str]) -> str:  # noqa: N802
        return hex(50_000)

    def eth_sendRawTransaction(self, encoded: str) -> str:  # noqa: N802
        raw = bytes.fromhex(encoded[2:])
        self.sent.append(raw)
        tx = decode(raw, CHAIN_ID)
        old = self.pool.get(tx.nonce)
        if tx.nonce < self.count():
            raise Rejected(-32000, f"nonce too low: next nonce {self.count()}, tx {tx.nonce}")
        if not self.rich:
            raise Rejected(-32000, "insufficient funds for gas * price + value")
        if old == raw:
            raise Rejected(-32000, "already known")
        if old and tx.max_fee_per_gas * 10 < decode(old, CHAIN_ID).max_fee_per_gas * 11:
            raise Rejected(-32000, "replacement transaction underpriced")
        self.pool[tx.nonce] = raw
        return "0x" + tx.hash.hex()

    def eth_getTransactionByHash(self, value: str) -> Any:  # noqa: N802
        waiting = any(keccak(raw).hex() == value[2:] for raw in self.pool.values())
        return {} if waiting or self.eth_getTransactionReceipt(value) else None

    def eth_getTransactionReceipt(self, value: str) -> Any:  # noqa: N802
        for number, block in enumerate(self.blocks):
            for raw in block:
                if keccak(raw).hex() == value[2:]:
                    works = self.works(decode(raw, CHAIN_ID).data)
                    return {
                        "transactionHash": value,
                        "blockNumber": hex(number),
                        "status": hex(int(works)),
                        "gasUsed": hex(40_000),
                        "contractAddress": None,
                    }
        return None


@dataclass
class Time:
    seconds: float = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds


class Bench:
    """One account, its disk and its chain; `restart` is what a new process finds."""

    def __init__(self) -> None:
        self.signer = LocalSigner()
        self.store = MemoryStore()
        self.world = World(self.signer.address)
        self.time = Time()
        self.restart()

    def restart(self) -> None:
        self.store.dies_at = None
        self.outbox = Outbox(
            self.store,
            self.world,
            self.signer,
            CHAIN_ID,
            clock=self.time,
            confirmations=CONFIRMATIONS,
        )

    def intend(self, data: bytes, key: str | None = None) -> None:
        self.outbox.intend(key or data.decode(), TO, data)

    def step(self) -> None:
        trio.run(self.outbox.step)

    def rounds(self, n: int) -> None:
        for _ in range(n):
            self.step()
            self.world.mine()
            self.time.seconds += 2


def test_an_intent_is_sent_followed_and_ends_with_its_transaction() -> None:
    """The straight way: one transaction, done after two confirmations, reported with its gas."""
    bench = Bench()

    bench.intend(b"pay a")
    bench.rounds(2)
    early = bench.outbox.result("pay a")
    bench.rounds(3)

    done = bench.outbox.result("pay a")
    assert early is None
    assert done == Done(keccak(bench.world.blocks[1][0]), 1, 1, 40_000)
    assert bench.world.paid() == [b"pay a"]
    assert bench.outbox.status().done == 1


def test_the_same_key_twice_is_one_intent_and_another_call_is_refused() -> None:
    """A role may say its intents again after every restart."""
    bench = Bench()

    bench.intend(b"pay a", "k")
    bench.intend(b"pay a", "k")
    bench.rounds(6)
    bench.intend(b"pay a", "k")
    bench.rounds(6)

    assert bench.world.paid() == [b"pay a"]
    with pytest.raises(Refused, match="another call"):
        bench.intend(b"pay b", "k")


def test_a_call_that_would_revert_is_recorded_and_burns_no_nonce() -> None:
    """Its reason is kept, nothing is sent, and those behind it go on."""
    bench = Bench()

    bench.intend(b"bad")
    bench.intend(b"pay a")
    bench.rounds(6)

    assert bench.outbox.result("bad") == Unsent("reverted: it is bad")
    assert bench.world.paid() == [b"pay a"]
    assert [tx.nonce for tx in bench.world.transactions()] == [0]


def test_a_call_that_builds_on_one_in_flight_waits_for_it() -> None:
    """Refused against today's state, it is judged again when its forerunner is in."""
    bench = Bench()

    bench.intend(b"pay a")
    bench.intend(b"after:pay a")
    bench.step()
    bench.step()
    waiting = bench.outbox.status().waiting
    bench.rounds(8)

    assert waiting == 1
    assert bench.world.paid() == [b"pay a", b"after:pay a"]


def test_a_failure_on_chain_is_an_outcome_with_status_zero() -> None:
    """A call that passed the simulation and failed in its block is not sent again."""
    bench = Bench()

    bench.intend(b"late")
    bench.rounds(8)

    done = bench.outbox.result("late")
    assert isinstance(done, Done)
    assert not done.succeeded
    assert done.reason
    assert len(bench.world.transactions()) == 1


def test_a_stuck_transaction_is_replaced_with_the_same_nonce_and_higher_fees() -> None:
    """When the base fee has outgrown the offer, the offer is raised until it is included."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()
    bench.world.base_fee = 1_000

    bench.rounds(2)
    bench.time.seconds += 31
    bench.rounds(6)

    first, second = (decode(raw, CHAIN_ID) for raw in dict.fromkeys(bench.world.sent))
    assert first.nonce == second.nonce == 0
    assert second.max_fee_per_gas > first.max_fee_per_gas * 1.1
    assert bench.world.paid() == [b"pay a"]
    assert isinstance(bench.outbox.result("pay a"), Done)


def test_an_empty_account_is_named_in_the_status_and_tried_again() -> None:
    """Once the account is funded the very same bytes are included."""
    bench = Bench()
    bench.world.rich = False
    bench.intend(b"pay a")

    bench.rounds(3)
    problem = bench.outbox.status().problem
    bench.world.rich = True
    bench.rounds(6)

    assert problem is not None
    assert bench.signer.address.hex() in problem
    assert "1 wei, too little" in problem
    assert len(set(bench.world.sent)) == 1
    assert bench.world.paid() == [b"pay a"]


def test_a_nonce_that_a_stranger_used_is_given_up_only_when_that_is_confirmed() -> None:
    """Not before, or both transactions could be included."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()
    bench.world.pool.clear()
    bench.world.blocks.append([b"stranger"])

    bench.step()
    kept = len(set(bench.world.sent))
    bench.rounds(12)

    assert kept == 1
    assert bench.world.paid() == [b"pay a"]
    assert [tx.nonce for tx in bench.world.transactions()] == [1]


def test_a_reorg_that_drops_the_transaction_and_the_pool_makes_it_go_out_again() -> None:
    """A receipt counts only while its block is part of the chain."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.rounds(2)

    bench.world.reorg(2, back_to_pool=False)
    bench.rounds(6)

    assert bench.world.paid() == [b"pay a"]
    assert len(set(bench.world.sent)) == 1


def test_a_reorg_below_the_confirmations_is_repaired_from_the_kept_bytes() -> None:
    """An ended transaction that vanished would block every later nonce."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.rounds(6)
    bench.intend(b"pay b")
    bench.step()

    bench.world.reorg(6, back_to_pool=False)
    bench.world.pool.clear()
    bench.rounds(8)

    assert bench.world.paid() == [b"pay a", b"pay b"]


def test_a_gap_left_by_a_stranger_is_filled_with_an_empty_transaction() -> None:
    """A stranger's dropped transaction below ours would block the account for ever."""
    bench = Bench()
    bench.world.blocks.append([b"stranger"])
    bench.intend(b"pay a")
    bench.step()

    bench.world.reorg(1, back_to_pool=False)
    bench.rounds(10)

    assert [(tx.nonce, tx.data, tx.value) for tx in bench.world.transactions()] == [
        (0, b"", 0),
        (1, b"pay a", 0),
    ]
    assert isinstance(bench.outbox.result("pay a"), Done)


def test_a_store_of_another_chain_is_refused() -> None:
    """Signed bytes with the same chain id would be valid on a chain started anew."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()

    bench.world.eth_getBlockByNumber = lambda tag, full: {"hash": "0x" + "77" * 32}  # type: ignore[method-assign]
    bench.restart()

    with pytest.raises(Refused, match="serves chain"):
        bench.step()


async def test_outcome_wakes_when_the_intent_ends(autojump_clock: trio.abc.Clock) -> None:
    """`run` works by itself, `outcome` waits for it."""
    bench = Bench()
    ended: list[object] = []

    async def wait() -> None:
        ended.append(await bench.outbox.outcome("pay a"))
        nursery.cancel_scope.cancel()

    async def mine() -> None:
        while True:
            await trio.sleep(2)
            bench.world.mine()

    bench.intend(b"pay a")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for job in (bench.outbox.run, wait, mine):
                nursery.start_soon(job)

    assert isinstance(ended[0], Done)


def test_signed_bytes_decode_to_what_was_meant() -> None:
    """The hand-made encoding against the engine's strict decoder."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()

    tx = decode(bench.world.sent[0], CHAIN_ID)

    assert (tx.sender, tx.to, tx.data, tx.value) == (bench.signer.address, TO, b"pay a", 0)
    assert (tx.nonce, tx.gas, tx.type_id) == (0, 62_500, 2)
    assert (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) == (210, 10)


class AnyHistory(RuleBasedStateMachine):
    """Crashes at drawn writes, lost messages, reorgs, strangers, an empty purse: in any order."""

    @initialize()
    def start(self) -> None:
        self.bench = Bench()
        self.meant: set[bytes] = set()

    @rule(
        data=st.sampled_from([b"pay a", b"pay b", b"pay c", b"bad", b"late", b"after:pay a"]),
        crash=st.sampled_from([None, "before", "after"]),
    )
    def intend(self, data: bytes, crash: str | None) -> None:
        self._arm(0 if crash else None, crash == "after")
        self._living(lambda: self.bench.intend(data))
        if crash != "before":
            self.meant.add(data)

    @rule(
        dies_at=st.none() | st.integers(0, 3),
        after=st.booleans(),
        fails_at=st.none() | st.integers(0, 12),
        fails_after=st.booleans(),
    )
    def step(
        self, dies_at: int | None, after: bool, fails_at: int | None, fails_after: bool
    ) -> None:
        self._arm(dies_at, after)
        self.bench.world.fails_at, self.bench.world.fails_after = fails_at, fails_after
        with contextlib.suppress(Temporary):
            self._living(self.bench.step)
        self.bench.world.fails_at = None
        self.bench.store.dies_at = None

    @rule()
    def mine(self) -> None:
        self.bench.world.mine()

    @rule()
    def forget_pool(self) -> None:
        self.bench.world.pool.clear()

    @rule(base_fee=st.sampled_from([100, 400]), rich=st.booleans())
    def weather(self, base_fee: int, rich: bool) -> None:
        self.bench.world.base_fee, self.bench.world.rich = base_fee, rich

    @rule(seconds=st.sampled_from([1, 31]))
    def wait(self, seconds: int) -> None:
        self.bench.time.seconds += seconds

    @rule()
    def stranger(self) -> None:
        world = self.bench.world
        world.pool.pop(world.count(), None)
        world.blocks.append([b"stranger"])

    @precondition(lambda self: len(self.bench.world.blocks) > CONFIRMATIONS)
    @rule(depth=st.integers(1, CONFIRMATIONS), back=st.booleans())
    def reorg(self, depth: int, back: bool) -> None:
        self.bench.world.reorg(depth, back)

    @rule()
    def kill(self) -> None:
        self.bench.restart()

    @invariant()
    def never_twice(self) -> None:
        ours = self._ours()
        assert len(ours) == len(set(ours)), "an intent took effect twice"
        assert b"bad" not in ours
        assert set(ours) <= self.meant

    def teardown(self) -> None:
        self.bench.world.rich, self.bench.world.base_fee = True, 100
        self.bench.restart()
        for _ in range(60):
            if not self.bench.store.open():
                break
            self.bench.rounds(1)
            self.bench.time.seconds += 10
        results = {data: self.bench.outbox.result(data.decode()) for data in self.meant}
        ours = self._ours()
        for data, result in results.items():
            assert result is not None, f"{data!r} never ended: {self.bench.outbox.status()}"
            sent = isinstance(result, Done)
            assert ours.count(data) == int(sent)
        for data in self.meant & {b"pay a", b"pay b", b"pay c", b"late"}:
            assert isinstance(results[data], Done)

    def _ours(self) -> list[bytes]:
        """What our transactions did, leaving out the empty ones that fill a gap of nonces."""
        return [tx.data for tx in self.bench.world.transactions() if tx.data]

    def _arm(self, dies_at: int | None, after: bool) -> None:
        self.bench.store.dies_at, self.bench.store.after = dies_at, after

    def _living(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Crash:
            self.bench.restart()
        self.bench.store.dies_at = None


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase


def test_a_signer_that_answers_nonsense_is_a_bug_not_a_transaction() -> None:
    """Nothing unsigned leaves."""
    bench = Bench()
    bench.signer.sign = lambda digest: bytes(65)  # type: ignore[method-assign]

    with pytest.raises(ValueError, match="65 bytes"):
        sign(bench.signer, 1, 0, 21_000, Fees(1, 1), _call())


def _call() -> Any:
    from contracts.signing import Call

    return Call(TO, b"", 0, None)
