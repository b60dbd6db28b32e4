"""Host: serves adapters of one base model, trains new ones, gossips and redeems what was paid."""

from dataclasses import dataclass, field
from typing import ClassVar

import trio

from protocol.calls import Redeem, RegisterBase, SignedVoucher
from protocol.errors import Refused
from protocol.ledger import AdapterRecord
from protocol.messages import Message, PaidAnswer
from roles.finetune import Finetunes
from roles.ports import Ports
from roles.serving import SAID, Serving

RESAID_MAX = 256  # newest answers that are gossiped again after a restart


@dataclass(frozen=True)
class Host:
    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = (PaidAnswer,)

    serving: Serving
    finetunes: Finetunes
    base_name: str
    refused: dict[bytes, str] = field(default_factory=dict)  # adapters that were not accepted

    async def run(self, ports: Ports) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.serving.dispatch.run)
            nursery.start_soon(self.finetunes.run, ports)
            nursery.start_soon(self._say, ports)
            async for _ in ports.chain.heads():
                await self._register_base(ports)
                await self._load(ports)
                await self._redeem(ports)

    async def _register_base(self, ports: Ports) -> None:
        ledger, base = ports.chain.ledger, self.serving.base
        if base not in ledger.bases:
            call = RegisterBase(base, self.base_name, ledger.current.model_fee)
            await ports.chain.intend(f"base/{base.hex()}", call)

    async def _load(self, ports: Ports) -> None:
        """Fetch and verify every adapter of our base that we do not serve yet."""
        for row in list(ports.chain.ledger.adapters.values()):
            known = self.serving.ready.keys() | self.refused.keys()
            if row.base == self.serving.base and row.adapter not in known:
                await self._load_one(ports, row)

    async def _load_one(self, ports: Ports, row: AdapterRecord) -> None:
        path = await ports.bodies.fetch_file(row.weights)
        try:
            await self.serving.dispatch.load(row.adapter, path)
        except Refused as error:
            self.refused[row.adapter] = f"{row.name}: {error}"
        else:
            self.serving.ready[row.adapter] = int(ports.clock.now())

    async def _redeem(self, ports: Ports) -> None:
        """Turn the best voucher of every account into money."""
        ledger, host = ports.chain.ledger, ports.signer.address
        for payer, adapter, account in self.serving.accounts():
            best, paid = account.best, ledger.redeemed.get((payer, host, adapter), 0)
            if best is None or account.served <= paid:
                continue
            voucher = SignedVoucher.of(best.voucher, best.signature)
            key = f"redeem/{payer.hex()}/{adapter.hex()[:16]}/{best.voucher.cumulative}"
            await ports.chain.intend(key, Redeem((voucher,)))

    async def _say(self, ports: Ports) -> None:
        """Gossip each answer after its receipt is on disk; the newest again after a restart."""
        rows = list(ports.store.scan(SAID))
        said = max(0, len(rows) - RESAID_MAX)
        while True:
            self.serving.unsaid = trio.Event()
            rows = list(ports.store.scan(SAID))
            for _, value in rows[said:]:
                await ports.gossip.publish(PaidAnswer.decode(value))
                said += 1
            await self.serving.unsaid.wait()
