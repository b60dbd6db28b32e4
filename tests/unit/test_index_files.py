"""Index files: mapped, equal to memory, whole after any crash, never believed when damaged."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attribution import bodies, index_files
from attribution.corpus import Corpus, CorpusShard
from attribution.index_files import PAGE, Damaged
from attribution.shards import Table
from attribution.shelf import Shelf, key_of, opened
from attribution.spans import spans_of
from attribution.text_tree import SparseTree
from protocol.datanet import Document, Shard, assemble, shard_of
from protocol.errors import Malformed, Temporary
from protocol.merkle import BODY, DOCUMENT, TEXT, TEXT_LEAF, ByteTree
from protocol.parameters import Parameters

RULES = Parameters()
ROOT = Path(__file__).parents[2]


def texts(seed: int, documents: int = 12) -> list[bytes]:
    draw = np.random.default_rng(seed)
    words = ["".join(map(chr, draw.integers(97, 123, 5))) for _ in range(60)]
    return [" ".join(draw.choice(words, 300)).encode() for _ in range(documents)]


def body(seed: int, documents: int = 12) -> tuple[bytes, tuple[Document, ...]]:
    written = texts(seed, documents)
    text, starts = assemble(written)
    blank = (0, bytes(32), bytes(32), bytes(65))
    rows = enumerate(zip(starts, written, strict=True))
    return text, tuple(Document(at, len(data), n % 5 + 1, *blank) for n, (at, data) in rows)


def stored(folder: Path, seed: int) -> tuple[Shard, Path, Path]:
    text, table = body(seed)
    paths = folder / f"{seed}.text", folder / f"{seed}.table"
    paths[0].write_bytes(text)
    paths[1].write_bytes(b"".join(row.encode() for row in table))
    return (shard_of(text, table), *paths)


@pytest.fixture
def on_disk(tmp_path: Path) -> list[tuple[Shard, Path, Path]]:
    (tmp_path / "bodies").mkdir()
    return [stored(tmp_path / "bodies", seed) for seed in range(6)]


@pytest.fixture
def output() -> bytes:
    parts = [texts(seed)[3][50:350] for seed in range(6)]
    return b" and then ".join(parts) + texts(77)[0][:200]


def in_memory(down: dict[int, frozenset[int]]) -> Corpus:
    rows = (body(seed) for seed in range(6))
    return Corpus(tuple(CorpusShard(*row, down.get(n, frozenset())) for n, row in enumerate(rows)))


@pytest.mark.parametrize("down", [{}, {2: frozenset({3}), 5: frozenset({0, 3, 11})}])
def test_files_give_what_memory_gives(
    tmp_path: Path,
    on_disk: list[tuple[Shard, Path, Path]],
    output: bytes,
    down: dict[int, frozenset[int]],
) -> None:
    expected = spans_of(in_memory(down), b"", output, RULES)

    first = Corpus.open(tmp_path / "indexes", on_disk, down)
    assert spans_of(first, b"", output, RULES) == expected
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "indexes").iterdir()}
    again = Corpus.open(tmp_path / "indexes", on_disk, down)
    assert spans_of(again, b"", output, RULES) == expected
    assert files == {path: path.stat().st_mtime_ns for path in (tmp_path / "indexes").iterdir()}
    assert len(again.tiers) < len(again.shards)


def test_a_taken_down_document_holds_nothing_and_its_heirs_do(output: bytes) -> None:
    """A copy in a later shard takes the place of what was taken down."""
    rows = [body(seed) for seed in range(6)]
    copied, table = texts(0)[3], rows[0][1]
    heir = Document(1, len(copied), 9, 0, bytes(32), bytes(32), bytes(65))
    shards = [CorpusShard(*row) for row in rows] + [CorpusShard(b"\xff" + copied, (heir,))]
    span = copied[48:300]

    before = Corpus(tuple(shards)).holders(span, 4)
    after = Corpus((shards[0].without(frozenset({3})), *shards[1:])).holders(span, 4)

    assert [(place.shard, place.contributor) for place in before] == [
        (0, table[3].contributor),
        (6, 9),
    ]
    assert [(place.shard, place.contributor) for place in after] == [(6, 9)]


def opened_again(
    tmp_path: Path, on_disk: list[tuple[Shard, Path, Path]], output: bytes
) -> list[object]:
    corpus = Corpus.open(tmp_path / "indexes", on_disk)
    return [*spans_of(corpus, b"", output, RULES)]


def test_every_damage_is_found_and_mended(
    tmp_path: Path, on_disk: list[tuple[Shard, Path, Path]], output: bytes
) -> None:
    """One byte anywhere, a cut anywhere, another's file: it is built again, byte for byte."""
    expected = opened_again(tmp_path, on_disk, output)
    draw = np.random.default_rng(5)
    for path in sorted((tmp_path / "indexes").iterdir()):
        sound = path.read_bytes()
        used = np.flatnonzero(np.frombuffer(sound, np.uint8))
        for at in [0, 8, 12, 16, PAGE - 1, *draw.choice(used, 6).tolist()]:
            path.write_bytes(sound[:at] + bytes((sound[at] ^ 0x10,)) + sound[at + 1 :])
            assert opened_again(tmp_path, on_disk, output) == expected
            assert path.read_bytes() == sound, at
        for size in (0, 1, PAGE - 1, PAGE, (PAGE + len(sound)) // 2):
            path.write_bytes(sound[:size])
            assert opened_again(tmp_path, on_disk, output) == expected
            assert path.read_bytes() == sound
        other = next(p for p in (tmp_path / "indexes").iterdir() if p != path)
        path.write_bytes(other.read_bytes())
        assert opened_again(tmp_path, on_disk, output) == expected
        assert path.read_bytes() == sound


def rewritten(path: Path, number: int, change: np.ndarray) -> None:
    """A file with good checksums and one wrong section: what a broken builder leaves."""
    key = path.read_bytes()[16:48]
    sections = [np.array(each) for each in index_files.read(path, key)]
    sections[number] = change
    index_files.write(path, key, sections)


def test_an_order_that_never_was_one_is_found_without_checksums(
    tmp_path: Path, on_disk: list[tuple[Shard, Path, Path]]
) -> None:
    corpus = Corpus.open(tmp_path / "indexes", on_disk)
    first, tier = corpus.tiers[0]
    held = corpus.shards[first : first + len(tier.columns.offsets)]
    key = key_of(held)
    path = tmp_path / "indexes" / f"{key.hex()}.index"
    order = np.array(tier.index.order)
    for wrong in (
        np.sort(order),
        order[::-1].copy(),
        np.full_like(order, order[0]),
        order + np.int32(1),
        np.full_like(order, -1),
        np.full_like(order, 1 << 30),
        order[:-7],
    ):
        rewritten(path, 0, wrong)
        with pytest.raises(Damaged):
            opened(path, key, held, checked=True)


def test_an_index_caught_with_a_wrong_place_is_dropped(
    tmp_path: Path, on_disk: list[tuple[Shard, Path, Path]], output: bytes
) -> None:
    """Not even a damage that all looks missed gets into a claim."""
    expected = opened_again(tmp_path, on_disk, output)
    corpus = Corpus.open(tmp_path / "indexes", on_disk)
    first, tier = corpus.tiers[0]
    span = output[:100]
    rank = int(tier.index.bounds(*(np.frombuffer(span, np.uint8), *np.array([[0], [100]])))[0][0])
    order = np.array(tier.index.order)
    order[rank] = order[rank - 40]
    bent = replace(tier.index, order=order, search=Liar(rank))
    corpus.__dict__["tiers"][0] = first, replace(tier, index=bent)

    with pytest.raises(Temporary, match="damaged"):
        corpus.holders(span, 4)
    assert opened_again(tmp_path, on_disk, output) == expected


class Liar:
    """A search that believes a wrong rank."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def bounds(self, *arguments: np.ndarray) -> None:
        arguments[-2][:], arguments[-1][:] = self.rank, self.rank + 1


def test_a_body_that_is_not_the_shards_is_malformed(
    tmp_path: Path, on_disk: list[tuple[Shard, Path, Path]]
) -> None:
    shard, text, table = on_disk[0]
    sound = text.read_bytes()
    for wrong in (sound[:-1], sound + b"a", sound[:-1] + b"!", b"!" + sound[1:], b""):
        text.write_bytes(wrong)
        with pytest.raises(Malformed):
            bodies.mapped(shard, text, table, tmp_path / "fresh")
    text.write_bytes(sound)
    bodies.mapped(shard, text, table, tmp_path / "fresh")
    text.write_bytes(b"!" + sound[1:])  # rotted after it was known to be right
    with pytest.raises(Malformed):
        bodies.mapped(shard, text, table, tmp_path / "fresh")
    with pytest.raises(Temporary):
        bodies.mapped(shard, tmp_path / "missing", table, tmp_path / "fresh")


def test_a_full_disk_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Temporary):
        index_files.write(tmp_path / "file" / "x.index", bytes(32), [np.zeros(3, np.int32)])


WRITER = """
import sys, numpy as np
from pathlib import Path
from attribution import index_files
path, key = Path(sys.argv[1]), bytes(32)
print("ready", flush=True)
for number in range(1 << 30):
    sections = [np.full(200_000, number, np.int32), np.full(1000, number, np.int32)]
    index_files.write(path, key, sections)
"""


def test_kill_9_leaves_a_whole_file(tmp_path: Path) -> None:
    """Both sections of what is there always are of one writing."""
    path, delay = tmp_path / "x.index", np.random.default_rng(3)
    seen = set()
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as child:
            assert child.stdout is not None
            child.stdout.readline()
            for _ in range(int(delay.integers(1, 30))):
                before = path.stat().st_mtime_ns if path.exists() else 0
                while not path.exists() or path.stat().st_mtime_ns == before:
                    os.sched_yield()
            child.send_signal(signal.SIGKILL)
        sections = [each.view(np.int32) for each in index_files.read(path, bytes(32))]
        assert len({int(value) for each in sections for value in set(each.tolist())}) == 1
        seen.add(int(sections[0][0]))
    old = next(tmp_path.glob("*.part"), tmp_path / "killed.part")
    old.touch()
    os.utime(old, (1, 1))
    index_files.write(path, bytes(32), [])
    assert not old.exists()


@pytest.mark.parametrize("kind", [TEXT, DOCUMENT, BODY])
@pytest.mark.parametrize("size", [0, 1, 156, 157, 256, 1024, 40_000, 180_001, 300_000])
def test_a_sparse_tree_is_the_whole_tree(kind: int, size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    whole, sparse = ByteTree(kind, data), SparseTree(kind, data)

    assert sparse.commitment == whole.commitment
    assert SparseTree(kind, data, sparse.lowest_row).root == whole.root
    for index in {0, whole.count // 3, whole.count // 2, max(0, whole.count - 1)}:
        assert sparse.siblings(index) == whole.siblings(index)
    for chunk in range(whole.commitment.chunks):
        assert sparse.chunk_siblings(chunk) == whole.chunk_siblings(chunk)
        height = min(3, whole.depth)
        number = min(chunk << 7, (whole.count - 1 >> height) if whole.count else 0)
        assert sparse.siblings(number, height=height) == whole.siblings(number, height=height)
    assert all(sparse.sound(group) for group in range(len(sparse.rows[0])))


def test_a_table_is_decoded_row_by_row() -> None:
    text, table = body(1)
    rows = Table(b"".join(row.encode() for row in table))
    lazy, eager = CorpusShard(text, rows), CorpusShard(text, table)

    assert tuple(rows) == table
    assert rows[-1] == table[-1]
    assert rows[2:5] == table[2:5]
    with pytest.raises(IndexError):
        rows[len(table)]
    with pytest.raises(Malformed):
        Table(bytes(156))
    assert lazy.document_tree.root == eager.document_tree.root
    assert lazy.columns.ends.tolist() == eager.columns.ends.tolist()
    wild = replace(table[0], start=(1 << 64) - 1, length=(1 << 64) - 1)
    cut = Table(wild.encode() + replace(table[0], length=(1 << 64) - 1).encode())
    assert CorpusShard(text, cut).columns.ends.tolist() == [len(text)] * 2
    assert CorpusShard(text, tuple(cut)).columns.starts.tolist() == [len(text), 1]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attribution.shelf.MEMORY_BYTES_MAX", 1)
    shelf = Shelf(tier_bytes=1)
    corpus = Corpus(in_memory({}).shards, shelf)

    assert len(corpus.tiers) == 6
    assert len(shelf._held) == 1


def test_leaves_are_opened_from_the_map(
    tmp_path: Path, on_disk: list[tuple[Shard, Path, Path]]
) -> None:
    corpus = Corpus.open(tmp_path / "indexes", on_disk)
    held, text = corpus.shards[1], body(1)[0]

    assert held.text[300:700] == text[300:700]
    assert held.text[300] == text[300]
    assert held.text_tree.siblings(1) == ByteTree(TEXT, text).siblings(1)
    assert len(held.text) // TEXT_LEAF > 64
    held.check(on_disk[1][0])
