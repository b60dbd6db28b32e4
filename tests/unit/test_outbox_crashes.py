"""The outbox under death, loss and reorgs at every point: each intent takes effect once."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.intents import Done
from protocol.errors import Temporary
from tests.unit.outbox_world import CONFIRMATIONS, Bench, Crash


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_death_at_every_write_pays_once(after: bool) -> None:
    """One history with a replacement; the process dies at each write in turn, and what it sent may
    be mined before it comes back."""
    deaths = 0
    for dies_at in range(40):
        bench = Bench()
        bench.store.dies_at, bench.store.after = dies_at, after
        for act in _history(bench):
            try:
                act()
            except Crash:
                deaths += 1
                bench.restart()
                bench.world.mine()
                bench.world.mine()
                bench.world.mine()
                bench.intend(b"pay a")
                bench.intend(b"pay b")
        bench.store.dies_at = None
        bench.rounds(10)
        assert sorted(bench.world.paid()) == [b"pay a", b"pay b"], dies_at
        assert isinstance(bench.outbox.result("pay a"), Done)
        assert isinstance(bench.outbox.result("pay b"), Done)
    assert deaths >= 7


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_lost_message_at_every_call_pays_once(after: bool) -> None:
    """The same history; each call to the node fails in turn, before or after it took effect."""
    for fails_at in range(60):
        bench = Bench()
        bench.world.fails_at, bench.world.fails_after = fails_at, after
        for act in _history(bench):
            with contextlib.suppress(Temporary):
                act()
        bench.world.fails_at = None
        bench.rounds(10)
        assert sorted(bench.world.paid()) == [b"pay a", b"pay b"], fails_at


def _history(bench: Bench) -> list[Callable[[], None]]:
    def grow_dear() -> None:
        bench.world.base_fee = 1_000
        bench.time.seconds += 31

    def mine() -> None:
        bench.world.mine()

    intends = [lambda: bench.intend(b"pay a"), lambda: bench.intend(b"pay b")]
    return [*intends, bench.step, grow_dear, bench.step, mine, bench.step, mine, mine, bench.step]


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
