"""The embedded DA store: data by their keccak commitment, durable when `put` returns.

Records of the node's store: b"d" ++ commitment -> the data; b"s" ++ commitment -> their size u32.
"""

from typing import Final

from protocol.errors import Refused, Temporary
from rollup.da.rest import OBJECT_BYTES_MAX, keccak_commitment, matches
from rollup.ports import Store

TOTAL_BYTES_MAX: Final = 64 << 30  # all data together, unless the operator says otherwise
DATA, SIZE = b"d", b"s"


class Full(Temporary):
    """There is no room: the batcher should use L1."""


class KeccakStore:
    """Not safe for two threads at a time; each call blocks until the disk has answered."""

    def __init__(self, store: Store, *, total_max: int = TOTAL_BYTES_MAX) -> None:
        self._store = store
        self._total_max = total_max
        sizes = (int.from_bytes(size, "big") for _, size in store.scan(SIZE))
        self.objects, self.total = 0, 0
        for size in sizes:
            self.objects += 1
            self.total += size

    def put(self, data: bytes) -> bytes:
        """The commitment of the data, which are on disk. `Refused` by their size, `Full`."""
        if not 0 < len(data) <= OBJECT_BYTES_MAX:
            raise Refused(f"{len(data)} bytes of data, want 1 to {OBJECT_BYTES_MAX}")
        commitment = keccak_commitment(data)
        if self._store.get(SIZE + commitment) is not None:
            return commitment
        if self.total + len(data) > self._total_max:
            raise Full(f"the store holds {self.total} of {self._total_max} bytes")
        size = len(data).to_bytes(4, "big")
        self._store.write({DATA + commitment: data, SIZE + commitment: size}, sync=True)
        self.objects += 1
        self.total += len(data)
        return commitment

    def get(self, commitment: bytes) -> bytes | None:
        """The data, or None. `Temporary` if the disk gives others than were put."""
        data = self._store.get(DATA + commitment)
        if data is not None and not matches(commitment, data):
            raise Temporary(f"the data of {commitment.hex()} are damaged on disk")
        return data
