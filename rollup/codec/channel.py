"""Channels: frames put together again in order, and the batches in what they carry.

channel = compressed stream of batch+, each wrapped as an RLP string

https://specs.optimism.io/protocol/holocene/derivation.html#frame-queue: since Holocene the frames
of a channel follow each other without a gap.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from protocol.codec import require
from rollup.codec.compression import MAX_RLP_BYTES, inflate
from rollup.codec.frame import Frame
from rollup.codec.refs import L1BlockRef
from rollup.codec.strict import encode

FRAME_SIZE_OVERHEAD: Final = 200  # op-node counts this much beside the data of each frame


class Channel:
    """One channel while its frames come in, oldest first; the holder drops it when it timed out.

    Its first frame must have number 0, and nothing follows the last one.
    """

    __slots__ = ("_frames", "channel_id", "open_block", "ready", "size")

    def __init__(self, channel_id: bytes, open_block: L1BlockRef) -> None:
        self.channel_id = channel_id
        self.open_block = open_block
        self.size = 0  # bytes, with the overhead of each frame
        self.ready = False
        self._frames: list[bytes] = []

    def add_frame(self, frame: Frame) -> None:
        """`Malformed` if the frame is not the next one of this channel; the channel stays as it is
        then, and the frame is dropped."""
        require(frame.channel_id == self.channel_id, "frame of another channel")
        require(not self.ready, "frame after the last one")
        require(frame.number == len(self._frames), f"frame {frame.number} is not the next one")
        self._frames.append(frame.data)
        self.size += len(frame.data) + FRAME_SIZE_OVERHEAD
        self.ready = frame.is_last

    @property
    def oversized(self) -> bool:
        """Too large to be kept, even if it is ready (Holocene: the bound of its plain data)."""
        return self.size > MAX_RLP_BYTES

    def timed_out(self, l1_number: int, timeout: int) -> bool:
        """Whether at the L1 block `l1_number` more than `timeout` blocks passed since it opened."""
        return self.open_block.number + timeout < l1_number

    @property
    def data(self) -> bytes:
        """The compressed data of a channel that is ready."""
        assert self.ready
        return b"".join(self._frames)


def read_batches(
    data: bytes, limit: int = MAX_RLP_BYTES, brotli_allowed: bool = True
) -> Iterator[bytes]:
    """The encoded batches in the compressed `data` of a channel, one after the other.

    Ends where the channel or `limit` ends; raises `Malformed` where anything is wrong, after the
    batches before that place, which count: see op-node's derive/channel_in_reader.go.
    """
    window = _Window(inflate(data, limit, brotli_allowed))
    left = limit
    while first := window.peek(1):
        require(first[0] < 0xC0, "a batch is not a list")
        start, size = _string_at(window.peek(1 + max(0, first[0] - 0xB7)))
        require(start + size <= left, f"batch of {size} bytes, {left} are allowed")
        window.take(start)
        item = window.take(size)
        require(size != 1 or start == 0 or item[0] >= 0x80, "an RLP byte below 0x80 has a prefix")
        left -= start + size
        yield item


def write_batches(batches: Iterable[bytes]) -> bytes:
    """The plain data of a channel: compress it, and `read_batches` reads it."""
    return b"".join([encode(batch) for batch in batches])


def _string_at(head: bytes) -> tuple[int, int]:
    """Size of the header and of the payload of the RLP string that starts with `head`."""
    prefix = head[0]
    if prefix < 0x80:
        return 0, 1
    if prefix <= 0xB7:
        return 1, prefix - 0x80
    size = int.from_bytes(head[1:], "big")
    require(len(head) == 1 + prefix - 0xB7, "the RLP length of a batch is cut")
    require(head[1] != 0 and size > 55, f"RLP length {size} in the long form")
    return len(head), size


class _Window:
    """Bytes that come in pieces, readable from the front."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._bytes = bytearray()

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or fewer where they end."""
        self._fill(size)
        return bytes(self._bytes[:size])

    def take(self, size: int) -> bytes:
        self._fill(size)
        require(len(self._bytes) >= size, f"want {size} bytes, have {len(self._bytes)}")
        taken = bytes(self._bytes[:size])
        del self._bytes[:size]
        return taken

    def _fill(self, size: int) -> None:
        while len(self._bytes) < size:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._bytes += piece
