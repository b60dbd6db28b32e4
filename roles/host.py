"""Host: serves adapters of one base model, trains new ones, gossips and redeems what was paid."""

import math
from dataclasses import dataclass, field
from typing import ClassVar

import trio

from protocol.calls import Redeem, RegisterBase, SignedVoucher
from protocol.errors import Malformed, Refused, Temporary
from protocol.ledger import AdapterRecord
from protocol.messages import Message, PaidAnswer
from roles.finetune import Finetunes
from roles.intents import pursue, refused, why
from roles.ports import Ports
from roles.serving import DEADLINE_SECONDS, Serving

RESAY_SECONDS = 300.0  # between two gossips of the newest answers: some nodes come late
RESAID_MAX = 256
RESAID_AGE_MAX = 86_400  # seconds
LOADS_MAX = 4  # adapters that are fetched at the same time
RETRY_SECONDS = 60.0  # until an adapter that nobody gave is asked for again
TROUBLE_MAX = 32  # reasons that are kept to be shown


@dataclass(frozen=True)
class Host:
    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)

    serving: Serving
    finetunes: Finetunes
    base_name: str
    weights_bytes_max: int  # of one adapter
    trouble: dict[str, str] = field(default_factory=dict)  # what is not served or paid, and why
    _loading: set[bytes] = field(default_factory=set)
    _again: dict[bytes, float] = field(default_factory=dict)  # when to try, by adapter

    async def run(self, ports: Ports) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.serving.dispatch.run)
            nursery.start_soon(self.finetunes.run, ports)
            nursery.start_soon(self._say, ports)
            nursery.start_soon(self._load, ports)
            async with ports.chain.heads() as heads:
                async for _ in heads:
                    await self._redeem(ports)
                    await self._register_base(ports)

    async def _register_base(self, ports: Ports) -> None:
        ledger, base = ports.chain.ledger, self.serving.base
        if base not in ledger.bases:
            call = RegisterBase(base, self.base_name, ledger.current.model_fee)
            await self._pursue(ports, "base model", f"base/{base.hex()}", call)

    async def _redeem(self, ports: Ports) -> None:
        """Turn the best voucher of every account into money."""
        ledger, host = ports.chain.ledger, ports.signer.address
        for payer, adapter, account in self.serving.accounts():
            best, paid = account.best, ledger.redeemed.get((payer, host, adapter), 0)
            if best is None or account.served <= paid:
                continue
            voucher = SignedVoucher.of(best.voucher, best.signature)
            stem = f"redeem/{payer.hex()}/{adapter.hex()}/{best.voucher.cumulative}"
            await self._pursue(ports, f"vouchers of 0x{payer.hex()}", stem, Redeem((voucher,)))

    async def _pursue(self, ports: Ports, what: str, stem: str, call: object) -> None:
        await pursue(ports, stem, call)
        if refused(ports, stem):
            self._tell(what, str(why(ports, stem)))
        else:
            self.trouble.pop(what, None)

    def _tell(self, what: str, reason: str) -> None:
        if what in self.trouble or len(self.trouble) < TROUBLE_MAX:
            self.trouble[what] = reason

    async def _load(self, ports: Ports) -> None:
        """Fetch and verify every adapter of our base that we do not serve yet."""
        async with ports.chain.heads() as heads, trio.open_nursery() as nursery:
            async for _ in heads:
                for row in self._wanted(ports):
                    self._loading.add(row.adapter)
                    nursery.start_soon(self._load_one, ports, row)

    def _wanted(self, ports: Ports) -> list[AdapterRecord]:
        """As many as may be fetched beside those under way, the longest waiting ones first."""
        now, known = ports.clock.now(), self.serving.ready.keys() | self._loading
        rows = [
            row
            for row in ports.chain.ledger.adapters.values()
            if row.base == self.serving.base and row.adapter not in known
        ]
        due = [row for row in rows if self._again.get(row.adapter, 0) <= now]
        due.sort(key=lambda row: self._again.get(row.adapter, 0))
        return due[: LOADS_MAX - len(self._loading)]

    async def _load_one(self, ports: Ports, row: AdapterRecord) -> None:
        """One adapter, whatever is wrong with it, stops no other."""
        what = f"adapter {row.name}"
        try:
            if not 0 < row.weights_size <= self.weights_bytes_max:
                raise Refused(
                    f"its weights have {row.weights_size} bytes, "
                    f"host.adapter_bytes_max is {self.weights_bytes_max}"
                )
            path = await ports.bodies.fetch_file(row.weights)
            await self.serving.dispatch.load(row.adapter, path)
        except Refused as error:  # the same bytes will be refused again
            self._again[row.adapter] = math.inf
            self._tell(what, str(error))
        except (Temporary, Malformed) as error:
            self._again[row.adapter] = ports.clock.now() + RETRY_SECONDS
            self._tell(what, str(error))
        else:
            self.serving.ready[row.adapter] = int(ports.clock.now())
            self.trouble.pop(what, None)
        finally:
            self._loading.discard(row.adapter)

    async def _say(self, ports: Ports) -> None:
        """Gossip each answer after its receipt is on disk, and the newest again and again: what
        was said before a crash, or to nobody, must reach whoever attributes."""
        while True:
            number = max(0, self.serving.answered - RESAID_MAX)
            with trio.move_on_after(RESAY_SECONDS):
                while True:
                    self.serving.unsaid = trio.Event()
                    while number < self.serving.answered:
                        await self._say_one(ports, number)
                        number += 1
                    await self.serving.unsaid.wait()

    async def _say_one(self, ports: Ports, number: int) -> None:
        said = self.serving.said(number)
        oldest = ports.clock.now() - RESAID_AGE_MAX
        if said is not None and said.receipt.deadline - DEADLINE_SECONDS >= oldest:
            await ports.gossip.publish(said)
