"""Whatever a curator is told and whenever he dies, each text stands once, and his bond is safe."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from datanet.screen import Accepted, Offer, Rejected, Rule
from protocol import calls, events
from protocol.court import ShardKind
from protocol.datanet import Contribution, decode_table, domain, terms_of
from protocol.errors import NodeError, Refused, Temporary
from protocol.ledger import Status
from protocol.merkle import TEXT, byte_root
from protocol.parameters import OPEN, Parameters
from protocol.signature import address_of, sign
from roles.curator import PREFIX, Curator, pending_of
from tests.sim.chain import BLOCK, CHAIN_ID, CONTRACTS, SimChain
from tests.sim.world import Faults, MemoryStore, World

PARAMETERS = Parameters(datanet_window=20, datanet_bond=OPEN, datanet_fee=3)
CURATOR, STRANGER = b"\x41" * 32, b"\x42" * 32
US = address_of(CURATOR)
STAKE = 10 * OPEN
GIVEN_UP = 2_000.0  # virtual seconds
SLOW = Faults(delay_max=7.0)
TEXTS = [
    f"A line of text that is long enough to hold a span, and it is number {number}.\n"
    for number in range(4)
]


class Crash(Exception):
    """The process dies here."""


@dataclass(frozen=True)
class Slash:
    """A validator convicts a shard, of what is of no interest here."""

    datanet: int
    index: int


@dataclass
class DatanetChain(SimChain):
    """`DatanetRegistry` in plain Python, as far as curators meet it."""

    refusals: int = 0  # of the next publications: no stake, for instance

    def execute(self, sender: bytes, call: Any) -> list[Any]:
        match call:
            case calls.CreateDatanet():
                if call.value != self.truth.current.datanet_fee:
                    raise Refused("WrongFee")
                number = len(self.truth.datanets) + 1
                return [events.DatanetCreated(number, sender, call.name)]
            case calls.PublishShard():
                return self._publish(sender, call)
            case calls.FinalizeShard():
                return self._finalize_shard(call)
            case Slash():
                return self._slash(sender, call)
        return super().execute(sender, call)

    def _publish(self, sender: bytes, call: calls.PublishShard) -> list[Any]:
        if self.refusals:
            self.refusals -= 1
            raise Refused("InsufficientFree")
        truth, shard = self.truth, call.shard
        if truth.datanets[call.datanet].curator != sender:
            raise Refused("NotCurator")
        rows = truth.shards.get(call.datanet, [])
        index = sum(row.status in (Status.PENDING, Status.FINAL) for row in rows)
        roots = shard.text_root, shard.document_root, shard.text_size, shard.document_count
        deadline, number = truth.time + truth.current.datanet_window, len(truth.publications) + 1
        return [
            events.ShardPublished(call.datanet, index, sender, *roots, deadline, number),
            events.Locked(bytes(20), sender, truth.current.datanet_bond),
        ]

    def _finalize_shard(self, call: calls.FinalizeShard) -> list[Any]:
        rows = self.truth.shards[call.datanet]
        row = rows[call.index]
        if row.status is not Status.PENDING or any(
            before.status is Status.PENDING for before in rows[: call.index]
        ):
            raise Refused("NotPending")
        if self.truth.time < row.deadline:
            raise Refused("WindowOpen")
        return [
            events.ShardFinalized(call.datanet, call.index),
            events.Unlocked(bytes(20), row.curator, self.truth.current.datanet_bond),
        ]

    def _slash(self, sender: bytes, call: Slash) -> list[Any]:
        rows, kind = self.truth.shards[call.datanet], int(ShardKind.WITHHELD)
        if rows[call.index].status is not Status.PENDING:
            raise Refused("NotPending")
        voided = [
            event
            for row in rows[call.index + 1 :]
            if row.status is Status.PENDING
            for event in (
                events.ShardVoided(call.datanet, row.index),
                events.Unlocked(bytes(20), row.curator, self.truth.current.datanet_bond),
            )
        ]
        slashed = events.ShardSlashed(call.datanet, call.index, sender, kind, OPEN, OPEN // 3)
        return [slashed, *voided]

    def standing(self, datanet: int = 1) -> list[Any]:
        rows = self.truth.shards.get(datanet, [])
        return [row for row in rows if row.status in (Status.PENDING, Status.FINAL)]


@dataclass
class Disk(MemoryStore):
    """Dies at write number `dies_at`, before or after it."""

    rows: dict[bytes, bytes] = field(default_factory=dict)
    writes: int = 0
    dies_at: int | None = None
    after: bool = False

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        assert sync, "what was accepted is kept"
        dies = self.writes == self.dies_at
        self.writes += 1
        if not dies or self.after:
            super().write(puts)
        if dies:
            raise Crash


class Office:
    """A curator's node whose process can die, and the people who come to it."""

    def __init__(self, seed: int = 0, faults: Faults = SLOW) -> None:
        secrets = {1: b"\x01" * 32, 2: b"\x02" * 32}
        self.secrets = secrets
        self.chain = DatanetChain(
            [
                events.ParametersProposed(1, 0, PARAMETERS),
                *(events.ContributorRegistered(n, address_of(s)) for n, s in secrets.items()),
                events.Staked(US, US, STAKE),
                events.DatanetCreated(1, US, "lines"),
                events.DatanetCreated(2, address_of(STRANGER), "not ours"),
            ]
        )
        self.world = World(Random(seed), self.chain, faults)
        self.chain.delay = lambda: 3 * self.world.late()
        self.node = self.world.node(CURATOR, list)
        self.disk = self.node.store = Disk()
        self.deaths = 0
        self.restart()

    def restart(self) -> None:
        self.node._start()
        self.curator = Curator()

    @property
    def ports(self) -> Any:
        return self.node.ports

    @property
    def ledger(self) -> Any:
        return self.node.view.ledger

    def offer(self, text: str, who: int = 1, datanet: int = 1) -> Offer:
        data = text.encode()
        terms = terms_of("text/plain", "CC0-1.0")
        contribution = Contribution(datanet, byte_root(TEXT, data), len(data), terms, who, 5)
        where = domain(CHAIN_ID, CONTRACTS["DatanetRegistry"])
        signature = sign(self.secrets[who], contribution.digest(where))
        return Offer(contribution, signature, "text/plain", "CC0-1.0", data)

    def caught_up(self) -> bool:
        """As the real chain port, which tells no heads and is not `live` before."""
        return self.ledger.number >= len(self.chain._blocks) - 3 and bool(self.ledger.datanets)

    async def live(self, script: Callable[["Office"], Any]) -> None:
        """Run the node beside the script; when either dies, both begin again."""
        async with trio.open_nursery() as chain:
            chain.start_soon(self.chain.run)
            over = False
            with trio.fail_after(GIVEN_UP):
                while not over:
                    try:
                        async with trio.open_nursery() as nursery:
                            nursery.start_soon(self.node.view.follow)
                            await until(self, self.caught_up)
                            nursery.start_soon(self.curator.run, self.ports)
                            await script(self)
                            over = True
                            nursery.cancel_scope.cancel()
                    except* Crash:
                        over = False
                        self.deaths += 1
                        self.restart()
            chain.cancel_scope.cancel()

    def run(self, script: Callable[["Office"], Any]) -> "Office":
        trio.run(partial(self.live, script), clock=MockClock(autojump_threshold=0))
        return self

    def table(self, row: Any) -> tuple[Any, ...]:
        return decode_table(self.node.held[row.shard.document_root])

    def standing(self) -> Counter[bytes]:
        """How often each content root stands in the Datanet."""
        rows = self.chain.standing()
        return Counter(item.content_root for row in rows for item in self.table(row))

    def final(self) -> set[bytes]:
        rows = [row for row in self.chain.standing() if row.status is Status.FINAL]
        return {item.content_root for row in rows for item in self.table(row)}


