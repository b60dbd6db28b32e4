"""Transactions that wait for a block: bounded, one per sender and nonce, best payer first."""

import contextlib
import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from protocol.errors import Refused
from rollup.engine.transaction import Transaction

TRANSACTIONS_MAX: Final = 4096
BYTES_MAX: Final = 32 << 20
PER_SENDER_MAX: Final = 128
BYTES_PER_SENDER_MAX: Final = 4 << 20
VICTIMS_MAX: Final = 16
NONCE_AHEAD_MAX: Final = 128
PRICE_BUMP_PERCENT: Final = 10


@dataclass(slots=True)
class Mempool:
    """In memory only: the outbox of every node holds its transactions durably and sends them again,
    so a second copy on disk would guard nothing.

    Rules: the same nonce is replaced by at least 10 % more of both fees; a full pool gives way to a
    better payer by dropping the cheapest sender's last transaction, never one in the middle. What
    waits behind a missing nonce pays nobody: whatever it offers, it gives way first to one that
    can enter a block. Counts and bytes are bounded, of all and of each sender.
    """

    _by_sender: dict[bytes, dict[int, Transaction]] = field(default_factory=dict)
    _by_hash: dict[bytes, Transaction] = field(default_factory=dict)
    _costs: dict[bytes, int] = field(default_factory=dict)
    _nonces: dict[bytes, int] = field(default_factory=dict)  # of accounts, when last heard
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._by_hash)

    def get(self, transaction_hash: bytes) -> Transaction | None:
        return self._by_hash.get(transaction_hash)

    def all(self) -> list[Transaction]:
        return list(self._by_hash.values())

    def spent(self, sender: bytes) -> dict[int, int]:
        """What each waiting transaction of `sender` may cost at most, in wei, by nonce."""
        return {n: self._costs[tx.hash] for n, tx in self._by_sender.get(sender, {}).items()}

    def next_nonce(self, sender: bytes, nonce: int) -> int:
        """The first nonce from the account's `nonce` on that nothing here uses."""
        queue = self._by_sender.get(sender, {})
        while nonce in queue:
            nonce += 1
        return nonce

    def queue(self, sender: bytes) -> list[Transaction]:
        """What waits of one sender, in the order of nonces."""
        return _ascending(self._by_sender.get(sender, {}))

    def add(self, transaction: Transaction, account_nonce: int, cost: int | None = None) -> None:
        """`cost`: the most it may take from its sender, if that is more than gas and value (the
        fees of an OP chain). Raises `Refused` in the words that clients know from geth."""
        if transaction.hash in self._by_hash:
            raise Refused("already known")
        if transaction.nonce > account_nonce + NONCE_AHEAD_MAX:
            raise Refused(f"nonce too far ahead: next {account_nonce}, tx {transaction.nonce}")
        queue = self._by_sender.get(transaction.sender, {})
        old = queue.get(transaction.nonce)
        if old is not None and not _outbids(transaction, old):
            raise Refused(
                "replacement transaction underpriced: "
                f"both fees must rise by {PRICE_BUMP_PERCENT} %"
            )
        size = len(transaction.raw)
        if old is not None and self._bytes - len(old.raw) + size > BYTES_MAX:
            raise Refused(f"txpool is full ({BYTES_MAX} bytes)")
        if old is None and len(queue) >= PER_SENDER_MAX:
            raise Refused(f"txpool is full for this sender ({PER_SENDER_MAX})")
        held = sum(len(tx.raw) for tx in queue.values()) - (len(old.raw) if old else 0)
        if held + size > BYTES_PER_SENDER_MAX:
            raise Refused(f"txpool is full for this sender ({BYTES_PER_SENDER_MAX} bytes)")
        leaving = [old.hash] if old is not None else self._victims(transaction, account_nonce)
        for transaction_hash in leaving:
            self._remove(transaction_hash)
        self._by_sender.setdefault(transaction.sender, {})[transaction.nonce] = transaction
        self._by_hash[transaction.hash] = transaction
        self._nonces[transaction.sender] = account_nonce
        self._costs[transaction.hash] = transaction.cost_max if cost is None else cost
        self._bytes += size

    def settle(self, nonces: Mapping[bytes, int], dropped: Iterable[bytes]) -> None:
        """After a block: forget nonces below each sender's next one, and what execution refused."""
        for transaction_hash in dropped:
            self._remove(transaction_hash)
        for sender, next_nonce in nonces.items():
            for nonce in [n for n in self._by_sender.get(sender, {}) if n < next_nonce]:
                self._remove(self._by_sender[sender][nonce].hash)
            if sender in self._by_sender:
                self._nonces[sender] = next_nonce

    def readmit(
        self, transactions: Iterable[Transaction], nonce_of: Callable[[bytes], int]
    ) -> None:
        """After a reorg: take back what left the chain, as far as it is still to come.

        `nonce_of` gives an account's nonce at the new head. Whatever does not fit is dropped, as
        its sender will send it again; funds are checked when a block is built.
        """
        for transaction in transactions:
            nonce = nonce_of(transaction.sender)
            if transaction.nonce >= nonce:
                with contextlib.suppress(Refused):
                    self.add(transaction, nonce)

    def senders(self) -> list[bytes]:
        return list(self._by_sender)

    def picker(self, base_fee: int) -> "Picker":
        """A frozen copy for one block, safe to use in another thread."""
        return Picker(base_fee, [_ascending(queue) for queue in self._by_sender.values()])

    def _victims(self, transaction: Transaction, account_nonce: int) -> list[bytes]:
        """Who must leave for `transaction`: nobody, what cannot enter a block, or worse payers.
        Raises `Refused`, and then nobody has left."""
        enters = self.next_nonce(transaction.sender, account_nonce) == transaction.nonce
        victims: list[Transaction] = []
        taken = dict[bytes, int]()
        freed = 0
        while (
            len(self) - len(victims) >= TRANSACTIONS_MAX
            or self._bytes - freed + len(transaction.raw) > BYTES_MAX
        ):
            lasts = [
                queue[sorted(queue)[-1 - taken.get(sender, 0)]]
                for sender, queue in self._by_sender.items()
                if sender != transaction.sender and len(queue) > taken.get(sender, 0)
            ]
            if not lasts or len(victims) == VICTIMS_MAX:
                raise Refused(f"txpool is full ({TRANSACTIONS_MAX} transactions)")
            behind = [last for last in lasts if enters and self._waits(last)]
            last = min(
                behind or lasts, key=lambda tx: (tx.max_priority_fee_per_gas, tx.max_fee_per_gas)
            )
            if not behind and not _outbids(transaction, last):
                raise Refused(f"txpool is full ({TRANSACTIONS_MAX} transactions)")
            victims.append(last)
            taken[last.sender] = taken.get(last.sender, 0) + 1
            freed += len(last.raw)
        return [victim.hash for victim in victims]

    def _waits(self, transaction: Transaction) -> bool:
        """Whether a nonce before it is missing."""
        sender = transaction.sender
        return self.next_nonce(sender, self._nonces[sender]) <= transaction.nonce

    def _remove(self, transaction_hash: bytes) -> None:
        transaction = self._by_hash.pop(transaction_hash, None)
        if transaction is not None:
            del self._costs[transaction_hash]
            self._bytes -= len(transaction.raw)
            queue = self._by_sender[transaction.sender]
            del queue[transaction.nonce]
            if not queue:
                del self._by_sender[transaction.sender]
                del self._nonces[transaction.sender]


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
