"""LevelDB as the engine's only file: locked, checked on every read, written in synced batches."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

import plyvel
from eth.db.backends.base import BaseDB

from rollup.engine.errors import CorruptStore, StoreLocked
from rollup.engine.statetrie import Items

WRITE_BUFFER_BYTES: Final = 16 << 20
BLOCK_CACHE_BYTES: Final = 32 << 20
STATE_PREFIX: Final = b"s"


class KeyValues:
    """One directory of keys and values.

    `paranoid_checks` makes LevelDB refuse a damaged log instead of skipping its records, and every
    read verifies its checksum: a hole in the state would otherwise look like an empty account. The
    lock is our own because LevelDB drops its lock after a failed second open in one process.
    Raises `StoreLocked`, or `CorruptStore` from any method.
    """

    def __init__(self, directory: Path) -> None:
        self.split_nodes: dict[bytes, Items] = {}
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._lock = os.open(
            directory / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StoreLocked(f"data directory {directory} is used by another process") from error
        try:
            self._db = plyvel.DB(
                str(directory / "chain"),
                create_if_missing=True,
                paranoid_checks=True,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=BLOCK_CACHE_BYTES,
                bloom_filter_bits=10,
            )
        except plyvel.Error as error:
            os.close(self._lock)
            raise self._corrupt(error) from error

    def get(self, key: bytes) -> bytes | None:
        try:
            value: bytes | None = self._db.get(key, verify_checksums=True)
        except plyvel.Error as error:
            raise self._corrupt(error) from error
        return value

    def scan(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in the order of keys."""
        try:
            with self._db.iterator(start=start, stop=stop, verify_checksums=True) as pairs:
                yield from pairs
        except plyvel.Error as error:
            raise self._corrupt(error) from error

    def keys(self, start: bytes, stop: bytes) -> Iterator[bytes]:
        """Keys with start <= key < stop, in order, as they were at the first one."""
        try:
            with self._db.iterator(start=start, stop=stop, include_value=False) as keys:
                yield from keys
        except plyvel.Error as error:
            raise self._corrupt(error) from error

    def node(self, name: bytes) -> bytes | None:
        """A trie node or code, by its hash."""
        return self.get(STATE_PREFIX + name)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = True) -> None:
        """All of `puts` or nothing; `None` deletes.

        With `sync` it is on disk before this returns, and so is all that was written before: the
        log keeps the order.
        """
        try:
            with self._db.write_batch(transaction=True, sync=sync) as batch:
                for key, value in puts.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        except plyvel.Error as error:
            raise self._corrupt(error) from error

    def close(self) -> None:
        self._db.close()
        os.close(self._lock)

    def _corrupt(self, error: Exception) -> CorruptStore:
        return CorruptStore(
            f"the chain database in {self._directory} cannot be read ({error}); nothing was "
            "deleted: restore it from a copy, or move it away to start again from genesis"
        )


class Reads(Protocol):
    """Where trie nodes and code lie, by the hash of each; `split_nodes` are those that were read
    lately, split into their items, for all who read from here."""

    @property
    def split_nodes(self) -> dict[bytes, Items]: ...

    def node(self, name: bytes) -> bytes | None: ...


class StateOverlay(BaseDB):
    """py-evm's database: trie nodes and code read from below, new ones gathered in memory.

    Keys are hashes of their values, so an overlay never disagrees with the store below it; what a
    block adds is written with its header in one batch, or never.
    """

    def __init__(self, below: Reads) -> None:
        self._below = below
        self.split_nodes = below.split_nodes
        self.added: dict[bytes, bytes] = {}

    def __getitem__(self, key: bytes) -> bytes:
        value = self.added.get(key)
        if value is None:
            value = self._below.node(key)
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.added[key] = value

    def __delitem__(self, key: bytes) -> None:
        self.added.pop(key, None)

    def _exists(self, key: bytes) -> bool:
        return key in self.added or self._below.node(key) is not None
