"""Committed bodies on disk: corpora, document tables, adapters, batch bodies, by their roots."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from protocol.codec import Reader, require, uint
from protocol.errors import Temporary
from protocol.merkle import Commitment, byte_root
from roles.ports import Store

PREFIX = b"bodies/"
FETCH_SECONDS = 60.0  # of one try at a whole body

Fetch = Callable[[Commitment, Path], Awaitable[None]]


class FileBodies:
    """The `Bodies` port.  A body is in the store's index only when its file is whole and synced."""

    def __init__(self, folder: Path, store: Store, fetch: Fetch) -> None:
        self._folder, self._store, self._fetch = folder, store, fetch
        folder.mkdir(parents=True, exist_ok=True)

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        assert len(data) == commitment.size
        if self._indexed(commitment) is None:
            await trio.to_thread.run_sync(write_synced, self._path(commitment), data)
            self._index(commitment)

    async def fetch(self, commitment: Commitment) -> bytes:
        """The bytes, from the disk or from peers; `Temporary` when nobody gives them."""
        path = self._indexed(commitment)
        if path is not None:
            data = await trio.to_thread.run_sync(path.read_bytes)
            root = await trio.to_thread.run_sync(byte_root, commitment.kind, data)
            if len(data) == commitment.size and root == commitment.root:
                return data
            path.unlink()  # the disk lost or changed it: have it again from peers
        with trio.move_on_after(FETCH_SECONDS) as scope:
            await self._fetch(commitment, self._path(commitment))
        if scope.cancelled_caught:
            raise Temporary(f"body {commitment.root.hex()} did not come in {FETCH_SECONDS:g} s")
        self._index(commitment)
        return await trio.to_thread.run_sync(self._path(commitment).read_bytes)

    def served(self, root: bytes) -> tuple[Commitment, Path] | None:
        """What peers may have of us."""
        row = self._store.get(PREFIX + root)
        if row is None:
            return None
        reader = Reader(row)
        commitment = Commitment(reader.uint(1), reader.uint(8), root)
        reader.end()
        path = self._path(commitment)
        return (commitment, path) if path.is_file() else None

    def _indexed(self, commitment: Commitment) -> Path | None:
        found = self.served(commitment.root)
        if found is None:
            return None
        require(found[0] == commitment, "two bodies with one root")
        return found[1]

    def _index(self, commitment: Commitment) -> None:
        row = uint(commitment.kind, 1) + uint(commitment.size, 8)
        self._store.write({PREFIX + commitment.root: row}, sync=True)

    def _path(self, commitment: Commitment) -> Path:
        return self._folder / f"{commitment.root.hex()}"


def write_synced(path: Path, data: bytes) -> None:
    """Write the file whole or not at all, on disk before this returns."""
    part = path.with_name(path.name + ".new")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
