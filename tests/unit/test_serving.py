"""A host keeps the voucher before it generates and the receipt before it delivers."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from openlora.pricing import NotThePayer, PaymentRequired, Price, SignedVoucher
from openlora.request import Delta, Failed, Finished, Request
from openlora.serving import Ask, Completed, UnknownModel
from protocol import events as e
from protocol.errors import Temporary
from protocol.ledger import Ledger
from protocol.merkle import TEXT, byte_root
from protocol.messages import PaidAnswer
from protocol.receipt import Voucher
from protocol.signature import address_of, recover, sign
from roles.answers import Answers, backed, check_signature
from roles.ports import Ports
from roles.serving import ACCOUNT, SAID, Serving
from tests.sim.world import MemoryStore, Signer, VirtualClock, inline

HOST, PAYER = b"\x07" * 32, b"\x08" * 32  # secrets
US, THEM = address_of(HOST), address_of(PAYER)
BASE, CAT, DOG = b"\xba" * 32, b"\xca" * 32, b"\xd0" * 32
PRICE = Price(input=10**13, output=3 * 10**13, platform=10**12)
DEPOSIT = 10**15


class Crash(Exception):
    """The process dies here."""


@dataclass
class Disk(MemoryStore):
    """Writes down the order of things; dies at write number `dies_at`, before or after it."""

    log: list[str] = field(default_factory=list)
    rows: dict[bytes, bytes] = field(default_factory=dict)
    dies_at: int | None = None
    after: bool = False

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        assert sync, "money must be on disk"
        number = sum(entry.startswith("write") for entry in self.log)
        what = " ".join(sorted({key.split(b"/")[1].decode() for key in puts}))
        dies = number == self.dies_at
        if not dies or self.after:
            super().write(puts)
        self.log.append(f"write {what}")
        if dies:
            raise Crash


class Tokens:
    """An engine's tokenizer: a token is a letter."""

    context = 200

    def render(self, messages: Any) -> str:
        return "".join(message["content"] for message in messages)

    def tokens_of(self, text: str) -> list[int]:
        return list(text.encode())


@dataclass
class Generator:
    """An engine that says the prompt backwards, a letter at a time."""

    log: list[str]
    engine: Any = field(default_factory=Tokens)
    hold: trio.Event | None = None  # generation waits for it after its first letter
    ends: Callable[[str], Any] | None = None  # another last event
    full: bool = False
    running: int = 0

    @asynccontextmanager
    async def answer(self, request: Request) -> AsyncIterator[Any]:
        if self.full:
            raise Temporary("the queue is full")
        self.log.append("generate")
        send, receive = trio.open_memory_channel[Any](1)
        text = request.prompt[::-1][: request.sampling.max_tokens]

        async def speak() -> None:
            with send:
                for letter in text:
                    await send.send(Delta(letter))
                    if self.hold is not None:
                        await self.hold.wait()
                tokens = tuple(request.prompt.encode()), tuple(text.encode())
                full = len(text) == request.sampling.max_tokens
                last = Finished("length" if full else "stop", text, *tokens)
                await send.send(self.ends(text) if self.ends is not None else last)

        self.running += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(speak)
                yield receive
                nursery.cancel_scope.cancel()
        finally:
            self.running -= 1


@dataclass
class View:
    ledger: Ledger


