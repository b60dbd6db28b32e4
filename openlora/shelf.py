"""Which adapter is in which slot: a bounded number loaded, the least recently used leaves first."""

from collections import OrderedDict
from pathlib import Path

from openlora.adapter import ADAPTER_BYTES_MAX, read_adapter
from openlora.layers import Pool
from protocol.errors import Refused, Temporary

KNOWN_MAX = 65_536  # adapters with a known place on disk
FILE_NAME = "adapter_model.safetensors"


class Shelf:
    """Adapters by id. An id that was never loaded is an error, never the base model."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._paths: dict[bytes, Path] = {}
        self._slots: OrderedDict[bytes, int] = OrderedDict()  # least recently used first
        self._pins: dict[bytes, int] = {}  # answers that run on it
        self._free = list(range(pool.slots))

    def __contains__(self, adapter: bytes) -> bool:
        return adapter in self._paths

    @property
    def loaded(self) -> list[bytes]:
        """Ids in slots, least recently used first."""
        return list(self._slots)

    def load(self, adapter: bytes, path: Path) -> int:
        """Verify the file (or the file in the directory) `path` and put it into a slot."""
        if adapter in self._slots:
            self._slots.move_to_end(adapter)
            return self._slots[adapter]
        if len(self._paths) >= KNOWN_MAX and adapter not in self._paths:
            raise Temporary(f"{KNOWN_MAX} adapters are known, that is the limit")
        checked = read_adapter(_read(path), adapter, self._pool.shapes)
        if checked.rank > self._pool.rank:
            raise Refused(f"the adapter's rank is {checked.rank}, this host's {self._pool.rank}")
        slot = self._take_slot()
        self._pool.put(slot, checked)
        self._paths[adapter], self._slots[adapter] = path, slot
        return slot

    def pin(self, adapter: bytes) -> int:
        """The slot of a known adapter, loaded again if need be; it stays until `unpin`."""
        slot = self.load(adapter, self._paths[adapter])
        self._pins[adapter] = self._pins.get(adapter, 0) + 1
        return slot

    def unpin(self, adapter: bytes) -> None:
        self._pins[adapter] -= 1
        if not self._pins[adapter]:
            del self._pins[adapter]

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        for adapter in self._slots:
            if adapter not in self._pins:
                return self._slots.pop(adapter)
        raise Temporary(f"all {self._pool.slots} adapter slots are in use")


def _read(path: Path) -> bytes:
    file = path / FILE_NAME if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            data = opened.read(ADAPTER_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"cannot read the adapter {file}: {error.strerror}") from None
    if len(data) > ADAPTER_BYTES_MAX:
        raise Refused(f"the adapter {file} is over {ADAPTER_BYTES_MAX} bytes")
    return data
