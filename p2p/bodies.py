"""The Bodies port: a folder of committed bodies, filled by this node and from its peers.

A body lies in `<root, hex>.<kind>.<size>`, so the folder is its own index and a name says what
its bytes must hash to.
"""

import os
from pathlib import Path

import trio

from p2p.chunk_server import ChunkServer
from p2p.chunks import chunk_tree
from p2p.fetch import PROTOCOL, Fetcher
from p2p.peers import Peers
from p2p.standing import Standing
from protocol.errors import Malformed
from protocol.merkle import Commitment

HELD_MAX = 65536  # bodies in one folder
FETCHES_MAX = 4  # at a time


class Bodies:
    """`offer` keeps and serves, `fetch` finds; both are durable when they return."""

    def __init__(self, folder: Path, peers: Peers, standing: Standing) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._held = set(_scan(folder))
        self._fetcher = Fetcher(peers, standing)
        self._limiter = trio.CapacityLimiter(FETCHES_MAX)
        self._waiting: dict[Commitment, trio.Lock] = {}
        peers.serve(PROTOCOL, ChunkServer(self.find).answer)

    def find(self, commitment: Commitment) -> Path | None:
        """The file that holds a body, if this node has it."""
        return self._path(commitment) if commitment in self._held else None

    def held(self) -> list[Commitment]:
        return list(self._held)

    async def offer(self, commitment: Commitment, data: bytes) -> None:
        """Keep the body durably and serve it; `Malformed` if it is not what is committed."""
        if commitment in self._held:
            return
        await trio.to_thread.run_sync(chunk_tree, commitment, data)
        await trio.to_thread.run_sync(_write, self._path(commitment), data)
        self._held.add(commitment)

    async def fetch(self, commitment: Commitment) -> bytes:
        """The whole body, verified, from here or from peers; `Temporary` when nobody gives it."""
        path = await self.fetch_file(commitment)
        data = await trio.to_thread.run_sync(path.read_bytes)
        try:
            await trio.to_thread.run_sync(chunk_tree, commitment, data)
        except Malformed:  # damaged on our disk: the peers may have a sound one
            self._held.discard(commitment)
            path = await self.fetch_file(commitment)
            data = await trio.to_thread.run_sync(path.read_bytes)
        return data

    async def fetch_file(self, commitment: Commitment) -> Path:
        """As `fetch`, for bodies that do not belong into memory: the file that holds it."""
        path = self._path(commitment)
        lock = self._waiting.setdefault(commitment, trio.Lock())
        try:
            async with lock:  # two roles that want one body download it once
                if commitment not in self._held:
                    async with self._limiter:
                        await self._fetcher.fetch(commitment, path)
                    self._held.add(commitment)
        finally:
            if not lock.statistics().tasks_waiting:
                self._waiting.pop(commitment, None)
        return path

    def _path(self, commitment: Commitment) -> Path:
        return self._folder / f"{commitment.root.hex()}.{commitment.kind}.{commitment.size}"


def _scan(folder: Path) -> list[Commitment]:
    found = []
    for path in sorted(folder.iterdir())[:HELD_MAX]:
        try:
            root, kind, size = path.name.split(".")
            commitment = Commitment(int(kind), int(size), bytes.fromhex(root))
        except (ValueError, Malformed):
            continue  # a partial download, or nothing of ours
        if path.stat().st_size == commitment.size:
            found.append(commitment)
    return found


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
