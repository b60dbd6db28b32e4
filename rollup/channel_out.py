"""A channel while it is filled with L2 blocks, and the frames that it is cut into."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rollup.codec.batch import SingularBatch
from rollup.codec.channel import write_batches
from rollup.codec.compression import compress
from rollup.codec.config import RollupConfig
from rollup.codec.frame import FRAME_OVERHEAD_BYTES, MAX_FRAME_LENGTH, Frame, encode_frames
from rollup.codec.payload import PayloadEnvelope
from rollup.codec.refs import L2BlockRef
from rollup.codec.span import SpanBatch, SpanBlock

DEPOSIT: Final = 0x7E
FRAMES_MAX: Final = 1 << 15  # frame numbers are u16
PLAIN_BYTES_MAX: Final = 8 << 20  # far below the 100 MB that a reader takes
BLOCKS_MAX: Final = 20_000  # half a day of blocks: a reader expands them all at once
BLOCK_OVERHEAD: Final = 3  # bytes that a block adds to a span beside its transactions
SHADOW_LEVEL: Final = 6

Compression = Literal["zlib", "brotli", "smaller"]


@dataclass(frozen=True, slots=True)
class ChannelPolicy:
    """When a channel is closed and how it is cut.

    `target_bytes`: compressed, over all frames. `frame_bytes`: of one L1 transaction's data, or of
    one input to the DA layer. `duration`: L1 blocks after which it is closed however little is in.
    `window_margin`: L1 blocks before the end of the sequencing window at which it closes at once.
    """

    target_bytes: int = 100_000
    frame_bytes: int = 120_000
    duration: int = 10
    window_margin: int = 20
    span: bool = True
    compression: Compression = "brotli"


@dataclass(frozen=True, slots=True)
class OutBlock:
    """An L2 block as a batch tells it: where it stands, and its transactions without deposits."""

    ref: L2BlockRef
    transactions: tuple[bytes, ...]

    @classmethod
    def of(cls, ref: L2BlockRef, envelope: PayloadEnvelope) -> "OutBlock":
        sent = envelope.payload.transactions
        return cls(ref, tuple([raw for raw in sent if raw[0] != DEPOSIT]))


class ChannelOut:
    """Consecutive blocks after `parent`. What they will take compressed is estimated by zlib."""

    def __init__(
        self, config: RollupConfig, policy: ChannelPolicy, parent: L2BlockRef, l1_number: int
    ) -> None:
        self.parent = parent
        self.opened = l1_number
        self.blocks: list[OutBlock] = []
        self._config, self._policy = config, policy
        self._shadow = zlib.compressobj(SHADOW_LEVEL)
        self._compressed = 0
        self._plain = 0

    @property
    def end(self) -> L2BlockRef:
        """The last block in it, or the parent of the first."""
        return self.blocks[-1].ref if self.blocks else self.parent

    def add(self, block: OutBlock) -> None:
        assert block.ref.parent_hash == self.end.hash, "a channel is a chain of blocks"
        self.blocks.append(block)
        for raw in block.transactions:
            self._compressed += len(self._shadow.compress(raw))
            self._plain += len(raw)
        self._compressed += len(self._shadow.flush(zlib.Z_SYNC_FLUSH)) if block.transactions else 0
        self._plain += BLOCK_OVERHEAD

    @property
    def full(self) -> bool:
        size = self._compressed + BLOCK_OVERHEAD * len(self.blocks)
        return (
            size >= self._policy.target_bytes
            or self._plain >= PLAIN_BYTES_MAX
            or len(self.blocks) >= BLOCKS_MAX
        )

    def is_due(self, l1_number: int) -> bool:
        """Whether the blocks must go out now, though there is room for more."""
        if not self.blocks:
            return False
        window_ends = self.blocks[0].ref.l1_origin.number + self._config.seq_window_size
        return (
            l1_number - self.opened >= self._policy.duration
            or l1_number >= window_ends - self._policy.window_margin
        )


def encode_channel(
    config: RollupConfig, policy: ChannelPolicy, parent: L2BlockRef, blocks: Sequence[OutBlock]
) -> bytes:
    """The compressed channel. Slow: tenths of a second for a full one."""
    batches = [_span(config, parent, blocks)] if policy.span else list(map(_singular, blocks))
    plain = write_batches(batches)
    if policy.compression == "smaller":
        return min(compress(plain, "zlib"), compress(plain, "brotli"), key=len)
    return compress(plain, policy.compression)


def cut(channel_id: bytes, data: bytes, frame_bytes: int) -> tuple[bytes, ...]:
    """Batcher data of one frame each, none longer than `frame_bytes`."""
    room = min(frame_bytes - 1 - FRAME_OVERHEAD_BYTES, MAX_FRAME_LENGTH)
    pieces = [data[at : at + room] for at in range(0, len(data), room)]
    if len(pieces) > FRAMES_MAX:
        raise ValueError(f"a channel of {len(data)} bytes in frames of {frame_bytes}")
    last = len(pieces) - 1
    return tuple(
        [
            encode_frames([Frame(channel_id, number, piece, number == last)])
            for number, piece in enumerate(pieces)
        ]
    )


def _span(config: RollupConfig, parent: L2BlockRef, blocks: Sequence[OutBlock]) -> bytes:
    told = [
        SpanBlock(block.ref.time, block.ref.l1_origin.number, block.transactions)
        for block in blocks
    ]
    return SpanBatch.from_blocks(
        told,
        parent_hash=parent.hash,
        parent_epoch_number=parent.l1_origin.number,
        l1_origin_hash=blocks[-1].ref.l1_origin.hash,
        genesis_time=config.genesis.l2_time,
        chain_id=config.l2_chain_id,
    ).encode()


def _singular(block: OutBlock) -> bytes:
    ref = block.ref
    origin = ref.l1_origin
    return SingularBatch(
        ref.parent_hash, origin.number, origin.hash, ref.time, block.transactions
    ).encode()
