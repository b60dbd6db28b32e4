"""The frame queue since Holocene: frames of one batcher transaction, contiguous per channel.

Source: specs, protocol/holocene/derivation.md, "Frame Queue"; op-node, frame_queue.go.
"""

from collections import deque
from collections.abc import Sequence

from protocol.errors import Malformed
from rollup.codec.frame import Frame, parse_frames
from rollup.derive.l1_retrieval import L1Retrieval
from rollup.derive.needs import Need


def prune(frames: Sequence[Frame]) -> list[Frame]:
    """Those frames that are left when each one that is out of order is dropped.

    A first frame drops the unclosed channel before it; any other frame must continue the frame
    before it.  Frames of one channel whose first frame came earlier may lead the list.
    """
    kept: list[Frame] = []
    for frame in frames:
        if kept and frame.number == 0 and frame.channel_id != kept[-1].channel_id:
            _drop_unclosed(kept)
        if not kept or _continues(kept[-1], frame):
            kept.append(frame)
    return kept


def _continues(last: Frame, frame: Frame) -> bool:
    if last.channel_id == frame.channel_id:
        return not last.is_last and frame.number == last.number + 1
    return frame.number == 0  # the channel before it is closed, or was just dropped


def _drop_unclosed(kept: list[Frame]) -> None:
    """All frames of the last channel, unless its last frame is there."""
    while kept and not kept[-1].is_last:
        kept.pop()


class FrameQueue:
    def __init__(self, previous: L1Retrieval) -> None:
        self._previous = previous
        self._frames: deque[Frame] = deque()

    def next(self) -> Frame | Need | None:
        """The next frame; None when this L1 block has no more."""
        while not self._frames:
            data = self._previous.next()
            if not isinstance(data, bytes):
                return data
            try:
                self._frames.extend(prune(parse_frames(data)))
            except Malformed:
                continue  # anybody's bytes, or a batcher's mistake: this transaction counts not
        return self._frames.popleft()
