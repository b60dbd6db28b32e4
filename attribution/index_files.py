"""Index files: written whole or not at all, mapped, and never believed without a look.

file    = header[4096] ++ sections, each at the next multiple of 4096
header  = magic[8] ++ version u32 ++ count of sections u32 ++ key[32] ++ section[40] * count
          ++ zeros ++ SHA-256 of all before it [32]
section = offset u64 ++ size u64 ++ first 24 bytes of the SHA-256 of its bytes

All numbers are little-endian, as the arrays in the sections are. See docs/index.md.
"""

import hashlib
import os
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attribution.index import frozen
from protocol.errors import Temporary

Array = npt.NDArray[Any]

MAGIC, VERSION = b"OLINDEX\n", 1
PAGE = 4096
SECTIONS_MAX = 16
DIGEST_BYTES = 24
HASHED_AT_ONCE = 1 << 24
STALE_SECONDS = 6 * 3600  # a part older than this is of a writer that was killed
PART = ".part"
_FRONT, _SECTION = struct.Struct("<8sII32s"), struct.Struct(f"<QQ{DIGEST_BYTES}s")


class Damaged(Exception):
    """The file is not what was written, or not of what it is asked for: make it anew."""


def write(path: Path, key: bytes, sections: Sequence[Array]) -> None:
    """Replace the file at `path` atomically.  `Temporary` when the disk does not take it."""
    assert len(key) == 32
    assert len(sections) <= SECTIONS_MAX
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=PART, delete=False) as file:
            part, rows, offset = Path(file.name), list[bytes](), PAGE
            for section in sections:
                file.seek(offset)
                data = np.ascontiguousarray(section).reshape(-1).view(np.uint8)
                file.write(data.data)
                rows.append(_SECTION.pack(offset, len(data), _digest(data)))
                offset += -(-len(data) // PAGE) * PAGE
            file.truncate(offset)
            front = _FRONT.pack(MAGIC, VERSION, len(rows), key) + b"".join(rows)
            front = front.ljust(PAGE - 32, b"\0")
            file.seek(0)
            file.write(front + hashlib.sha256(front).digest())
            file.flush()
            os.fsync(file.fileno())
            now = os.fstat(file.fileno()).st_mtime
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        _sweep(path.parent, now)
    except OSError as error:
        raise Temporary(f"the index {path} cannot be written: {error.strerror}") from None


def read(path: Path, key: bytes, *, checked: bool = True) -> list[Array]:
    """The sections as maps of bytes, uint8 [size].  `Damaged` unless all is as it was written.

    Without `checked` the checksums of the sections are not computed: opening touches one page.
    """
    try:
        with path.open("rb") as file:
            front, seal = file.read(PAGE - 32), file.read(32)
        size = path.stat().st_size
    except OSError as error:
        raise Damaged(f"{path}: {error.strerror}") from None
    if len(seal) != 32 or hashlib.sha256(front).digest() != seal:
        raise Damaged(f"{path}: broken header")
    magic, version, count, of = _FRONT.unpack_from(front)
    if (magic, version, of) != (MAGIC, VERSION, key) or count > SECTIONS_MAX:
        raise Damaged(f"{path}: not this version's, or of something else")
    mapped = frozen(np.memmap(path, dtype=np.uint8, mode="r"))
    found, end = [], PAGE
    for number in range(count):
        offset, length, digest = _SECTION.unpack_from(front, _FRONT.size + number * _SECTION.size)
        if offset + length > size:
            raise Damaged(f"{path}: section {number} is cut off")
        section = mapped[offset : offset + length]
        if checked and _digest(section) != digest:
            raise Damaged(f"{path}: section {number} has other bytes than were written")
        found.append(section)
        end = offset + -(-length // PAGE) * PAGE
    if size != end:
        raise Damaged(f"{path}: {size} bytes instead of {end}")
    return found


def _digest(data: Array) -> bytes:
    digest = hashlib.sha256()
    for at in range(0, len(data), HASHED_AT_ONCE):
        digest.update(data[at : at + HASHED_AT_ONCE].data)
    return digest.digest()[:DIGEST_BYTES]


def _sweep(folder: Path, now: float) -> None:
    """Remove what writers left that were killed."""
    for path in folder.glob(f"*{PART}"):
        if now - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