class Desk:
    """A host whose process can die and start again, and a client who signs for it."""

    def __init__(self, deposit: int = DEPOSIT) -> None:
        self.disk = Disk()
        self.ledger = Ledger(chain_id=7, contracts={"InferenceEscrow": b"\xe5" * 20})
        for event in (
            e.NodeRegistered(US, 4, 0, b"peer", ""),
            e.Deposited(THEM, US, deposit, deposit),
            *(
                e.AdapterRegistered(adapter, BASE, US, 1, 1, bytes(32), 1, bytes(32), bytes(32),
                                    0, name)
                for adapter, name in ((CAT, "cat"), (DOG, "dog"))
            ),
        ):  # fmt: skip
            self.ledger.apply(event)
        self.start()

    def start(self) -> None:
        ports: Any = Ports(
            gossip=None, bodies=None, chain=View(self.ledger), store=self.disk,  # type: ignore[arg-type]
            signer=Signer(HOST), compute=inline, clock=VirtualClock(),
        )  # fmt: skip
        self.generator = Generator(self.disk.log)
        self.serving = Serving(ports, self.generator, BASE, PRICE)  # type: ignore[arg-type]
        self.serving.ready.update({CAT: 1, DOG: 1})

    def signed(self, cumulative: int, adapter: bytes = CAT, secret: bytes = PAYER) -> SignedVoucher:
        voucher = Voucher(THEM, US, adapter, cumulative)
        digest = voucher.digest(self.serving.domain)
        signature = sign(secret, digest)
        return SignedVoucher(voucher, signature, recover(digest, signature))

    async def voucher(self, asked: Ask) -> SignedVoucher:
        quote = await self.serving.quote(asked, THEM)
        return self.signed(quote.required, {"cat": CAT, "dog": DOG}[asked.model])

    async def hear(self, asked: Ask, signed: SignedVoucher) -> list[Any]:
        async with self.serving.answer(asked, signed) as events:
            return [event async for event in events]

    @property
    def said(self) -> list[PaidAnswer]:
        return [PaidAnswer.decode(value) for _, value in self.disk.scan(SAID)]

    def account(self, adapter: bytes = CAT) -> Any:
        return self.serving.account(THEM, adapter)


def ask(prompt: str = "tell me", model: str = "cat", tokens: int = 5) -> Ask:
    return Ask(model=model, prompt=prompt, max_tokens=tokens, temperature=0, top_p=10**6)


def check_books(desk: Desk, answers: int) -> None:
    """Each answer has one receipt, and the receipts tile what was served."""
    said = desk.said
    assert len(said) == answers
    assert [item.receipt.nonce for item in said] == list(range(answers))
    end = 0
    for item in said:
        check_signature(item, desk.ledger)
        assert backed(item.receipt, desk.ledger), "or no prover would attribute it"
        assert item.receipt.cumulative - item.receipt.amount == end
        end = item.receipt.cumulative
    account = desk.account()
    assert account.served == end <= account.best.voucher.cumulative
    assert not account.reserved


async def test_the_voucher_is_kept_before_and_the_receipt_before_the_client_hears() -> None:
    desk = Desk()
    signed = await desk.voucher(ask())
    async with desk.serving.answer(ask(), signed) as events:
        async for event in events:
            desk.disk.log.append(type(event).__name__)

    letters = ["Delta"] * 5
    log = [entry for entry in desk.disk.log if entry != "Delta"]
    assert desk.disk.log.count("Delta") == len(letters)
    assert log == ["write account", "generate", "write account paid said", "Completed"]
    assert desk.disk.rows[ACCOUNT + THEM + CAT] == desk.account().encode()
    check_books(desk, 1)


async def test_an_answer_costs_what_was_generated_and_its_receipt_fits_it() -> None:
    desk = Desk()
    *deltas, done = await desk.hear(ask(), await desk.voucher(ask()))

    assert isinstance(done, Completed)
    assert "".join(delta.text for delta in deltas) == done.text == "em ll"
    assert done.receipt.amount == PRICE.fee(7, 5)
    assert done.receipt.output_root == byte_root(TEXT, b"em ll")
    assert (done.receipt.payer, done.receipt.host, done.receipt.adapter) == (THEM, US, CAT)
    assert recover(done.receipt.digest(desk.serving.domain), done.signature) == US
    assert desk.serving.unsaid.is_set(), "the gossip is told"


async def conversation(desk: Desk, questions: list[Ask], heard: list[Completed]) -> None:
    """A client who asks again, with the same voucher, whenever the host dies under him."""
    for asked in questions:
        signed: SignedVoucher | None = await desk.voucher(asked)
        while signed is not None:
            try:
                events = await desk.hear(asked, signed)
                heard += [event for event in events if isinstance(event, Completed)]
                signed = None
            except* Crash:
                desk.start()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(6))
