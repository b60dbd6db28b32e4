"""The channel reader: the batches in a channel, one at a time, until one of them is malformed.

Source: specs, protocol/derivation.md "Channel Reader (Batch Decoding)"; op-node,
channel_in_reader.go.
"""

from collections.abc import Iterator

from protocol.errors import Malformed
from rollup.codec.batch import SingularBatch, decode_batch
from rollup.codec.channel import read_batches
from rollup.codec.config import RollupConfig
from rollup.codec.span import SpanBatch
from rollup.derive.channel_assembler import ChannelAssembler
from rollup.derive.needs import Need
from rollup.derive.span import Span


class ChannelInReader:
    """Holds one channel, decompressed as far as it was read."""

    def __init__(self, config: RollupConfig, previous: ChannelAssembler) -> None:
        self._config = config
        self._previous = previous
        self._batches: Iterator[bytes] = iter(())

    def flush(self) -> None:
        """Drops what is left of the channel."""
        self._batches = iter(())
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
            if isinstance(batch, SingularBatch):
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

    def _decoded(self) -> SingularBatch | SpanBatch | None:
        encoded = next(self._batches, None)
        return None if encoded is None else decode_batch(encoded)
