"""Blocks on disk by hash, the canonical chain over them by number, and the three heads."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.engine.errors import CorruptStore
from rollup.engine.kv import STATE_PREFIX, KeyValues
from rollup.engine.values import Block, Header, decode_block, encode_body

# m                 -> schema version
# g                 -> digest of the genesis file | hash of the first block
# heads             -> hash of head | of safe | of finalized
# h hash            -> RLP of the header
# b hash            -> RLP of transactions, senders and receipts
# n number u64      -> hash of the canonical block
# k number u64 hash -> nothing: every block that is stored, canonical or not
# t hash            -> number u64 | index u32 of a transaction on the canonical chain
# s hash            -> trie node or code
# p hash, q         -> the pruning's own (pruning.py)
SCHEMA_KEY: Final = b"m"
SCHEMA: Final = b"2"
GENESIS_KEY: Final = b"g"
HEADS_KEY: Final = b"heads"
BLOCKS_CACHED_MAX: Final = 256
HEADERS_CACHED_MAX: Final = 1024

Puts = dict[bytes, bytes | None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands."""

    block: Block
    index: int


@dataclass(frozen=True, slots=True)
class Heads:
    """Hashes of three canonical blocks, each an ancestor of the one before, or that one."""

    head: bytes
    safe: bytes
    finalized: bytes


class Blocks:
    """Reads may come from any thread; writes come from one at a time."""

    def __init__(self, store: KeyValues) -> None:
        self._store = store
        self._cache: OrderedDict[bytes, Block] = OrderedDict()
        self._headers: OrderedDict[bytes, Header] = OrderedDict()
        self.fresh: set[bytes] | None = None
        """While it is a set: the names of all nodes and code that blocks bring (for pruning)."""

    def heads(self) -> Heads | None:
        """None on an empty store. Raises `CorruptStore`."""
        schema = self._store.get(SCHEMA_KEY)
        heads = self._store.get(HEADS_KEY)
        if schema is None and heads is None:
            return None
        if schema != SCHEMA or heads is None or len(heads) != 96:
            raise CorruptStore(
                f"chain database has schema {schema!r}, this program reads {SCHEMA!r}"
            )
        return Heads(heads[:32], heads[32:64], heads[64:])

    def genesis(self) -> tuple[bytes, bytes]:
        """Digest of the genesis file that began this chain, and the hash of its first block."""
        value = self._store.get(GENESIS_KEY) or b""
        return value[:32], value[32:]

    # by hash: every block that is stored

    def header_of(self, block_hash: bytes) -> Header | None:
        known = self._headers.get(block_hash)
        if known is not None:
            return known
        data = self._store.get(b"h" + block_hash)
        if data is None:
            return None
        try:
            header = Header.decode(data)
        except Malformed as error:
            raise CorruptStore(f"a stored header does not decode: {error}") from error
        self._headers[block_hash] = header
        _shrink(self._headers, HEADERS_CACHED_MAX)
        return header

    def by_hash(self, block_hash: bytes) -> Block | None:
        known = self._cache.get(block_hash)
        if known is not None:
            return known
        header, body = self._store.get(b"h" + block_hash), self._store.get(b"b" + block_hash)
        if header is None or body is None:
            return None
        try:
            block = decode_block(header, body)
        except Malformed as error:
            raise CorruptStore(f"a stored block does not decode: {error}") from error
        self._remember(block)
        return block

    def siblings(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Number and hash of every stored block with first <= number <= last."""
        for key, _ in self._store.scan(b"k" + _u64(first), b"k" + _u64(last + 1)):
            yield int.from_bytes(key[1:9], "big"), key[9:]

    # by number: the canonical chain

    def hash_of(self, number: int) -> bytes | None:
        return self._store.get(b"n" + _u64(number)) if 0 <= number < 1 << 64 else None

    def header(self, number: int) -> Header | None:
        block_hash = self.hash_of(number)
        return None if block_hash is None else self.header_of(block_hash)

    def block(self, number: int) -> Block | None:
        block_hash = self.hash_of(number)
        return None if block_hash is None else self.by_hash(block_hash)

    def number_of(self, block_hash: bytes) -> int | None:
        """Of a canonical block."""
        header = self.header_of(block_hash)
        if header is None or self.hash_of(header.number) != block_hash:
            return None
        return header.number

    def is_canonical(self, block_hash: bytes) -> bool:
        return self.number_of(block_hash) is not None

    def place(self, transaction_hash: bytes) -> Place | None:
        data = self._store.get(b"t" + transaction_hash)
        if data is None:
            return None
        block = self.block(int.from_bytes(data[:8], "big"))
        return None if block is None else Place(block, int.from_bytes(data[8:], "big"))

    def headers(self, first: int, last: int) -> Iterator[Header]:
        """Canonical headers of first..last inclusive, in order."""
        for _, block_hash in self._store.scan(b"n" + _u64(first), b"n" + _u64(last + 1)):
            header = self.header_of(block_hash)
            if header is not None:
                yield header

    # writing

    def start(self, first: Block, state: dict[bytes, bytes], digest: bytes) -> None:
        """The first block as head of an empty store."""
        puts = self._block(first, state)
        puts[GENESIS_KEY] = digest + first.hash
        puts[b"n" + _u64(first.number)] = first.hash
        puts[SCHEMA_KEY] = SCHEMA
        puts[HEADS_KEY] = first.hash * 3
        self._store.write(puts)

    def insert(self, block: Block, state: dict[bytes, bytes]) -> None:
        """A block with its state, in one batch, of no chain yet.

        Not synced: `move` is, and the log keeps the order, so no head is ever without its state.
        """
        self._store.write(self._block(block, state), sync=False)
        self._remember(block)

    def move(self, heads: Heads, gone: Sequence[Block], come: Sequence[Block]) -> None:
        """Make `heads` the heads in one synced batch: `gone` leave the canonical chain, `come`
        enter it; both in rising order."""
        self._store.write(_moved(heads, gone, come))

    def extend(self, block: Block, state: dict[bytes, bytes], heads: Heads) -> None:
        """`insert` and `move` to a child of the head, in one synced batch."""
        self._store.write({**self._block(block, state), **_moved(heads, (), (block,))})
        self._remember(block)

    def _block(self, block: Block, state: dict[bytes, bytes]) -> Puts:
        if self.fresh is not None:
            self.fresh.update(state)
        puts: Puts = {STATE_PREFIX + name: node for name, node in state.items()}
        puts[b"h" + block.hash] = block.header.encode()
        puts[b"b" + block.hash] = encode_body(block)
        puts[b"k" + _u64(block.number) + block.hash] = b""
        return puts

    def _remember(self, block: Block) -> None:
        self._cache[block.hash] = block
        self._headers[block.hash] = block.header
        _shrink(self._cache, BLOCKS_CACHED_MAX)
        _shrink(self._headers, HEADERS_CACHED_MAX)


def _moved(heads: Heads, gone: Sequence[Block], come: Sequence[Block]) -> Puts:
    puts: Puts = {}
    for block in gone:
        puts[b"n" + _u64(block.number)] = None
        puts.update({b"t" + keccak(raw): None for raw in block.transactions})
    for block in come:
        number = _u64(block.number)
        puts[b"n" + number] = block.hash
        for index, raw in enumerate(block.transactions):
            puts[b"t" + keccak(raw)] = number + index.to_bytes(4, "big")
    puts[HEADS_KEY] = heads.head + heads.safe + heads.finalized
    return puts


def _shrink(cache: "OrderedDict[bytes, Block] | OrderedDict[bytes, Header]", most: int) -> None:
    while len(cache) > most:
        cache.popitem(last=False)


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")
