"""A host serves what it can get, is paid whatever it cannot, and says its answers again."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from openlora.account import Account
from openlora.pricing import SignedVoucher
from protocol import events as e
from protocol.batch import Text
from protocol.calls import Redeem, RegisterBase
from protocol.errors import Malformed, Refused, Temporary
from protocol.ledger import Ledger
from protocol.merkle import TEXT, Commitment, byte_root
from protocol.messages import PaidAnswer
from protocol.parameters import Parameters
from protocol.receipt import Receipt, Voucher
from roles.host import (
    LOADS_MAX,
    RESAID_AGE_MAX,
    RESAID_MAX,
    RESAY_SECONDS,
    RETRY_SECONDS,
    TROUBLE_MAX,
    Host,
)
from roles.intents import RETRY_SECONDS as ATTEMPT_SECONDS
from roles.ports import Ports
from roles.serving import DEADLINE_SECONDS
from tests.sim.chain import SimOutcome
from tests.sim.world import MemoryStore, Signer, VirtualClock, inline

US, BASE, FEE, BYTES_MAX = Signer(b"\x07" * 32), b"\xba" * 32, 5, 1_000
BLOCK = 2.0
PAYER = b"\x08" * 20


def adapter(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Post:
    """All that the host meets: a chain, bodies that fail as `fails` says, an engine, gossip."""

    live = True

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.ledger.apply(e.ParametersProposed(1, 0, Parameters(model_fee=FEE)))
        self.ledger.apply(e.BaseRegistered(BASE, US.address, "base"))
        self.fails: dict[bytes, Exception | trio.Event] = {}
        self.fetched: list[bytes] = []
        self.fetching = self.most = 0
        self.loaded: list[bytes] = []
        self.intents: dict[str, Any] = {}
        self.refuses = ""
        self.said: list[tuple[float, int]] = []
        self.accounts: list[tuple[bytes, bytes, Account]] = []
        self.answers: dict[int, PaidAnswer] = {}
        serving: Any = SimpleNamespace(
            base=BASE, ready={}, unsaid=trio.Event(), accounts=lambda: self.accounts,
            dispatch=SimpleNamespace(run=trio.sleep_forever, load=self.load),
            answered=0, said=self.answers.get,
        )  # fmt: skip
        jobs: Any = SimpleNamespace(run=self.idle)
        self.serving: Any = serving
        self.host = Host(serving, jobs, "base", BYTES_MAX)
        self.ports = Ports(
            gossip=self, bodies=self, chain=self, store=MemoryStore(), signer=US,  # type: ignore[arg-type]
            compute=inline, clock=VirtualClock(),
        )  # fmt: skip

    async def idle(self, ports: Ports) -> None:
        await trio.sleep_forever()

    def register(self, number: int, size: int = 10, base: bytes = BASE) -> bytes:
        hashes = bytes(32), bytes(32)
        self.ledger.apply(
            e.AdapterRegistered(
                adapter(number), base, US.address, 1, 1, adapter(number), size, *hashes, 0,
                f"model-{number}",
            )
        )  # fmt: skip
        return adapter(number)

    # ------------------------------------------------------------ chain

    def heads(self) -> Any:
        send, receive = trio.open_memory_channel[int](1)
        self.readers.append(send)
        return receive

    async def intend(self, key: str, call: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.intents.setdefault(key, call)

    def outcome(self, key: str) -> SimOutcome | None:
        return SimOutcome(False, reason=self.refuses) if self.refuses else None

    def pending(self, key: str) -> bool:
        return key in self.intents and not self.refuses

    # ------------------------------------------------------------ bodies, engine, gossip

    async def fetch_file(self, commitment: Commitment) -> Path:
        self.fetched.append(commitment.root)
        self.fetching += 1
        self.most = max(self.most, self.fetching)
        try:
            await trio.sleep(0.1)
            match self.fails.get(commitment.root):
                case trio.Event() as event:
                    await event.wait()
                case Exception() as error:
                    raise error
        finally:
            self.fetching -= 1
        return Path("/weights")

    async def load(self, name: bytes, path: Path) -> None:
        await trio.lowlevel.checkpoint()
        self.loaded.append(name)

    async def publish(self, message: PaidAnswer) -> None:
        await trio.lowlevel.checkpoint()
        self.said.append((trio.current_time(), message.receipt.nonce))

    def answer(self, age: float = 0) -> None:
        number = self.serving.answered
        deadline = int(trio.current_time() - age) + DEADLINE_SECONDS
        self.answers[number] = paid(number, deadline)
        self.serving.answered += 1
        self.serving.unsaid.set()

    # ------------------------------------------------------------ time

    async def run(self, seconds: float, meanwhile: Callable[[], Any] | None = None) -> None:
        self.readers: list[trio.MemorySendChannel[int]] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.host.run, self.ports)
            if meanwhile:
                nursery.start_soon(meanwhile)
            end = trio.current_time() + seconds
            while trio.current_time() < end:
                await trio.sleep(BLOCK)
                self.ledger.begin(self.ledger.number + 1, int(trio.current_time()))
                for reader in self.readers:
                    with suppress(trio.WouldBlock):
                        reader.send_nowait(0)
            nursery.cancel_scope.cancel()


def paid(number: int, deadline: int) -> PaidAnswer:
    prompt, text = b"ask", b"words"
    receipt = Receipt(
        request=bytes(32), base=BASE, adapter=adapter(1), sampling=bytes(32),
        prompt_root=byte_root(TEXT, prompt), prompt_size=len(prompt),
        output_root=byte_root(TEXT, text), output_size=len(text), leaves_root=bytes(32),
        prompt_tokens=1, output_tokens=1, amount=1, cumulative=1, seed=0, fingerprint=0,
        nonce=number, deadline=deadline, host=US.address, payer=PAYER,
    )  # fmt: skip
    return PaidAnswer(receipt, bytes(65), Text(prompt, text))


@pytest.fixture
def post() -> Post:
    return Post()


async def test_adapters_of_our_base_are_fetched_verified_and_served(
    autojump_clock: object, post: Post
) -> None:
    ours = post.register(1, size=BYTES_MAX)
    post.register(2, base=b"\x01" * 32)
    await post.run(10)
    assert post.fetched == post.loaded == [ours]
    assert list(post.serving.ready) == [ours]
    assert post.host.trouble == {}


@pytest.mark.parametrize("size", [0, BYTES_MAX + 1, 1 << 60])
async def test_weights_of_an_absurd_size_are_refused_in_a_sentence(
    autojump_clock: object, post: Post, size: int
) -> None:
    """`AdapterRecord.weights` raises for the first and last of these."""
    post.register(1, size)
    good = post.register(2)
    await post.run(RETRY_SECONDS * 3)
    assert post.fetched == list(post.serving.ready) == [good]
    assert post.host.trouble == {
        "adapter model-1": f"its weights have {size} bytes, host.adapter_bytes_max is {BYTES_MAX}"
    }


@pytest.mark.parametrize("error", [Temporary("nobody has it"), Malformed("a wrong size")])
async def test_an_adapter_that_nobody_serves_stops_nothing_and_is_tried_again(
    autojump_clock: object, post: Post, error: Exception
) -> None:
    bad, good = post.register(1), post.register(2)
    post.fails[bad] = error
    owe(post)

    async def later() -> None:
        await trio.sleep(10)
        assert list(post.serving.ready) == [good]
        assert post.host.trouble == {"adapter model-1": str(error)}
        assert len(post.intents) == 1, "and redeems"
        del post.fails[bad]

    await post.run(RETRY_SECONDS + 10, later)
    assert set(post.serving.ready) == {bad, good}
    assert post.fetched.count(bad) == 2
    assert post.host.trouble == {}


async def test_a_slow_adapter_holds_up_neither_money_nor_the_other_adapters(
    autojump_clock: object, post: Post
) -> None:
    slow, good = post.register(1), post.register(2)
    post.fails[slow] = trio.Event()
    owe(post)

    async def later() -> None:
        await trio.sleep(9)
        assert list(post.serving.ready) == [good]
        assert len(post.intents) == 1
        assert post.fetched.count(slow) == 1, "it is under way"

    await post.run(10, later)
    post.fails.clear()
    await post.run(10)  # the role was cancelled and runs again
    assert set(post.serving.ready) == {slow, good}


async def test_a_refused_adapter_is_final(autojump_clock: object, post: Post) -> None:
    bad = post.register(1)
    post.fails[bad] = Refused("its rank is 4096")
    await post.run(RETRY_SECONDS * 3)
    assert post.fetched == [bad]
    assert post.host.trouble == {"adapter model-1": "its rank is 4096"}


async def test_adapters_that_nobody_serves_do_not_starve_the_others_nor_fill_the_memory(
    autojump_clock: object,
    post: Post,
) -> None:
    for number in range(1, 201):  # more than can be asked for before the first are due again
        post.fails[post.register(number)] = Temporary("nobody has it")
    good = post.register(201)
    await post.run(RETRY_SECONDS * 2)
    assert list(post.serving.ready) == [good]
    assert post.most == LOADS_MAX
    assert len(post.host.trouble) == TROUBLE_MAX


# ---------------------------------------------------------------- money


def owe(post: Post, served: int = 7) -> None:
    voucher = Voucher(PAYER, US.address, adapter(2), 10)
    best = SignedVoucher(voucher, bytes(65), PAYER)
    post.accounts = [(PAYER, adapter(2), replace(Account(), served=served, best=best))]


async def test_a_voucher_is_redeemed_once_and_a_refusal_is_tried_again(
    autojump_clock: object, post: Post
) -> None:
    owe(post)
    post.refuses = "InsufficientDeposit"
    await post.run(ATTEMPT_SECONDS * 3 - 2 * BLOCK)
    assert len(post.intents) == 3
    assert {type(call) for call in post.intents.values()} == {Redeem}
    assert list(post.host.trouble.values()) == ["InsufficientDeposit"]

    post.refuses = ""
    await post.run(ATTEMPT_SECONDS * 3)
    assert len(post.intents) <= 4
    assert post.host.trouble == {}

    post.ledger.redeemed[PAYER, US.address, adapter(2)] = 10
    count = len(post.intents)
    await post.run(ATTEMPT_SECONDS * 2)
    assert len(post.intents) == count


async def test_the_base_is_registered_again_after_a_refusal(
    autojump_clock: object, post: Post
) -> None:
    post.ledger.bases.clear()
    post.refuses = "too poor"
    await post.run(ATTEMPT_SECONDS * 2 - 2 * BLOCK)
    assert list(post.intents.values()) == [RegisterBase(BASE, "base", FEE)] * 2
    assert post.host.trouble == {"base model": "too poor"}


# ---------------------------------------------------------------- gossip


async def test_the_newest_answers_are_said_again_and_again(
    autojump_clock: object, post: Post
) -> None:
    for _ in range(RESAID_MAX + 1):
        post.answer()
    before = trio.current_time()
    await post.run(RESAY_SECONDS * 2 + 10)
    numbers = [number for _, number in post.said]
    assert numbers == list(range(1, RESAID_MAX + 1)) * 3
    assert sorted({round((at - before) / RESAY_SECONDS) for at, _ in post.said}) == [0, 1, 2]


async def test_answers_that_are_too_old_are_left_out(autojump_clock: object, post: Post) -> None:
    post.answer(RESAID_AGE_MAX + 10)
    post.answer(RESAID_AGE_MAX - 10)
    await post.run(4)
    assert [number for _, number in post.said] == [1]


async def test_a_new_answer_is_said_at_once_and_once(autojump_clock: object, post: Post) -> None:
    post.answer()

    async def later() -> None:
        await trio.sleep(10.5)
        post.answer()
        post.answer()

    before = trio.current_time()
    await post.run(RESAY_SECONDS / 2, later)
    assert [(at - before, number) for at, number in post.said] == [(0, 0), (10.5, 1), (10.5, 2)]
