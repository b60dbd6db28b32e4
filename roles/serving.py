"""Answers that are paid for: vouchers kept before, receipts after, each durable in its turn."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from openlora.account import Account
from openlora.dispatch import Dispatch
from openlora.pricing import Price, Quote, SignedVoucher, required
from openlora.receipts import receipt_of
from openlora.request import Delta, Failed, Finished, Request
from openlora.serving import Ask, Card, Completed, UnknownModel, request_of
from protocol.batch import Text
from protocol.codec import uint
from protocol.ledger import AdapterRecord
from protocol.messages import PaidAnswer
from protocol.receipt import Voucher
from protocol.signature import Domain
from roles.answers import receipt_domain
from roles.ports import Ports

ACCOUNT, SAID = b"host/account/", b"host/said/"
PAID = b"host/paid/"  # the cumulative of the voucher that an answer was asked with
DEADLINE_SECONDS = 30 * 86_400  # by which a receipt must be attributed
EVENTS_MAX = 4096  # of one answer between the engine and a slow client

Event = Delta | Completed | Failed


@dataclass
class Serving:
    """The host's side of one paid answer (`node.http.openai.Serving`)."""

    ports: Ports
    dispatch: Dispatch
    base: bytes
    price: Price
    ready: dict[bytes, int] = field(default_factory=dict)  # adapter -> unix seconds of loading
    unsaid: trio.Event = field(default_factory=trio.Event)
    _accounts: dict[bytes, Account] = field(default_factory=dict)
    _said: dict[tuple[bytes, bytes], list[PaidAnswer]] = field(default_factory=dict)
    _paid: dict[int, int] = field(default_factory=dict)  # by nonce, as under PAID
    _nonce: int = 0

    def __post_init__(self) -> None:
        for key, value in self.ports.store.scan(ACCOUNT):
            self._accounts[key[len(ACCOUNT) :]] = Account.decode(value)
        for _, value in self.ports.store.scan(SAID):
            said = PaidAnswer.decode(value)
            paid = self.ports.store.get(_key(PAID, said.receipt.nonce))
            self._remember(said, int.from_bytes(paid or b"", "big"))

    @property
    def domain(self) -> Domain:
        return receipt_domain(self.ports.chain.ledger)

    @property
    def address(self) -> bytes:
        return self.ports.signer.address

    @property
    def answered(self) -> int:
        """How many answers there are; their numbers lead to them."""
        return self._nonce

    def said(self, number: int) -> PaidAnswer | None:
        value = self.ports.store.get(_key(SAID, number))
        return PaidAnswer.decode(value) if value is not None else None

    def models(self) -> Sequence[Card]:
        return [
            Card(name=row.name, adapter=row.adapter, base=row.base, price=self.price, created=at)
            for row, at in self._offered()
        ]

    def _offered(self) -> list[tuple[AdapterRecord, int]]:
        adapters = self.ports.chain.ledger.adapters
        return [(adapters[name], at) for name, at in self.ready.items() if name in adapters]

    def adapter_of(self, ask: Ask) -> AdapterRecord:
        for row, _ in self._offered():
            if row.name == ask.model:
                return row
        raise UnknownModel(f"the model {ask.model!r} is not served here")

    async def quote(self, ask: Ask, payer: bytes | None) -> Quote:
        row = self.adapter_of(ask)
        request, tokens = await self._request(ask, row)
        used = self.account(payer, row.adapter).cumulative if payer else 0
        worst = request.sampling.max_tokens
        return Quote(
            price=self.price,
            input_tokens=tokens,
            output_tokens_max=worst,
            cumulative=used,
            required=required(used, self.price, tokens, worst),
        )

    async def _request(self, ask: Ask, row: AdapterRecord) -> tuple[Request, int]:
        return await self.ports.compute(request_of, ask, row.adapter, self.dispatch.engine)

    def account(self, payer: bytes, adapter: bytes) -> Account:
        return self._accounts.get(payer + adapter, Account())

    def accounts(self) -> list[tuple[bytes, bytes, Account]]:
        """(payer, adapter, account) of everybody who ever paid here."""
        return [(key[:20], key[20:], account) for key, account in self._accounts.items()]

    def backed(self, payer: bytes, adapter: bytes) -> int:
        """The highest cumulative of this account that the payer's deposit can still redeem."""
        ledger, host = self.ports.chain.ledger, self.address
        elsewhere = sum(
            max(0, other.best.voucher.cumulative - ledger.redeemed.get((who, host, name), 0))
            for who, name, other in self.accounts()
            if who == payer and name != adapter and other.best
        )
        redeemed = ledger.redeemed.get((payer, host, adapter), 0)
        return redeemed + max(0, ledger.available(payer, host) - elsewhere)

    @asynccontextmanager
    async def answer(
        self, ask: Ask, signed: SignedVoucher
    ) -> AsyncIterator["trio.MemoryReceiveChannel[Event]"]:
        """See `node.http.openai.Serving.answer`."""
        row, payer = self.adapter_of(ask), signed.voucher.payer
        request, tokens = await self._request(ask, row)
        if (again := self._paid_before(request, signed)) is not None:
            send, receive = trio.open_memory_channel[Event](2)
            await send.send(Delta(again.text))
            await send.send(again)
            send.close()
            yield receive
            return
        before = self.account(payer, row.adapter)
        admitted = before.admit(
            signed,
            host=self.address,
            adapter=row.adapter,
            price=self.price,
            input_tokens=tokens,
            output_tokens_max=request.sampling.max_tokens,
            backed=self.backed(payer, row.adapter),
        )
        worst = admitted.cumulative - before.cumulative
        self._keep(payer, row.adapter, admitted)
        running = _Running(self, row, signed.voucher, request, worst)
        send, receive = trio.open_memory_channel[Event](EVENTS_MAX)
        try:
            # Entered here, not in the task: a full queue is `Temporary` to whoever enters.
            async with self.dispatch.answer(request) as events:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(running.pass_on, events, send)
                    yield receive
                    nursery.cancel_scope.cancel()
        finally:
            running.release()

    def _paid_before(self, request: Request, signed: SignedVoucher) -> Completed | None:
        """The kept answer, for a client whose connection broke after it had paid for it."""
        voucher = signed.voucher
        for said in self._said.get((voucher.payer, request.hash), []):
            receipt = said.receipt
            same = voucher.cumulative == self._paid[receipt.nonce]
            if signed.signer == voucher.payer and same:
                full = receipt.output_tokens >= request.sampling.max_tokens
                return Completed(
                    "length" if full else "stop",
                    said.text.output.decode(),
                    receipt.prompt_tokens,
                    receipt.output_tokens,
                    receipt,
                    said.signature,
                )
        return None

    def _keep(
        self,
        payer: bytes,
        adapter: bytes,
        account: Account,
        said: PaidAnswer | None = None,
        paid: int = 0,
    ) -> None:
        """Write an account, and the answer that changed it, in one synced batch."""
        puts = {ACCOUNT + payer + adapter: account.encode()}
        if said is not None:
            puts[_key(SAID, said.receipt.nonce)] = said.encode()
            puts[_key(PAID, said.receipt.nonce)] = uint(paid, 16)
        self.ports.store.write(puts, sync=True)
        self._accounts[payer + adapter] = account

    def settle(
        self, row: AdapterRecord, voucher: Voucher, request: Request, worst: int, done: Finished
    ) -> Completed:
        """Charge for an answer and sign its receipt; both are on disk when this returns."""
        payer = voucher.payer
        account = self.account(payer, row.adapter)
        prompt_tokens, output_tokens = len(done.prompt_tokens), len(done.output_tokens)
        amount = self.price.fee(prompt_tokens, output_tokens)
        settled = account.settle(worst, amount)
        receipt = receipt_of(
            request,
            done,
            base=self.base,
            amount=amount,
            cumulative=settled.served,
            nonce=self._nonce,
            deadline=int(self.ports.clock.now()) + DEADLINE_SECONDS,
            host=self.address,
            payer=payer,
        )
        signature = self.ports.signer.sign(receipt.digest(self.domain))
        text = Text(request.prompt.encode(), done.text.encode())
        said = PaidAnswer(receipt, signature, text)
        self._keep(payer, row.adapter, settled, said, voucher.cumulative)
        self._remember(said, voucher.cumulative)
        self.unsaid.set()
        return Completed(done.reason, done.text, prompt_tokens, output_tokens, receipt, signature)

    def _remember(self, said: PaidAnswer, paid: int) -> None:
        self._paid[said.receipt.nonce] = paid
        self._said.setdefault((said.receipt.payer, said.receipt.request), []).append(said)
        self._nonce = said.receipt.nonce + 1

    def drop(self, payer: bytes, adapter: bytes, worst: int) -> None:
        """An answer ended without a receipt: nobody pays for it."""
        self._accounts[payer + adapter] = self.account(payer, adapter).release(worst)


def _key(prefix: bytes, number: int) -> bytes:
    return prefix + uint(number, 8)


@dataclass
class _Running:
    """One answer between the engine and its client."""

    serving: Serving
    row: AdapterRecord
    voucher: Voucher
    request: Request
    worst: int
    open: bool = True

    async def pass_on(self, events: Any, send: "trio.MemorySendChannel[Event]") -> None:
        with send:  # closing it with `await` could trade a failed write for a cancellation
            async for event in events:
                if not isinstance(event, Finished):
                    await send.send(event)
                    continue
                if not event.text:
                    await send.send(Failed("the model ended at once: an empty answer is free"))
                    return
                self.open = False
                done = self._settle(event)
                await send.send(done)
                return

    def _settle(self, done: Finished) -> Completed:
        return self.serving.settle(self.row, self.voucher, self.request, self.worst, done)

    def release(self) -> None:
        if self.open:
            self.open = False
            self.serving.drop(self.voucher.payer, self.row.adapter, self.worst)
