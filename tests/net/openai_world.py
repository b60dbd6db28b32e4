"""A host with a real engine and a store in memory, as the host role keeps accounts and receipts."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from openlora.account import Account
from openlora.dispatch import Dispatch
from openlora.engine import Engine
from openlora.pricing import Price, Quote, SignedVoucher
from openlora.receipts import receipt_of
from openlora.request import Delta, Failed, Finished
from openlora.serving import Ask, Card, Completed, UnknownModel, request_of
from protocol.receipt import domain
from protocol.signature import Domain, address_of, sign

SECRET, CHAIN, ESCROW = b"\x07" * 32, 31337, b"\xee" * 20
PRICE = Price(input=10**13, output=3 * 10**13, platform=10**12)
BACKED = 10**18


class Counter:
    """Serves the adapters in `paths` (name -> id, file)."""

    def __init__(self, engine: Engine, paths: dict[str, tuple[bytes, Path]]) -> None:
        self.dispatch = Dispatch(engine, trio.to_thread.run_sync)
        self.store: dict[bytes, bytes] = {}
        self.writes: list[str] = []
        self._paths, self._accounts = paths, dict[tuple[bytes, bytes], Account]()

    domain: Domain = domain(CHAIN, ESCROW)
    address = address_of(SECRET)

    def models(self) -> Sequence[Card]:
        return [
            Card(name=name, adapter=adapter, base=b"\x0b" * 32, price=PRICE, created=1)
            for name, (adapter, _) in self._paths.items()
        ]

    def account(self, payer: bytes | None, adapter: bytes) -> Account:
        return self._accounts.get((payer or b"", adapter), Account())

    async def quote(self, ask: Ask, payer: bytes | None) -> Quote:
        adapter = self._adapter(ask.model)
        request, tokens = request_of(ask, adapter, self.dispatch.engine)
        cumulative = self.account(payer, adapter).cumulative
        return Quote(
            price=PRICE,
            input_tokens=tokens,
            output_tokens_max=request.sampling.max_tokens,
            cumulative=cumulative,
            required=cumulative + PRICE.fee(tokens, request.sampling.max_tokens),
        )

    @asynccontextmanager
    async def answer(self, ask: Ask, signed: SignedVoucher) -> AsyncIterator[Any]:
        adapter, payer = self._adapter(ask.model), signed.voucher.payer
        request, tokens = request_of(ask, adapter, self.dispatch.engine)
        await self.dispatch.load(adapter, self._paths[ask.model][1])
        key, before = (payer, adapter), self.account(payer, adapter)
        after = before.admit(
            signed,
            host=self.address,
            adapter=adapter,
            price=PRICE,
            input_tokens=tokens,
            output_tokens_max=request.sampling.max_tokens,
            backed=BACKED,
        )
        worst = after.reserved[-1]
        self._keep(key, after, "voucher")
        settled = False
        send, receive = trio.open_memory_channel[Delta | Completed | Failed](1)

        async def relay() -> None:
            nonlocal settled
            async with self.dispatch.answer(request) as events, send:
                async for event in events:
                    if isinstance(event, Finished):
                        settled = True
                        await send.send(self._complete(key, worst, request, event))
                        return
                    await send.send(event)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(relay)
                yield receive
                nursery.cancel_scope.cancel()
        finally:
            if not settled:
                self._accounts[key] = self._accounts[key].release(worst)

    def _complete(self, key: Any, worst: int, request: Any, done: Finished) -> Completed:
        amount = PRICE.fee(len(done.prompt_tokens), len(done.output_tokens))
        account = self._accounts[key].settle(worst, amount)
        receipt = receipt_of(
            request,
            done,
            base=b"\x0b" * 32,
            amount=amount,
            cumulative=account.served,
            nonce=len(self.writes),
            deadline=2_000_000_000,
            host=self.address,
            payer=key[0],
        )
        signature = sign(SECRET, receipt.digest(self.domain))
        self.store[b"receipt" + receipt.request] = receipt.encode() + signature
        self._keep(key, account, "receipt")
        counts = (len(done.prompt_tokens), len(done.output_tokens))
        return Completed(done.reason, done.text, *counts, receipt, signature)

    def _keep(self, key: tuple[bytes, bytes], account: Account, why: str) -> None:
        self._accounts[key] = account
        self.store[b"account" + b"".join(key)] = account.encode()
        self.writes.append(why)

    def _adapter(self, name: str) -> bytes:
        if name not in self._paths:
            raise UnknownModel(f"the model {name!r} is not served here")
        return self._paths[name][0]
