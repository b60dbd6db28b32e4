"""The channel reader: the batches in a channel, one at a time, until one of them is malformed.

Source: specs, protocol/derivation.md "Channel Reader (Batch Decoding)"; op-node,
channel_in_reader.go.
"""

from collections.abc import Iterator
from typing import Final

from protocol.errors import Malformed
from rollup.codec.batch import SingularBatch, decode_batch
from rollup.codec.channel import read_batches
from rollup.codec.config import RollupConfig
from rollup.codec.span import SpanBatch
from rollup.derive.channel_assembler import ChannelAssembler
from rollup.derive.needs import Need, NeedTime
from rollup.derive.span import Span

HEAVY_BYTES: Final = 1 << 18  # of a batch; a hundred megabytes take half a minute


class ChannelInReader:
    """Holds one channel, decompressed as far as it was read."""

    def __init__(self, config: RollupConfig, previous: ChannelAssembler) -> None:
        self._config = config
        self._previous = previous
        self._batches: Iterator[bytes] = iter(())
        self._heavy: bytes | None = None  # the next batch, to be decoded in a step of its own

    def flush(self) -> None:
        """Drops what is left of the channel."""
        self._batches, self._heavy = iter(()), None
        self._previous.flush()

    def next(self) -> SingularBatch | Span | Need | None:
        """The next batch; None when this L1 block has no more.

        What is malformed ends its channel, and the batches before it in the channel stay.  A span
        batch that can be read, but with a transaction that is none, is skipped alone: op-node does
        so (its pull request 19502), while kona drops the rest of the channel.
        """
        while True:
            try:
                batch = self._decoded()
            except Malformed:
                self._batches = iter(())
                continue
            if isinstance(batch, SingularBatch | NeedTime):
                return batch
            if batch is not None:
                try:
                    return Span.of(batch, self._config)
                except Malformed:
                    continue
            data = self._previous.next()
            if not isinstance(data, bytes):
                return data
            self._batches = read_batches(data)

    def _decoded(self) -> SingularBatch | SpanBatch | NeedTime | None:
        if self._heavy is not None:
            encoded, self._heavy = self._heavy, None
            return decode_batch(encoded)
        found = next(self._batches, None)
        if found is None:
            return None
        if len(found) <= HEAVY_BYTES:
            return decode_batch(found)
        self._heavy = found
        return NeedTime()
