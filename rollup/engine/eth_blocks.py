"""eth_* methods about blocks and fees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from rollup.engine import fees, formats, receipts
from rollup.engine.formats import data, quantity
from rollup.engine.lookup import Lookup
from rollup.engine.values import Block

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class EthBlocks:
    lookup: Lookup
    room: trio.CapacityLimiter
    """How many calls may occupy a worker thread at once."""

    def methods(self) -> dict[str, Method]:
        chain = self.lookup.chain
        return {
            "eth_blockNumber": lambda: hex(chain.head.number),
            "eth_gasPrice": lambda: hex(fees.gas_price(chain)),
            "eth_maxPriorityFeePerGas": lambda: hex(fees.tip(chain)),
            "eth_blobBaseFee": lambda: "0x1",
            "eth_baseFee": lambda: hex(fees.next_base_fee(chain)),
            "eth_feeHistory": self.fee_history,
            "eth_getBlockByNumber": self.by_number,
            "eth_getBlockByHash": self.by_hash,
            "eth_getHeaderByNumber": self.header_by_number,
            "eth_getHeaderByHash": self.header_by_hash,
            "eth_getBlockTransactionCountByNumber": self.count_by_number,
            "eth_getBlockTransactionCountByHash": self.count_by_hash,
            "eth_getUncleCountByBlockNumber": self.uncles_by_number,
            "eth_getUncleCountByBlockHash": self.uncles_by_hash,
            "eth_getBlockReceipts": self.receipts_of,
        }

    def by_number(self, tag: Any, full: Any = False) -> Any:
        return self._block(self._numbered(tag), full)

    def by_hash(self, value: Any, full: Any = False) -> Any:
        return self._block(self._hashed(value), full)

    def header_by_number(self, tag: Any) -> Any:
        block = self._numbered(tag)
        return None if block is None else formats.header(block)

    def header_by_hash(self, value: Any) -> Any:
        block = self._hashed(value)
        return None if block is None else formats.header(block)

    def count_by_number(self, tag: Any) -> str | None:
        block = self._numbered(tag)
        return None if block is None else hex(len(block.transactions))

    def count_by_hash(self, value: Any) -> str | None:
        block = self._hashed(value)
        return None if block is None else hex(len(block.transactions))

    def uncles_by_number(self, tag: Any) -> str | None:
        return None if self._numbered(tag) is None else "0x0"

    def uncles_by_hash(self, value: Any) -> str | None:
        return None if self._hashed(value) is None else "0x0"

    def receipts_of(self, tag: Any) -> Any:
        block = self.lookup.block(tag)
        return None if block is None else receipts.receipts(block, self.lookup.chain_id)

    async def fee_history(self, count: Any, newest: Any, percentiles: Any = None) -> Any:
        wanted = fees.read_percentiles(percentiles)
        number = self.lookup.known(newest).number
        length = quantity(count, 32, "block count")
        return await trio.to_thread.run_sync(
            fees.history, self.lookup.chain, length, number, wanted, limiter=self.room
        )

    def _numbered(self, tag: Any) -> Block | None:
        number = self.lookup.number(tag)
        return None if number is None else self.lookup.chain.blocks.block(number)

    def _hashed(self, value: Any) -> Block | None:
        return self.lookup.by_hash(data(value, 32, "block hash"))

    def _block(self, block: Block | None, full: Any) -> Any:
        return None if block is None else formats.block(block, full is True, self.lookup.chain_id)
