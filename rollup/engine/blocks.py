"""The chain on disk: blocks by number, hash and transaction, with the head in the same batch."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.engine.errors import CorruptStore
from rollup.engine.kv import STATE_PREFIX, KeyValues
from rollup.engine.values import Block, Header, decode_block, encode_body

# m            -> schema version
# head         -> number u64
# h number u64 -> RLP of the header
# b number u64 -> RLP of transactions, senders and receipts
# x hash       -> number u64
# t hash       -> number u64 | index u32 of a transaction
# s hash       -> trie node or code
SCHEMA_KEY: Final = b"m"
SCHEMA: Final = b"1"
HEAD_KEY: Final = b"head"
BLOCKS_CACHED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands."""

    block: Block
    index: int


class Blocks:
    """Reads may come from any thread; writes come from one at a time."""

    def __init__(self, store: KeyValues) -> None:
        self._store = store
        self._cache: OrderedDict[int, Block] = OrderedDict()

    def head(self) -> int | None:
        """Number of the last block, None on an empty store. Raises `CorruptStore`."""
        schema = self._store.get(SCHEMA_KEY)
        head = self._store.get(HEAD_KEY)
        if schema is None and head is None:
            return None
        if schema != SCHEMA or head is None or len(head) != 8:
            raise CorruptStore(
                f"chain database has schema {schema!r}, this program reads {SCHEMA!r}"
            )
        return int.from_bytes(head, "big")

    def header(self, number: int) -> Header | None:
        cached = self._cache.get(number)
        if cached is not None:
            return cached.header
        data = self._store.get(b"h" + _u64(number))
        try:
            return None if data is None else Header.decode(data)
        except Malformed as error:
            raise CorruptStore(str(error)) from error

    def block(self, number: int) -> Block | None:
        cached = self._cache.get(number)
        if cached is not None:
            return cached
        header = self._store.get(b"h" + _u64(number))
        body = self._store.get(b"b" + _u64(number))
        if header is None or body is None:
            return None
        try:
            block = decode_block(header, body)
        except Malformed as error:
            raise CorruptStore(str(error)) from error
        self._remember(block)
        return block

    def number_of(self, block_hash: bytes) -> int | None:
        data = self._store.get(b"x" + block_hash)
        return None if data is None else int.from_bytes(data, "big")

    def place(self, transaction_hash: bytes) -> Place | None:
        data = self._store.get(b"t" + transaction_hash)
        if data is None:
            return None
        block = self.block(int.from_bytes(data[:8], "big"))
        return None if block is None else Place(block, int.from_bytes(data[8:], "big"))

    def headers(self, first: int, last: int) -> Iterator[Header]:
        """Headers of first..last inclusive, in order."""
        for _, data in self._store.scan(b"h" + _u64(first), b"h" + _u64(last + 1)):
            yield Header.decode(data)

    def commit(self, block: Block, state: dict[bytes, bytes]) -> None:
        """Write state, block, indices and head in one synced batch: no head without its state."""
        number = _u64(block.number)
        puts: dict[bytes, bytes | None] = {STATE_PREFIX + k: v for k, v in state.items()}
        puts[b"h" + number] = block.header.encode()
        puts[b"b" + number] = encode_body(block)
        puts[b"x" + block.hash] = number
        for index, raw in enumerate(block.transactions):
            puts[b"t" + keccak(raw)] = number + index.to_bytes(4, "big")
        puts[SCHEMA_KEY] = SCHEMA
        puts[HEAD_KEY] = number
        self._store.write(puts)
        self._remember(block)

    def truncate(self, number: int, head: int) -> None:
        """Forget blocks number+1..head in one synced batch; their state stays, unreachable."""
        puts: dict[bytes, bytes | None] = {HEAD_KEY: _u64(number)}
        for gone in range(number + 1, head + 1):
            block = self.block(gone)
            if block is not None:
                puts[b"x" + block.hash] = None
                puts.update({b"t" + keccak(raw): None for raw in block.transactions})
            puts[b"h" + _u64(gone)] = puts[b"b" + _u64(gone)] = None
        self._store.write(puts)
        self._cache.clear()

    def _remember(self, block: Block) -> None:
        self._cache[block.number] = block
        while len(self._cache) > BLOCKS_CACHED_MAX:
            self._cache.popitem(last=False)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