async def test_a_crash_at_any_write_loses_nothing_and_nobody_pays_twice(
    dies_at: int, after: bool
) -> None:
    desk, heard = Desk(), list[Completed]()
    desk.disk.dies_at, desk.disk.after = dies_at, after
    await conversation(desk, [ask("one"), ask("two"), ask("three")], heard)

    assert [done.text for done in heard] == ["eno", "owt", "eerht"]
    assert len(desk.disk.log) > dies_at
    check_books(desk, 3)
    assert [item.receipt for item in desk.said] == [done.receipt for done in heard]
    answers = Answers()
    for item in desk.said:
        answers._add(item.receipt.digest(desk.serving.domain), item)
    assert not answers.contradictions, "a host must never convict himself"


async def test_a_paid_answer_is_given_again_for_the_same_voucher() -> None:
    """Also after a restart, and without a second answer or a second charge."""
    desk = Desk()
    signed = await desk.voucher(ask())
    first = (await desk.hear(ask(), signed))[-1]
    generated = desk.disk.log.count("generate")

    for _ in range(2):
        again = await desk.hear(ask(), signed)
        assert again == [Delta(first.text), first]
        desk.start()
    assert desk.disk.log.count("generate") == generated
    check_books(desk, 1)


async def test_nobody_else_hears_what_was_paid() -> None:
    """The payer's name on a voucher that another signed opens nothing, nor does another price."""
    desk = Desk()
    signed = await desk.voucher(ask())
    await desk.hear(ask(), signed)
    stolen = desk.signed(signed.voucher.cumulative, secret=b"\x09" * 32)
    with pytest.raises(NotThePayer):
        await desk.hear(ask(), stolen)
    with pytest.raises(PaymentRequired):
        await desk.hear(ask("tell me more"), signed)
    with pytest.raises(PaymentRequired):
        await desk.hear(ask(), desk.signed(signed.voucher.cumulative - 1))
    with pytest.raises(UnknownModel):
        await desk.hear(ask(model="base"), signed)
    check_books(desk, 1)


async def test_the_same_question_again_is_paid_again_by_a_higher_voucher() -> None:
    desk = Desk()
    one = (await desk.hear(ask(), await desk.voucher(ask())))[-1]
    two = (await desk.hear(ask(), await desk.voucher(ask())))[-1]
    assert two.text == one.text
    assert two.receipt.cumulative == 2 * one.receipt.amount
    check_books(desk, 2)


async def test_a_client_who_leaves_pays_nothing_and_stops_the_engine() -> None:
    desk = Desk()
    desk.generator.hold = trio.Event()
    with trio.CancelScope() as scope:
        async with desk.serving.answer(ask(), await desk.voucher(ask())) as events:
            assert await events.receive() == Delta("e")
            assert desk.account().reserved == (PRICE.fee(7, 5),)
            assert desk.generator.running == 1
            scope.cancel()
            await trio.sleep_forever()
    assert (desk.account().reserved, desk.account().served) == ((), 0)
    assert desk.generator.running == 0
    assert not desk.said

    async with desk.serving.answer(ask(), await desk.voucher(ask())):
        pass  # or just turns away
    assert desk.account().reserved == ()


@pytest.mark.parametrize(
    "last", [lambda text: Failed("broken"), lambda text: Finished("stop", "", (1,), (2,))]
)
async def test_a_failed_or_empty_answer_is_free(last: Callable[[str], Any]) -> None:
    desk = Desk()
    desk.generator.ends = last
    heard = await desk.hear(ask(), await desk.voucher(ask()))
    assert isinstance(heard[-1], Failed)
    assert (desk.account().reserved, desk.account().served, desk.said) == ((), 0, [])


async def test_a_full_engine_is_told_to_whoever_enters_and_keeps_no_reservation() -> None:
    """As `node.http.openai.Serving` promises: a plain `Temporary`, before any event."""
    desk = Desk()
    desk.generator.full = True
    with pytest.raises(Temporary, match="full"):
        await desk.hear(ask(), await desk.voucher(ask()))
    assert (desk.account().reserved, desk.account().served) == ((), 0)

    desk.generator.full = False
    assert isinstance((await desk.hear(ask(), await desk.voucher(ask())))[-1], Completed)
    check_books(desk, 1)


