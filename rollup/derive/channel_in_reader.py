"""The channel reader: the batches in a channel, one at a time, until one of them is malformed.

Source: specs, protocol/derivation.md "Channel Reader (Batch Decoding)"; op-node,
channel_in_reader.go.
"""

from collections.abc import Iterator

from protocol.errors import Malformed
from rollup.codec.batch import SingularBatch, decode_batch
from rollup.codec.channel import read_batches
from rollup.codec.config import RollupConfig
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

        What is malformed ends its channel, and the batches before it in the channel stay.
        """
        while True:
            try:
                batch = self._decoded()
            except Malformed:
                self._batches = iter(())
                continue
            if batch is not None:
                return batch
            data = self._previous.next()
            if not isinstance(data, bytes):
                return data
            self._batches = read_batches(data)

    def _decoded(self) -> SingularBatch | Span | None:
        encoded = next(self._batches, None)
        if encoded is None:
            return None
        batch = decode_batch(encoded)
        if isinstance(batch, SingularBatch):
            return batch
        return Span.of(batch, self._config)