def roots(texts: list[str]) -> set[bytes]:
    return {byte_root(TEXT, text.encode()) for text in texts}


async def accepted(office: Office, text: str, who: int) -> Accepted | None:
    """None for a duplicate."""
    try:
        return await office.curator.accept(office.ports, office.offer(text, who))
    except Rejected as error:
        if error.rule is not Rule.DUPLICATE:
            raise
        return None


async def until(office: Office, condition: Callable[[], Any]) -> None:
    while not condition():
        await office.ports.clock.sleep(BLOCK / 2)


async def give(office: Office, *texts: str, who: int = 1) -> None:
    """As a contributor does who asks again when he is not answered."""
    for text in texts:
        if await accepted(office, text, who) is None:
            assert office.deaths, "nobody has given it before"
        await trio.sleep(0.001)


async def publish_until(office: Office, texts: list[str]) -> None:
    """As an impatient operator does: again at every block, until all is final and forgotten."""
    while office.final() < roots(texts) or pending_of(office.ports, 1):
        with suppress(Refused):
            await office.curator.publish(office.ports, 1)
        await trio.sleep(BLOCK)


def check(office: Office, texts: list[str], slashed: int = 0) -> None:
    """Every text stands once and is final, no bond is locked, none was lost without a slash."""
    assert office.standing() == Counter(roots(texts))
    assert office.final() == roots(texts)
    assert office.chain.truth.stakes[US] == STAKE - slashed * OPEN
    assert not list(office.disk.scan(PREFIX))


