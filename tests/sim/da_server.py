"""A DA server in memory, honest unless it is bent."""

from collections.abc import Callable

import trio

from protocol.errors import Temporary
from roles.availability import CHUNK_BYTES
from rollup.da.rest import keccak_commitment


class Server:
    """An honest one by keccak; `bend` changes what it gives."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}
        self.asked = 0
        self.bend: Callable[[bytes, bytes], bytes] = lambda commitment, data: data
        self.commit: Callable[[bytes], bytes] = keccak_commitment
        self.slow = 0.0
        self.refuse: Exception | None = None

    async def put(self, data: bytes) -> bytes:
        await trio.sleep(self.slow)
        if self.refuse:
            raise self.refuse
        assert len(data) <= CHUNK_BYTES
        self.held[self.commit(data)] = data
        return self.commit(data)

    async def get(self, commitment: bytes) -> bytes:
        await trio.sleep(self.slow)
        self.asked += 1
        if commitment not in self.held:
            raise Temporary("the DA server does not have these data")
        return self.bend(commitment, self.held[commitment])
