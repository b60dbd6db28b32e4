"""eth_* and txpool_* methods about transactions: sending, finding, receipts, what waits."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protocol.errors import Refused
from rollup.engine import admission, formats, receipts
from rollup.engine.feed import Feed
from rollup.engine.formats import data, hexadecimal, quantity
from rollup.engine.forward import Sequencer
from rollup.engine.lookup import Lookup
from rollup.engine.values import Block

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class EthTransactions:
    lookup: Lookup
    feed: Feed
    sequencer: Sequencer | None = None

    def methods(self) -> dict[str, Method]:
        return {
            "eth_sendRawTransaction": self.send,
            "eth_getTransactionByHash": self.by_hash,
            "eth_getTransactionByBlockNumberAndIndex": self.by_number_and_index,
            "eth_getTransactionByBlockHashAndIndex": self.by_hash_and_index,
            "eth_getTransactionReceipt": self.receipt,
            "eth_getRawTransactionByHash": self.raw_by_hash,
            "eth_getRawTransactionByBlockNumberAndIndex": self.raw_by_number_and_index,
            "eth_getRawTransactionByBlockHashAndIndex": self.raw_by_hash_and_index,
            "eth_pendingTransactions": list,
        }

    async def send(self, value: Any) -> str:
        """Into the pool; where a sequencer is known he decides, and our pool only keeps what he
        took, so that pending nonces show. Garbage goes to nobody."""
        transaction = formats.raw_transaction(value, self.lookup.chain_id)
        if self.sequencer is None:
            admission.admit(self.lookup, transaction)
        else:
            await self.sequencer.send(hexadecimal(transaction.raw))
            with contextlib.suppress(Refused):  # our head may be behind his
                admission.admit(self.lookup, transaction)
        if self.lookup.pool.get(transaction.hash) is not None:
            self.feed.arrive(transaction.hash)
        return hexadecimal(transaction.hash)

    def by_hash(self, value: Any) -> Any:
        wanted = data(value, 32, "transaction hash")
        place = self._place(wanted)
        if place is not None:
            return self._transaction(*place)
        waiting = self.lookup.pool.get(wanted)
        return None if waiting is None else formats.transaction(waiting, self.lookup.chain_id)

    def by_number_and_index(self, tag: Any, index: Any) -> Any:
        place = self._at(self.lookup.block(tag), index)
        return None if place is None else self._transaction(*place)

    def by_hash_and_index(self, value: Any, index: Any) -> Any:
        place = self._at(self.lookup.by_hash(data(value, 32, "block hash")), index)
        return None if place is None else self._transaction(*place)

    def receipt(self, value: Any) -> Any:
        place = self._place(data(value, 32, "transaction hash"))
        if place is None:
            return None
        block, index = place
        return receipts.receipts(block, self.lookup.chain_id)[index]

    def raw_by_hash(self, value: Any) -> str | None:
        wanted = data(value, 32, "transaction hash")
        place = self._place(wanted)
        if place is not None:
            block, index = place
            return hexadecimal(block.transactions[index])
        waiting = self.lookup.pool.get(wanted)
        return None if waiting is None else hexadecimal(waiting.raw)

    def raw_by_number_and_index(self, tag: Any, index: Any) -> str | None:
        return _raw(self._at(self.lookup.block(tag), index))

    def raw_by_hash_and_index(self, value: Any, index: Any) -> str | None:
        return _raw(self._at(self.lookup.by_hash(data(value, 32, "block hash")), index))

    def _place(self, transaction_hash: bytes) -> tuple[Block, int] | None:
        place = self.lookup.chain.blocks.place(transaction_hash)
        if place is None or place.block.number > self.lookup.chain.head.number:
            return None
        return place.block, place.index

    def _at(self, block: Block | None, index: Any) -> tuple[Block, int] | None:
        n = quantity(index, 32, "index")
        return None if block is None or n >= len(block.transactions) else (block, n)

    def _transaction(self, block: Block, index: int) -> dict[str, Any]:
        return formats.transaction_in(block, index, self.lookup.chain_id)


def _raw(place: tuple[Block, int] | None) -> str | None:
    return None if place is None else hexadecimal(place[0].transactions[place[1]])
