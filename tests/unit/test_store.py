"""The store keeps what it acknowledged, in order, and says so when it cannot."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import plyvel
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from node.store import BrokenStore, BusyStore, CorruptStore, NewerStore, Store

KEYS = st.binary(min_size=1, max_size=3).filter(lambda key: key[0] != 0)


class StoreMachine(RuleBasedStateMachine):
    """Any run of writes, reopenings and namespaces agrees with a dict."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "store"
        self.store = Store.open(self.path)
        self.model: dict[bytes, bytes] = {}

    @rule(target=keys, key=KEYS)
    def add_key(self, key: bytes) -> bytes:
        return key

    @rule(puts=st.dictionaries(keys | KEYS, st.none() | st.binary(max_size=4)), sync=st.booleans())
    def write(self, puts: dict[bytes, bytes | None], sync: bool) -> None:
        self.store.write(puts, sync=sync)
        for key, value in puts.items():
            self.model.pop(key, None)
            if value is not None:
                self.model[key] = value

    @rule(prefix=KEYS, key=st.binary(max_size=2), value=st.binary(max_size=3))
    def write_in_namespace(self, prefix: bytes, key: bytes, value: bytes) -> None:
        self.store.namespace(prefix).write({key: value})
        self.model[prefix + key] = value

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = Store.open(self.path)

    @rule(prefix=KEYS, key=st.binary(max_size=2))
    def read_in_namespace(self, prefix: bytes, key: bytes) -> None:
        view = self.store.namespace(prefix[:1]).namespace(prefix[1:])
        want = {k.removeprefix(prefix): v for k, v in self.model.items() if k.startswith(prefix)}

        assert view.get(key) == self.model.get(prefix + key)
        assert dict(view.scan()) == want

    @invariant()
    def same_records_in_order(self) -> None:
        assert list(self.store.scan()) == sorted(self.model.items())
        assert all(self.store.get(key) == value for key, value in self.model.items())

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def test_a_refused_batch_writes_nothing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        for bad in (b"", b"\x00schema", bytes(1) * 1025):
            with pytest.raises(ValueError, match="a key has 1 to"):
                store.write({b"a": b"1", bad: b"2"})

        assert list(store.scan()) == []


def test_a_scan_sees_the_moment_it_began(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        store.write({b"a": b"1", b"b": b"2"})
        records = store.scan()
        store.write({b"a": None, b"c": b"3"})

        assert dict(records) == {b"a": b"1", b"b": b"2"}


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A failed second open must not drop the lock of the first, as LevelDB's own does."""
    code = "import pathlib, sys, node.store; node.store.Store.open(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with Store.open(tmp_path):
        with pytest.raises(BusyStore, match="in use by another process"):
            Store.open(tmp_path)
        other = subprocess.run(command, capture_output=True, text=True)

    assert "BusyStore" in other.stderr
    Store.open(tmp_path).close()


WRITER = """
import sys
from pathlib import Path
from node.store import Store
store = Store.open(Path(sys.argv[1]))
number = int(store.get(b"head") or b"0")
while True:
    number += 1
    name = b"%08d" % number
    store.write({b"left" + name: b"x" * 200, b"right" + name: b"y" * 200, b"head": name})
    print(number, flush=True)
"""


def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """At any moment: what was acknowledged is there, and no batch is there by half."""
    for kill_after in (1, 7, 400):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s")], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        acknowledged = [int(writer.stdout.readline()) for _ in range(kill_after)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
        writer.wait()
        writer.stdout.close()

        with Store.open(tmp_path / "s") as store:
            head = int(store.get(b"head") or 0)
            assert head >= acknowledged[-1]
            assert sum(1 for _ in store.scan(b"left")) == head
            assert sum(1 for _ in store.scan(b"right")) == head


def filled(path: Path) -> Path:
    with Store.open(path) as store:
        for number in range(200):
            store.write({b"key%06d" % number: os.urandom(100)})
    return path


def flip(file: Path, at: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(len(data) * at)] ^= 0x55
    file.write_bytes(data)


@pytest.mark.parametrize("pattern", ["*.log", "MANIFEST-*"])
def test_a_damaged_byte_is_told_and_nothing_deleted(tmp_path: Path, pattern: str) -> None:
    path = filled(tmp_path / "s")
    flip(max(path.glob(pattern)), 0.5)
    before = {file.name for file in path.iterdir()}

    with pytest.raises(CorruptStore, match=r"store .*/s is corrupt: .*; stop, copy the folder"):
        Store.open(path)

    assert {file.name for file in path.iterdir()} >= before


def test_a_damaged_table_is_told_when_read(tmp_path: Path) -> None:
    path = filled(tmp_path / "s")
    database = plyvel.DB(str(path))
    database.compact_range()
    database.close()
    flip(max(path.glob("*.ldb")), 0.4)

    with pytest.raises(CorruptStore, match="corrupt"), Store.open(path) as store:
        store.verify()


def test_a_store_that_lost_its_head_is_not_begun_anew(tmp_path: Path) -> None:
    path = filled(tmp_path / "s")
    (path / "CURRENT").unlink()

    with pytest.raises(CorruptStore, match="CURRENT is missing"):
        Store.open(path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    database = plyvel.DB(str(tmp_path / "s"), create_if_missing=True)
    database.put(b"theirs", b"")
    database.close()

    with pytest.raises(CorruptStore, match="schema version is None"):
        Store.open(tmp_path / "s")


def test_a_creation_cut_short_is_taken_up(tmp_path: Path) -> None:
    """Killed before CURRENT was written, or before the schema was: nothing is lost by going on."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "MANIFEST-000001").write_bytes(b"")
    plyvel.DB(str(tmp_path / "t"), create_if_missing=True).close()

    for name in "st":
        with Store.open(tmp_path / name) as store:
            store.write({b"a": b"1"})


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(BrokenStore, match="cannot be used"):
        Store.open(tmp_path / "file" / "s")


def test_schema_goes_up_and_never_down(tmp_path: Path) -> None:
    def double(database: plyvel.DB) -> None:
        database.put(b"a", database.get(b"a") * 2)

    with Store.open(tmp_path / "s") as store:
        store.write({b"a": b"x"})
    with Store.open(tmp_path / "s", schema=3, migrations=(double, double)) as store:
        assert store.get(b"a") == b"xxxx"
    with Store.open(tmp_path / "s", schema=3, migrations=(double, double)) as store:
        assert store.get(b"a") == b"xxxx"
    with pytest.raises(NewerStore, match="schema 3, this program knows 1"):
        Store.open(tmp_path / "s")


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "s")
    store.close()
    store.close()
    Store.open(tmp_path / "s").close()
