"""Transactions that wait for a block: bounded, one per sender and nonce, best payer first."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.errors import Refused
from rollup.engine.transaction import Transaction

TRANSACTIONS_MAX: Final = 4096
PER_SENDER_MAX: Final = 128
NONCE_AHEAD_MAX: Final = 128
PRICE_BUMP_PERCENT: Final = 10


@dataclass(slots=True)
class Mempool:
    """In memory only: the outbox of every node holds its transactions durably and sends them again,
    so a second copy on disk would guard nothing.

    Rules: the same nonce is replaced by at least 10 % more of both fees; a full pool gives way to a
    better payer by dropping the cheapest sender's last transaction, never one in the middle.
    """

    _by_sender: dict[bytes, dict[int, Transaction]] = field(default_factory=dict)
    _by_hash: dict[bytes, Transaction] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, transaction_hash: bytes) -> Transaction | None:
        return self._by_hash.get(transaction_hash)

    def all(self) -> list[Transaction]:
        return list(self._by_hash.values())

    def spent(self, sender: bytes) -> dict[int, int]:
        """What each waiting transaction of `sender` may cost at most, in wei, by nonce."""
        return {n: tx.cost_max for n, tx in self._by_sender.get(sender, {}).items()}

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The first nonce from the account's `nonce` on that nothing here uses."""
        queue = self._by_sender.get(sender, {})
        while nonce in queue:
            nonce += 1
        return nonce

    def add(self, transaction: Transaction, account_nonce: int) -> None:
        """Raises `Refused` in the words that clients know from geth."""
        if transaction.hash in self._by_hash:
            raise Refused("already known")
        if transaction.nonce > account_nonce + NONCE_AHEAD_MAX:
            raise Refused(f"nonce too far ahead: next {account_nonce}, tx {transaction.nonce}")
        queue = self._by_sender.get(transaction.sender, {})
        old = queue.get(transaction.nonce)
        if old is not None:
            if not _outbids(transaction, old):
                raise Refused(
                    "replacement transaction underpriced: "
                    f"both fees must rise by {PRICE_BUMP_PERCENT} %"
                )
            del self._by_hash[old.hash]
        elif len(queue) >= PER_SENDER_MAX:
            raise Refused(f"txpool is full for this sender ({PER_SENDER_MAX})")
        elif len(self) >= TRANSACTIONS_MAX:
            self._make_room(transaction)
        self._by_sender.setdefault(transaction.sender, {})[transaction.nonce] = transaction
        self._by_hash[transaction.hash] = transaction

    def settle(self, nonces: Mapping[bytes, int], dropped: Iterable[bytes]) -> None:
        """After a block: forget nonces below each sender's next one, and what execution refused."""
        for transaction_hash in dropped:
            self._remove(transaction_hash)
        for sender, next_nonce in nonces.items():
            for nonce in [n for n in self._by_sender.get(sender, {}) if n < next_nonce]:
                self._remove(self._by_sender[sender][nonce].hash)

    def senders(self) -> list[bytes]:
        return list(self._by_sender)

    def picker(self, base_fee: int) -> "Picker":
        """A frozen copy for one block, safe to use in another thread."""
        return Picker(base_fee, [_ascending(queue) for queue in self._by_sender.values()])

    def _make_room(self, transaction: Transaction) -> None:
        last = min(
            (queue[max(queue)] for queue in self._by_sender.values()),
            key=lambda tx: (tx.max_priority_fee_per_gas, tx.max_fee_per_gas),
        )
        if not _outbids(transaction, last) or last.sender == transaction.sender:
            raise Refused(f"txpool is full ({TRANSACTIONS_MAX} transactions)")
        self._remove(last.hash)

    def _remove(self, transaction_hash: bytes) -> None:
        transaction = self._by_hash.pop(transaction_hash, None)
        if transaction is not None:
            queue = self._by_sender[transaction.sender]
            del queue[transaction.nonce]
            if not queue:
                del self._by_sender[transaction.sender]


class Picker:
    """Hands out transactions by tip, each sender's in the order of nonces."""

    def __init__(self, base_fee: int, queues: Iterable[list[Transaction]]) -> None:
        self._base_fee = base_fee
        self._heap: list[tuple[int, int, list[Transaction]]] = []
        for order, queue in enumerate(queues):
            self._push(order, queue)

    def peek(self) -> Transaction | None:
        return self._heap[0][2][0] if self._heap else None

    def advance(self) -> None:
        """The front one is in (or gone for good): go on with its sender's next."""
        _, order, queue = heapq.heappop(self._heap)
        self._push(order, queue[1:])

    def skip_sender(self) -> None:
        """The front one cannot enter this block, so nothing behind it can."""
        heapq.heappop(self._heap)

    def _push(self, order: int, queue: list[Transaction]) -> None:
        if queue and queue[0].max_fee_per_gas >= self._base_fee:
            tip = queue[0].price(self._base_fee) - self._base_fee
            heapq.heappush(self._heap, (-tip, order, queue))


def _ascending(queue: dict[int, Transaction]) -> list[Transaction]:
    return [queue[nonce] for nonce in sorted(queue)]


def _outbids(new: Transaction, old: Transaction) -> bool:
    def enough(fee: int, before: int) -> bool:
        return fee * 100 >= before * (100 + PRICE_BUMP_PERCENT)

    return enough(new.max_fee_per_gas, old.max_fee_per_gas) and enough(
        new.max_priority_fee_per_gas, old.max_priority_fee_per_gas
    )
