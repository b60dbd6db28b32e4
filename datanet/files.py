"""Text and Markdown files of a folder, as contributions would carry them."""

from collections.abc import Iterator
from pathlib import Path

from protocol.datanet import DOCUMENT_BYTES_MAX
from protocol.errors import Refused

MEDIA_TYPE = {".txt": "text/plain", ".md": "text/markdown", ".markdown": "text/markdown"}
FILES_MAX = 100_000


def read_folder(folder: Path) -> Iterator[tuple[Path, str, bytes]]:
    """(path, media type, bytes) of each text or Markdown file, in the order of the paths.

    Files of other kinds are passed over; a file over the size limit is `Refused` by name.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MEDIA_TYPE)
    if len(paths) > FILES_MAX:
        raise Refused(f"{folder}: {len(paths)} files, limit is {FILES_MAX}")
    for path in paths:
        if (size := path.stat().st_size) > DOCUMENT_BYTES_MAX:
            raise Refused(f"{path}: {size} bytes, limit is {DOCUMENT_BYTES_MAX}")
        yield path, MEDIA_TYPE[path.suffix.lower()], path.read_bytes()
