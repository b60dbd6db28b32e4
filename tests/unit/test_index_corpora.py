"""A node's corpora: in files or in memory, as of a time, mended when a body on disk is damaged."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from protocol.datanet import Document, Shard, assemble, shard_of
from protocol.errors import Malformed, Temporary
from protocol.merkle import Commitment, byte_root
from roles.corpora import Corpora

BLANK = (0, bytes(32), bytes(32), bytes(65))


def body(*texts: bytes) -> tuple[Shard, bytes, bytes]:
    text, starts = assemble(texts)
    rows = enumerate(zip(starts, texts, strict=True))
    table = tuple(Document(at, len(data), n + 1, *BLANK) for n, (at, data) in rows)
    return shard_of(text, table), text, b"".join(row.encode() for row in table)


@dataclass
class Files:
    """Bodies as p2p keeps them: `fetch` verifies and mends, `fetch_file` gives what is there."""

    folder: Path
    sound: dict[Commitment, bytes] = field(default_factory=dict)
    fetched: int = 0

    def path(self, of: Commitment) -> Path:
        return self.folder / f"{of.root.hex()}.{of.kind}"

    async def fetch_file(self, of: Commitment) -> Path:
        if of not in self.sound:
            raise Temporary("nobody gives it")
        if not self.path(of).exists():
            self.path(of).write_bytes(self.sound[of])
        return self.path(of)

    async def fetch(self, of: Commitment) -> bytes:
        path = await self.fetch_file(of)
        self.fetched += 1
        path.write_bytes(self.sound[of])
        assert byte_root(of.kind, self.sound[of]) == of.root
        return self.sound[of]


async def compute(job: Callable[..., Any], *arguments: Any) -> Any:
    return job(*arguments)


class World:
    def __init__(self, folder: Path) -> None:
        self.bodies = [
            body(b"the first of all books", b"another book of the first"),
            body(b"the first of all books and one more"),
        ]
        folder.mkdir(exist_ok=True)
        self.files = Files(folder)
        for shard, text, table in self.bodies:
            self.files.sound |= {shard.text: text, shard.table: table}
        self.down: dict[int, frozenset[int]] = {}
        ledger = SimpleNamespace(
            final_shards=lambda datanet: [shard for shard, _, _ in self.bodies],
            down=lambda datanet, as_of: self.down if as_of >= 100 else {},
        )
        chain = SimpleNamespace(ledger=ledger)
        self.ports: Any = SimpleNamespace(bodies=self.files, chain=chain, compute=compute)
        self.adapter: Any = SimpleNamespace(name="bard", datanet=1, shard_count=2)


@pytest.fixture(params=["memory", "files"])
def corpora(request: pytest.FixtureRequest, tmp_path: Path) -> Corpora:
    return Corpora() if request.param == "memory" else Corpora(tmp_path / "indexes")


async def holders(world: World, corpora: Corpora, as_of: int) -> list[tuple[int, int]]:
    corpus = await corpora.of_adapter(world.ports, world.adapter, as_of)
    return [(place.shard, place.position) for place in corpus.holders(b"first of all", 4)]


async def test_a_corpus_is_as_of_a_time(corpora: Corpora, tmp_path: Path) -> None:
    world = World(tmp_path / "bodies")
    assert await holders(world, corpora, 100) == [(0, 5)]  # contributor 1 wrote both

    world.down = {0: frozenset({0})}

    assert await holders(world, corpora, 99) == [(0, 5)]
    assert await holders(world, corpora, 100) == [(1, 5)]
    assert await holders(world, corpora, 99) == [(0, 5)]


async def test_what_is_not_there_yet_is_temporary(corpora: Corpora, tmp_path: Path) -> None:
    world = World(tmp_path / "bodies")
    world.adapter.shard_count = 3
    with pytest.raises(Temporary):
        await corpora.of_adapter(world.ports, world.adapter, 0)
    world.adapter.shard_count = 2
    del world.files.sound[world.bodies[1][0].table]
    with pytest.raises(Temporary):
        await corpora.of_adapter(world.ports, world.adapter, 0)


async def test_a_damaged_body_is_fetched_again(tmp_path: Path) -> None:
    world = World(tmp_path / "bodies")
    for shard, text, _ in world.bodies:
        world.files.path(shard.text).write_bytes(text[:-1] + b"?")

    assert await holders(world, Corpora(tmp_path / "indexes"), 0) == [(0, 5)]
    assert world.files.fetched == 4


async def test_a_body_that_is_another_stays_malformed(tmp_path: Path) -> None:
    world = World(tmp_path / "bodies")
    shard, text, _ = world.bodies[0]
    world.files.sound[shard.text] = text[:-1] + b"?"
    with pytest.raises((Malformed, AssertionError)):
        await holders(world, Corpora(tmp_path / "indexes"), 0)
