"""Bodies by their commitments, chunk by chunk, each chunk verified on arrival.

request = kind u8 ++ size u64 ++ root[32] ++ index u32
answer = count u8 ++ count * sibling[32] ++ chunk
"""

import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from p2p.chunks import chunk_tree
from p2p.peers import Busy, Peers
from p2p.score import Offence
from p2p.standing import Standing
from protocol.codec import Reader, require, uint
from protocol.errors import Malformed, Refused, Temporary
from protocol.merkle import Commitment

PROTOCOL = "/openledger/fetch/1"
SIBLINGS_MAX = 40
ANSWER_BYTES_MAX = 1024 * 1024 + 1 + 32 * SIBLINGS_MAX
CHUNK_SECONDS = 20.0
IN_FLIGHT_MAX = 4  # chunks asked for at a time
FAILURES_MAX = 3  # of one peer in one fetch, then he is left out
BUSY_SECONDS, BUSY_MAX = 0.25, 120  # how long, how often to wait for the busy in one fetch


@dataclass(slots=True)
class _Sources:
    """Whom to ask; those who fail too often, or lack the body, leave."""

    failures: dict[bytes, int]
    busy: int = 0
    asked: set[bytes] = field(default_factory=set)

    def pick(self) -> bytes | None:
        least = min(self.failures.values(), default=0)
        best = [peer for peer, count in self.failures.items() if count == least]
        return random.choice(best) if best else None

    def failed(self, peer: bytes) -> None:
        self.failures[peer] = self.failures.get(peer, 0) + 1
        if self.failures[peer] >= FAILURES_MAX:
            del self.failures[peer]

    def leave(self, peer: bytes) -> None:
        self.failures.pop(peer, None)


class Fetcher:
    """Downloads bodies from connected peers into files, going on where it stopped."""

    def __init__(self, peers: Peers, standing: Standing) -> None:
        self._peers = peers
        self._standing = standing

    async def fetch(
        self, commitment: Commitment, target: Path, sources: Iterable[bytes] = ()
    ) -> None:
        """Write the body to `target`; what was verified stays in `target`.part if it fails.

        `sources` are asked beside the connected peers. `Temporary` says that nobody gives it.
        """
        part = target.with_name(target.name + ".part")
        first = await trio.to_thread.run_sync(_chunks_kept, commitment, part)
        whom = _Sources(dict.fromkeys([*sources, *self._peers.connected()], 0))
        for index in range(first, commitment.chunks, IN_FLIGHT_MAX):
            last = min(index + IN_FLIGHT_MAX, commitment.chunks)
            chunks = await self._several(commitment, range(index, last), whom)
            await trio.to_thread.run_sync(_write, part, index * commitment.chunk_bytes, chunks)
        if first:  # a file that survived a crash is believed only after a second look
            await trio.to_thread.run_sync(_check_whole, commitment, part)
        await trio.to_thread.run_sync(os.replace, part, target)

    async def _several(self, commitment: Commitment, indices: range, whom: _Sources) -> list[bytes]:
        chunks: dict[int, bytes] = {}
        errors: list[Temporary] = []

        async def one(index: int) -> None:
            try:
                chunks[index] = await self._chunk(commitment, index, whom)
            except Temporary as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for index in indices:
                nursery.start_soon(one, index)
        if errors:
            raise errors[0]
        return [chunks[index] for index in indices]

    async def _chunk(self, commitment: Commitment, index: int, whom: _Sources) -> bytes:
        """One verified chunk from whoever gives it."""
        while (peer := whom.pick()) is not None:
            whom.asked.add(peer)
            try:
                return await self._ask(peer, commitment, index)
            except Refused:
                whom.leave(peer)
            except Malformed:
                self._standing.blame(peer, Offence.FALSE_CHUNK)
                whom.leave(peer)
            except Busy:
                whom.busy += 1
                if whom.busy > BUSY_MAX:
                    whom.failed(peer)
                await trio.sleep(BUSY_SECONDS)
            except Temporary:
                whom.failed(peer)
        raise Temporary(
            f"no peer gives chunk {index} of body {commitment.root.hex()}: "
            f"{len(whom.asked)} were asked"
        )

    async def _ask(self, peer: bytes, commitment: Commitment, index: int) -> bytes:
        ask = partial(self._peers.request, answer_max=ANSWER_BYTES_MAX, deadline=CHUNK_SECONDS)
        reader = Reader(await ask(peer, PROTOCOL, encode_request(commitment, index)))
        count = reader.uint(1)
        require(count <= SIBLINGS_MAX, "too many siblings")
        siblings = [reader.take(32) for _ in range(count)]
        chunk = reader.take(commitment.chunk_size(index))
        reader.end()
        commitment.verify_chunk(index, chunk, siblings)
        return chunk


def encode_request(commitment: Commitment, index: int) -> bytes:
    head = uint(commitment.kind, 1) + uint(commitment.size, 8)
    return head + commitment.root + uint(index, 4)


def decode_request(data: bytes) -> tuple[Commitment, int]:
    reader = Reader(data)
    commitment = Commitment(reader.uint(1), reader.uint(8), reader.take(32))
    index = reader.uint(4)
    reader.end()
    return commitment, index


def _chunks_kept(commitment: Commitment, part: Path) -> int:
    """How many whole chunks an earlier attempt left."""
    size = part.stat().st_size if part.exists() else 0
    return min(size // commitment.chunk_bytes, commitment.chunks)


def _write(part: Path, offset: int, chunks: Sequence[bytes]) -> None:
    with part.open("r+b" if part.exists() else "w+b") as file:
        file.truncate(offset)
        file.seek(offset)
        file.writelines(chunks)
        file.flush()
        os.fsync(file.fileno())


def _check_whole(commitment: Commitment, part: Path) -> None:
    try:
        chunk_tree(commitment, part)
    except Malformed as error:
        part.unlink()
        raise Temporary("a partial download was damaged, it starts anew") from error
