"""Answering requests for chunks of the bodies that this node holds."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import trio

from p2p.chunks import ChunkTree, chunk_tree, reader
from p2p.fetch import decode_request
from p2p.limits import Buckets, Rate
from protocol.codec import require, uint
from protocol.errors import Malformed, Refused, Temporary
from protocol.merkle import Commitment

TREES_MAX = 64  # bodies whose proofs are kept
SERVE_RATE = Rate(per_second=32.0 * 1024**2, burst=128.0 * 1024**2)  # bytes to one peer

BodyOf = Callable[[Commitment], Path | bytes | None]


class ChunkServer:
    """Answers requests for chunks of what `body(commitment)` finds."""

    def __init__(self, body: BodyOf) -> None:
        self._body = body
        self._trees: OrderedDict[Commitment, ChunkTree] = OrderedDict()
        self._building = trio.Lock()
        self._buckets = Buckets(SERVE_RATE)

    async def answer(self, peer: bytes, request: bytes) -> bytes:
        commitment, index = decode_request(request)
        body = self._body(commitment)
        if body is None:
            raise Refused(f"no body {commitment.root.hex()} here")
        require(index < commitment.chunks, f"chunk {index} of {commitment.chunks}")
        if not self._buckets.take(peer, trio.current_time(), commitment.chunk_size(index)):
            raise Temporary("over the bytes per second that one peer gets")
        tree = await self._tree(commitment, body)
        chunk = await trio.to_thread.run_sync(reader(body), commitment, index)
        siblings = tree.siblings(index)
        return uint(len(siblings), 1) + b"".join(siblings) + chunk

    async def _tree(self, commitment: Commitment, body: Path | bytes) -> ChunkTree:
        async with self._building:  # one at a time: hashing is the work that strangers can order
            tree = self._trees.pop(commitment, None)
            if tree is None:
                try:
                    tree = await trio.to_thread.run_sync(chunk_tree, commitment, body)
                except (Malformed, OSError) as error:
                    # Our own file is broken, which is no fault of who asks for it.
                    raise Refused(f"the body {commitment.root.hex()} is damaged here") from error
            self._trees[commitment] = tree
            if len(self._trees) > TREES_MAX:
                self._trees.popitem(last=False)
            return tree
