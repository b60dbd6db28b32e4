"""txpool_* methods: what waits, by sender and nonce, in geth's shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollup.engine import formats
from rollup.engine.formats import data, hexadecimal
from rollup.engine.lookup import Lookup
from rollup.engine.transaction import Transaction

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class TxPool:
    """Pending is what can enter one block after another from the account's nonce on; queued is
    what waits behind a gap."""

    lookup: Lookup

    def methods(self) -> dict[str, Method]:
        return {
            "txpool_status": self.status,
            "txpool_content": self.content,
            "txpool_contentFrom": self.content_from,
            "txpool_inspect": self.inspect,
        }

    def status(self) -> dict[str, str]:
        counts = [0, 0]
        for sender in self.lookup.pool.senders():
            ready, behind = self._split(sender)
            counts[0] += len(ready)
            counts[1] += len(behind)
        return {"pending": hex(counts[0]), "queued": hex(counts[1])}

    def content(self) -> dict[str, Any]:
        return self._by_sender(self._shown)

    def content_from(self, address: Any) -> dict[str, Any]:
        ready, behind = self._split(data(address, 20, "address"))
        return {"pending": _by_nonce(ready, self._shown), "queued": _by_nonce(behind, self._shown)}

    def inspect(self) -> dict[str, Any]:
        return self._by_sender(_summary)

    def _by_sender(self, show: Callable[[Transaction], Any]) -> dict[str, Any]:
        out: dict[str, Any] = {"pending": {}, "queued": {}}
        for sender in self.lookup.pool.senders():
            for kind, some in zip(out, self._split(sender), strict=True):
                if some:
                    out[kind][hexadecimal(sender)] = _by_nonce(some, show)
        return out

    def _split(self, sender: bytes) -> tuple[list[Transaction], list[Transaction]]:
        nonce = self.lookup.chain.state(self.lookup.chain.head.header).get_nonce(sender)
        end = self.lookup.pool.next_nonce(sender, nonce)
        queue = self.lookup.pool.queue(sender)
        return [tx for tx in queue if tx.nonce < end], [tx for tx in queue if tx.nonce >= end]

    def _shown(self, transaction: Transaction) -> dict[str, Any]:
        return formats.transaction(transaction, self.lookup.chain_id)


def _by_nonce(queue: list[Transaction], show: Callable[[Transaction], Any]) -> dict[str, Any]:
    return {str(tx.nonce): show(tx) for tx in queue}


def _summary(tx: Transaction) -> str:
    to = hexadecimal(tx.to) if tx.to else "contract creation"
    return f"{to}: {tx.value} wei + {tx.gas} gas × {tx.max_fee_per_gas} wei"