async def test_answers_at_once_are_all_covered_by_their_vouchers() -> None:
    desk = Desk()
    desk.generator.hold = trio.Event()
    heard = list[Any]()

    async def one(asked: Ask, signed: SignedVoucher) -> None:
        heard.append((await desk.hear(asked, signed))[-1])

    async with trio.open_nursery() as nursery:
        first = await desk.voucher(ask("one"))
        nursery.start_soon(one, ask("one"), first)
        await wait_all_tasks_blocked()
        with pytest.raises(PaymentRequired):
            await desk.hear(ask("two"), first)
        nursery.start_soon(one, ask("two"), await desk.voucher(ask("two")))
        await wait_all_tasks_blocked()
        assert len(desk.account().reserved) == 2
        desk.generator.hold.set()
    assert sorted(done.text for done in heard) == ["eno", "owt"]
    check_books(desk, 2)


async def test_each_of_two_answers_at_once_is_given_again_for_its_own_voucher() -> None:
    """Whichever was done first, and after a restart: nobody pays for a broken connection."""
    desk = Desk()
    desk.generator.hold = trio.Event()
    asked = [ask("one", tokens=50), ask("two", tokens=50)]
    vouchers, first = list[SignedVoucher](), dict[str, Any]()

    async def one(question: Ask, signed: SignedVoucher) -> None:
        first[question.prompt or ""] = (await desk.hear(question, signed))[-1]

    async with trio.open_nursery() as nursery:
        for question in asked:
            vouchers.append(await desk.voucher(question))
            nursery.start_soon(one, question, vouchers[-1])
            await wait_all_tasks_blocked()
        desk.generator.hold.set()
    for _ in range(2):
        for question, signed in zip(asked, vouchers, strict=True):
            assert (await desk.hear(question, signed))[-1] == first[question.prompt or ""]
        desk.start()
    check_books(desk, 2)


async def test_a_voucher_over_what_is_needed_also_pays_once() -> None:
    desk = Desk()
    signed = desk.signed(DEPOSIT)
    done = (await desk.hear(ask(), signed))[-1]
    assert (await desk.hear(ask(), signed))[-1] == done
    assert (await desk.hear(ask("tell more"), signed))[-1] != done
    check_books(desk, 2)


async def test_one_deposit_backs_what_both_accounts_promise_and_no_more() -> None:
    worst = PRICE.fee(7, 5)
    desk = Desk(deposit=2 * worst - 1)
    assert desk.serving.backed(THEM, CAT) == desk.serving.backed(THEM, DOG) == 2 * worst - 1
    await desk.hear(ask(), await desk.voucher(ask()))
    assert desk.serving.backed(THEM, DOG) == worst - 1
    with pytest.raises(PaymentRequired, match="escrow"):
        await desk.hear(ask(model="dog"), await desk.voucher(ask(model="dog")))

    desk.start()  # what was promised is remembered
    with pytest.raises(PaymentRequired, match="escrow"):
        await desk.hear(ask(model="dog"), await desk.voucher(ask(model="dog")))

    desk.ledger.apply(e.Redeemed(THEM, US, CAT, worst, worst, 0, 0, 0, 0, worst))
    assert desk.serving.backed(THEM, CAT) == 2 * worst - 1, "redeemed, and what is left"
    assert desk.serving.backed(THEM, DOG) == worst - 1, "redeeming makes no new money"
    desk.ledger.apply(e.Deposited(THEM, US, 1, worst))
    assert isinstance((await desk.hear(ask(model="dog"), desk.signed(worst, DOG)))[-1], Completed)

    desk.ledger.apply(e.ThawStarted(THEM, US, 1, 9))
    assert desk.serving.backed(THEM, DOG) == worst - 1, "what thaws backs nothing new"


async def test_only_loaded_adapters_of_the_chain_are_offered() -> None:
    desk = Desk()
    assert [card.name for card in desk.serving.models()] == ["cat", "dog"]
    desk.serving.ready.pop(DOG)
    desk.serving.ready[b"\x0f" * 32] = 1  # not on chain, or no longer after a reorg
    assert [card.name for card in desk.serving.models()] == ["cat"]
    with pytest.raises(UnknownModel):
        await desk.serving.quote(ask(model="dog"), None)