async def simple(office: Office) -> None:
    await give(office, *TEXTS)
    await publish_until(office, TEXTS)


def test_what_is_accepted_is_published_and_becomes_final() -> None:
    office = Office().run(simple)
    check(office, TEXTS)
    (row,) = office.chain.standing()
    texts = office.node.held[row.shard.text_root].split(b"\xff")[1:]
    assert [text.decode() for text in texts] == TEXTS, "who came first stands first"
    outcomes = office.node.intents.values()
    assert all(outcome and outcome.succeeded for outcome in outcomes), "nothing was sent too early"


def test_texts_that_come_while_a_shard_is_on_its_way_wait_for_the_next() -> None:
    """Or the second shard would hold the first's texts again, a proven duplicate."""

    async def script(office: Office) -> None:
        await give(office, *TEXTS[:2])
        await office.curator.publish(office.ports, 1)
        await give(office, *TEXTS[2:])
        with pytest.raises(Refused, match="being published"):
            await office.curator.publish(office.ports, 1)
        await publish_until(office, TEXTS)

    office = Office(faults=Faults(delay_max=6.0)).run(script)
    check(office, TEXTS)
    assert len(office.chain.truth.publications) == 2


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(10))
def test_death_at_any_write_loses_no_text_and_publishes_none_twice(
    dies_at: int, after: bool
) -> None:
    office = Office(seed=dies_at)
    office.disk.dies_at, office.disk.after = dies_at, after

    async def script(office: Office) -> None:
        await give(office, *TEXTS[:3])
        if not office.deaths:
            await office.curator.publish(office.ports, 1)
        await give(office, TEXTS[3])
        await publish_until(office, TEXTS)

    office.run(script)
    assert office.deaths == (dies_at < office.disk.writes)
    check(office, TEXTS)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 3.0, 7.0]),
    st.none() | st.integers(0, 12),
    st.booleans(),
    st.integers(0, 2),
)
def test_many_schedules(
    seed: int, delay: float, dies_at: int | None, after: bool, refusals: int
) -> None:
    office = Office(seed, Faults(delay_max=delay))
    office.disk.dies_at, office.disk.after = dies_at, after
    office.chain.refusals = refusals

    async def script(office: Office) -> None:
        for text in TEXTS:
            await give(office, text)
            await trio.sleep(office.world.late())
            with suppress(Refused):
                await office.curator.publish(office.ports, 1)
        await publish_until(office, TEXTS)

    office.run(script)
    check(office, TEXTS)


def test_a_refused_publication_is_tried_again() -> None:
    """The same shard at the same place, when the operator has staked what was missing."""
    office = Office()
    office.chain.refusals = 3
    check(office.run(simple), TEXTS)
    assert office.chain.refusals == 0


def test_duplicates_are_refused_with_evidence_at_every_stage() -> None:
    """While they wait, when they are published, when they are final, and after a restart."""

    async def refused(office: Office, where: str) -> None:
        for _ in range(2):
            with pytest.raises(Rejected, match=f"contributor 1 .*{where}") as caught:
                await office.curator.accept(office.ports, office.offer(TEXTS[1], who=2))
            assert caught.value.rule is Rule.DUPLICATE
            office.curator = Curator()  # it has no memory of its own

    async def script(office: Office) -> None:
        await give(office, *TEXTS[:2])
        await refused(office, "pending")
        await office.curator.publish(office.ports, 1)
        await refused(office, "pending")
        await until(office, lambda: office.ledger.shards.get(1))
        await refused(office, "shard 0, document 1")
        await publish_until(office, TEXTS[:2])
        await refused(office, "shard 0, document 1")

    check(Office().run(script), TEXTS[:2])


