"""The node's own memory: a LevelDB with a schema version, atomic writes, and no silent loss."""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import plyvel

from node.exits import OCCUPIED, STORE, Fault

SCHEMA = 1
SCHEMA_KEY = b"\x00schema"  # \x00 is kept for the store itself
KEY_BYTES_MAX = 1024
WRITE_BUFFER_BYTES = 8 << 20
OPEN_FILES_MAX = 256

Migration = Callable[[Any], None]  # gets the plyvel.DB of version n, makes it version n + 1
MIGRATIONS: tuple[Migration, ...] = ()  # MIGRATIONS[n] leads from schema n + 1 to n + 2


class CorruptStore(Fault):
    code = STORE


class NewerStore(Fault):
    code = STORE


class BrokenStore(Fault):
    """The disk refuses; LevelDB takes no write after that until it is opened again."""

    code = STORE


class BusyStore(Fault):
    code = OCCUPIED


class Records(Protocol):
    """Ordered bytes to bytes.  What the whole store and each namespace of it offer."""

    def get(self, key: bytes) -> bytes | None: ...

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]: ...

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None: ...

    def namespace(self, prefix: bytes) -> "Namespace": ...


class Store:
    """One process, one store: `open` locks the folder until `close`."""

    def __init__(self, database: Any, lock: int, path: Path) -> None:
        self._database, self._lock, self.path = database, lock, path

    @classmethod
    def open(
        cls, path: Path, *, schema: int = SCHEMA, migrations: Sequence[Migration] = MIGRATIONS
    ) -> Self:
        """Open or create the store at `path`; a `Fault` says what is wrong with it.

        Nothing is ever deleted or repaired: a wrong store is left as it was found.
        """
        with _foreign(path):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = _lock(path)
            try:
                fresh = _is_fresh(path)
                database = plyvel.DB(
                    str(path),
                    create_if_missing=fresh,
                    paranoid_checks=True,  # else a damaged byte leaves silent holes
                    write_buffer_size=WRITE_BUFFER_BYTES,
                    max_open_files=OPEN_FILES_MAX,
                )
                try:
                    _agree_on_schema(database, path, fresh, schema, migrations)
                except BaseException:
                    database.close()
                    raise
            except BaseException:
                os.close(lock)
                raise
        return cls(database, lock, path)

    def get(self, key: bytes) -> bytes | None:
        with _foreign(self.path):
            value: bytes | None = self._database.get(key, verify_checksums=True)
            return value

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """The records under `prefix` in order, as they stood at this call."""
        records = self._database.iterator(prefix=prefix or None, verify_checksums=True)
        return self._walk(records)

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        """Put all, or delete where the value is None: all of it happens or nothing does.

        `sync` waits for the disk (about 4 ms): for what a power cut must not undo.
        """
        with _foreign(self.path), self._database.write_batch(transaction=True, sync=sync) as batch:
            for key, value in puts.items():
                if not key or len(key) > KEY_BYTES_MAX or key[0] == 0:
                    raise ValueError(f"a key has 1 to {KEY_BYTES_MAX} bytes, the first not 0")
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)

    def namespace(self, prefix: bytes) -> "Namespace":
        return Namespace(self, prefix)

    def verify(self) -> int:
        """Read every record with its checksum; how many there are."""
        return sum(1 for _ in self.scan())

    def size(self) -> int:
        """Bytes on disk."""
        total = 0
        for file in self.path.iterdir():
            with suppress(FileNotFoundError):  # LevelDB tidies up meanwhile
                total += file.stat().st_size
        return total

    def close(self) -> None:
        if not self._database.closed:
            self._database.close()
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _walk(self, records: Any) -> Iterator[tuple[bytes, bytes]]:
        with _foreign(self.path), records:
            for key, value in records:
                if key != SCHEMA_KEY:
                    yield key, value


@dataclass(frozen=True, slots=True)
class Namespace:
    """The records whose keys begin with `prefix`, seen without it."""

    records: Records
    prefix: bytes

    def get(self, key: bytes) -> bytes | None:
        return self.records.get(self.prefix + key)

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        cut = len(self.prefix)
        return ((key[cut:], value) for key, value in self.records.scan(self.prefix + prefix))

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        self.records.write({self.prefix + key: value for key, value in puts.items()}, sync=sync)

    def namespace(self, prefix: bytes) -> "Namespace":
        return Namespace(self, prefix)


@contextmanager
def _foreign(path: Path) -> Iterator[None]:
    """The one border where LevelDB's and the system's errors become ours."""
    try:
        yield
    except plyvel.CorruptionError as error:
        raise _corrupt(path, str(error)) from None
    except (plyvel.Error, OSError) as error:  # plyvel.IOError is both
        raise BrokenStore(
            f"store {path} cannot be used: {error}; check the disk's space and the folder's "
            "owner, then start again (nothing acknowledged as synced is lost)"
        ) from None


def _corrupt(path: Path, why: str) -> CorruptStore:
    return CorruptStore(
        f"store {path} is corrupt: {why}; stop, copy the folder away, and restore a backup or "
        "start with an empty one, which is rebuilt from the chain (nothing was deleted)"
    )


def _lock(path: Path) -> int:
    """LevelDB's own lock is lost by a failed second open in one process, so we hold one."""
    lock = os.open(path / "openledger.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BusyStore(
            f"store {path} is in use by another process; stop that one or set another data_dir"
        ) from None
    return lock


def _is_fresh(path: Path) -> bool:
    """Whether there is no database yet.  One that lost its head must not be started anew."""
    if (path / "CURRENT").exists():
        return False
    data = sorted(file.name for file in path.iterdir() if file.suffix in (".ldb", ".log"))
    if data:  # CURRENT comes before the first of these, so no crash at creation leads here
        raise _corrupt(path, f"CURRENT is missing beside {data[0]}")
    return True


def _agree_on_schema(
    database: Any, path: Path, fresh: bool, schema: int, migrations: Sequence[Migration]
) -> None:
    if fresh or next(iter(database.iterator()), None) is None:  # or killed just here
        database.put(SCHEMA_KEY, str(schema).encode(), sync=True)
    raw: bytes | None = database.get(SCHEMA_KEY)
    if raw is None or not raw.isdigit():
        raise _corrupt(path, f"its schema version is {raw!r}")
    found = int(raw)
    if found > schema:
        raise NewerStore(
            f"store {path} has schema {found}, this program knows {schema}: "
            "install the newer version again, or start with another data_dir"
        )
    for version in range(found, schema):  # each step ends synced, so a crash repeats at most one
        migrations[version - 1](database)
        database.put(SCHEMA_KEY, str(version + 1).encode(), sync=True)
