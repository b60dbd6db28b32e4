"""Frames: the pieces of a channel, as they lie in the data of a batcher transaction.

transaction data = 0x00 | frame+
frame = channel id, 16 bytes | number, u16 | size, u32 | data | last, 0x00 or 0x01

https://specs.optimism.io/protocol/derivation.html#frame-format
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from protocol.codec import require, require_uint, uint

DERIVATION_VERSION: Final = 0  # first byte of a batcher transaction that carries frames
CHANNEL_ID_BYTES: Final = 16
MAX_FRAME_LENGTH: Final = 1_000_000  # bytes of data in one frame
FRAME_OVERHEAD_BYTES: Final = CHANNEL_ID_BYTES + 2 + 4 + 1  # what a frame adds to its data


@dataclass(frozen=True, slots=True)
class Frame:
    """One piece of a channel; `number` counts from 0."""

    channel_id: bytes
    number: int
    data: bytes
    is_last: bool

    def __post_init__(self) -> None:
        require(len(self.channel_id) == CHANNEL_ID_BYTES, "a channel id has 16 bytes")
        require_uint(self.number, 16, "frame number")
        require(len(self.data) <= MAX_FRAME_LENGTH, f"frame of {len(self.data)} bytes")

    def encode(self) -> bytes:
        size = uint(len(self.data), 4)
        return self.channel_id + uint(self.number, 2) + size + self.data + bytes((self.is_last,))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        frame, end = cls.read(data, 0)
        require(end == len(data), f"{len(data) - end} bytes after a frame")
        return frame

    @classmethod
    def read(cls, data: bytes, at: int) -> tuple[Self, int]:
        """The frame that starts at `at`, and where it ends."""
        start = at + CHANNEL_ID_BYTES + 6
        size = int.from_bytes(data[start - 4 : start], "big")
        require(size <= MAX_FRAME_LENGTH, f"frame of {size} bytes")
        end = start + size
        require(end < len(data), f"frame of {size} bytes is cut")
        require(data[end] <= 1, f"frame ends with byte {data[end]}")
        number = int.from_bytes(data[start - 6 : start - 4], "big")
        channel_id = data[at : at + CHANNEL_ID_BYTES]
        return cls(channel_id, number, data[start:end], bool(data[end])), end + 1


def parse_frames(data: bytes) -> tuple[Frame, ...]:
    """The frames of a batcher transaction's `data`, or `Malformed`: one bad frame spoils all, as
    the specification demands."""
    require(data[:1] == bytes((DERIVATION_VERSION,)), f"batcher data of version {data[:1].hex()}")
    frames = []
    at = 1
    while at < len(data):
        frame, at = Frame.read(data, at)
        frames.append(frame)
    require(bool(frames), "batcher data without a frame")
    return tuple(frames)


def encode_frames(frames: Iterable[Frame]) -> bytes:
    """What `parse_frames` reads."""
    return bytes((DERIVATION_VERSION,)) + b"".join([frame.encode() for frame in frames])