def test_a_duplicate_is_still_known_to_a_process_that_starts_later() -> None:
    office = Office().run(simple)
    office.restart()

    async def script(office: Office) -> None:
        with pytest.raises(Rejected, match="shard 0, document 3") as caught:
            await office.curator.accept(office.ports, office.offer(TEXTS[3], who=2))
        assert caught.value.rule is Rule.DUPLICATE

    office.run(script)
    check(office, TEXTS)


def test_of_two_who_send_the_same_at_once_one_is_refused() -> None:
    """The first is paid for it; the second must not take his place unheard."""
    heard = list[str]()

    async def one(office: Office, who: int) -> None:
        done = await accepted(office, TEXTS[0], who)
        heard.append(f"accepted {done.contribution.contributor}" if done else "refused")

    async def script(office: Office) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, office, 1)
            nursery.start_soon(one, office, 2)
        await publish_until(office, TEXTS[:1])

    office = Office().run(script)
    check(office, TEXTS[:1])
    (row,) = office.chain.standing()
    assert sorted(heard) == [f"accepted {office.table(row)[0].contributor}", "refused"]


@pytest.mark.parametrize("shards", [1, 2])
def test_what_a_slashed_shard_held_is_published_again(shards: int) -> None:
    """Also what stood in a voided one behind it; the finalization has another key then."""

    async def script(office: Office) -> None:
        for number in range(shards):
            await give(office, TEXTS[2 * number], TEXTS[2 * number + 1])
            await office.curator.publish(office.ports, 1)
            await until(office, lambda n=number: len(office.ledger.shards.get(1, [])) > n)
        office.chain.submit(address_of(STRANGER), "slash", Slash(1, 0), {})
        await until(office, lambda: not office.chain.standing())
        await publish_until(office, TEXTS[: 2 * shards])

    office = Office(faults=Faults()).run(script)
    check(office, TEXTS[: 2 * shards], slashed=1)
    assert len(office.chain.truth.publications) == shards + 1


def test_a_text_is_kept_until_its_own_shard_is_final() -> None:
    """When the first shard is final, the second can still be slashed."""

    async def script(office: Office) -> None:
        for number in range(2):
            await give(office, TEXTS[number])
            await office.curator.publish(office.ports, 1)
            await until(office, lambda n=number: len(office.ledger.shards.get(1, [])) > n)
            await trio.sleep(PARAMETERS.datanet_window / 2)
        await until(office, lambda: office.chain.standing()[0].status is Status.FINAL)
        await until(office, lambda: len(pending_of(office.ports, 1)) < 2)
        office.chain.submit(address_of(STRANGER), "slash", Slash(1, 1), {})
        await until(office, lambda: len(office.chain.standing()) < 2)
        await publish_until(office, TEXTS[:2])

    check(Office(faults=Faults()).run(script), TEXTS[:2], slashed=1)


def test_shards_of_the_same_place_in_two_datanets_both_become_final() -> None:
    async def script(office: Office) -> None:
        await office.curator.create(office.ports, "verses")
        await until(office, lambda: len(office.ledger.datanets) > 2)
        for datanet in (1, 3):
            await office.curator.accept(office.ports, office.offer(TEXTS[datanet], 1, datanet))
            await office.curator.publish(office.ports, datanet)
        await until(office, lambda: office.ledger.final_shards(1))
        await until(office, lambda: office.ledger.final_shards(3))
        await until(office, lambda: not list(office.disk.scan(PREFIX)))

    office = Office().run(script)
    check(office, [TEXTS[1]])


def test_only_the_curator_of_a_known_datanet_accepts() -> None:
    async def script(office: Office) -> None:
        for datanet, error in ((2, Refused), (9, Temporary)):
            with pytest.raises(error):
                await office.curator.accept(office.ports, office.offer(TEXTS[0], datanet=datanet))
            with pytest.raises(NodeError):
                await office.curator.publish(office.ports, datanet)
        with pytest.raises(Refused, match="no contribution is pending"):
            await office.curator.publish(office.ports, 1)

    office = Office().run(script)
    assert not office.disk.rows


def test_a_datanet_is_created_once_for_the_fee_of_the_chain() -> None:
    async def script(office: Office) -> None:
        for _ in range(2):
            await office.curator.create(office.ports, "verses")
        await until(office, lambda: len(office.ledger.datanets) > 2)
        await office.curator.create(office.ports, "verses")
        await trio.sleep(10 * BLOCK)

    office = Office().run(script)
    assert [row.name for row in office.chain.truth.datanets.values()].count("verses") == 1
