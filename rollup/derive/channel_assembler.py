"""The channel assembler: at most one open channel, filled by frames in order.

Source: specs, protocol/holocene/derivation.md "Channel Bank"; op-node, channel_assembler.go.
"""

from protocol.errors import Malformed
from rollup.codec.channel import Channel
from rollup.codec.config import RollupConfig
from rollup.codec.frame import Frame
from rollup.derive.frame_queue import FrameQueue
from rollup.derive.l1_traversal import L1Traversal
from rollup.derive.needs import Need


class ChannelAssembler:
    """Holds one channel, of at most MAX_RLP_BYTES and one frame."""

    def __init__(self, config: RollupConfig, l1: L1Traversal, previous: FrameQueue) -> None:
        self._config = config
        self._l1 = l1
        self._previous = previous
        self._channel: Channel | None = None

    def flush(self) -> None:
        self._channel = None

    def next(self) -> bytes | Need | None:
        """The compressed data of the next complete channel; None when this L1 block ends none."""
        self._drop_timed_out()
        while True:
            frame = self._previous.next()
            if not isinstance(frame, Frame):
                return frame
            data = self._add(frame)
            if data is not None:
                return data

    def _drop_timed_out(self) -> None:
        """Only here: inside one L1 block no channel can time out."""
        origin = self._l1.origin
        timeout = self._config.channel_timeout_at(origin.time)
        if self._channel is not None and self._channel.timed_out(origin.number, timeout):
            self._channel = None

    def _add(self, frame: Frame) -> bytes | None:
        """The data of the channel that this frame completes."""
        if frame.number == 0:  # a first frame always starts a channel, whatever was open
            self._channel = Channel(frame.channel_id, self._l1.origin)
        if self._channel is None:
            return None
        try:
            self._channel.add_frame(frame)
        except Malformed:
            return None  # not the next one of this channel, which goes on
        if self._channel.oversized:
            self._channel = None
        elif self._channel.ready:
            data, self._channel = self._channel.data, None
            return data
        return None
