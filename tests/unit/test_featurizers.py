"""The node's featurizer computes what the engine computes, in turn, and ends when it is told to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio

from attribution.influence import build
from attribution.influence.build import build_features
from attribution.influence.featurizer import Featurizer
from config.settings import Influence
from modelfactory.identity import base_id
from node import influence
from node.compute import Compute
from node.exits import WrongSettings
from node.influence import Featurizers, open_featurizers
from protocol.errors import NodeError, Refused, Temporary
from roles.ports import Lens
from tests.openlora_models import make_adapter, make_base

TEXTS = [f"## thing {n}\n\nThe quick brown fox number {n} jumps.\n".encode() for n in range(6)]
SEED = bytes(range(32))


class World:
    def __init__(self, folder: Path) -> None:
        self.base = make_base(folder / "base")
        self.weights = folder / "adapter.safetensors"
        make_adapter(self.weights, seed=3)
        self.name = base_id(self.base)
        self.basis = folder / "basis"
        self.made = build_features(self.base, self.weights, TEXTS, SEED)
        self.basis.write_bytes(self.made.basis)

    def lens(self, **changed: Any) -> Lens:
        fields: dict[str, Any] = {"base": self.name, "adapter": bytes(32)}
        fields |= {"weights": self.weights, "basis": self.basis, "seed": SEED}
        return Lens(**(fields | changed))

    def open(self) -> Featurizers:
        return Featurizers({self.name: self.base})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("featurizers"))


async def test_features_are_those_of_the_engine(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(influence, "TEXTS_MAX", 4)  # two parts
    pairs = [(b"What?", text) for text in TEXTS]
    opened = world.open()

    examples = await opened.examples(world.lens(), TEXTS)
    queries = await opened.queries(world.lens(), pairs)

    assert examples == [row.tobytes() for row in world.made.phi]
    alone = Featurizer.open(world.base, world.weights, world.made.basis, SEED)
    assert queries == [alone.query(*pair) for pair in pairs]
    assert len(opened._open) == 1


async def test_a_build_tells_its_progress_and_is_the_engines(world: World) -> None:
    told: list[tuple[int, int]] = []

    built = await world.open().build(
        world.lens(basis=None), TEXTS, lambda done, total: told.append((done, total))
    )

    assert built.basis == world.made.basis
    assert np.array_equal(built.phi, world.made.phi)
    assert told == sorted(told)
    assert told[-1] == (2 * len(TEXTS), 2 * len(TEXTS))


async def test_a_cancelled_build_ends_and_the_next_call_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "CHUNK_BYTES", 1)  # one example at a time
    opened, begun = world.open(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def progress(done: int, total: int) -> None:
        token.run_sync_soon(begun.set)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened.build, world.lens(basis=None), TEXTS * 30, progress)
        await begun.wait()
        nursery.cancel_scope.cancel()

    assert opened.told == {}
    assert not opened._working.locked()
    assert len(await opened.examples(world.lens(), TEXTS[:1])) == 1


async def test_few_are_kept_open(world: World) -> None:
    opened = world.open()
    for number in range(influence.OPEN_MAX + 2):
        await opened.examples(world.lens(adapter=bytes([number]) * 32), TEXTS[:1])

    assert len(opened._open) == influence.OPEN_MAX


async def test_what_cannot_be_computed_is_told(world: World, tmp_path: Path) -> None:
    opened = world.open()
    assert opened.has(world.name)
    assert not opened.has(bytes(32))
    with pytest.raises(Temporary, match="is not here"):
        await opened.examples(world.lens(base=bytes(32)), TEXTS[:1])
    with pytest.raises(Refused, match="basis"):
        await opened.examples(world.lens(basis=None), TEXTS[:1])
    with pytest.raises(Temporary):
        await opened.examples(world.lens(basis=tmp_path / "gone"), TEXTS[:1])
    (tmp_path / "broken").write_bytes(b"no basis")
    for changed in ({"basis": tmp_path / "broken"}, {"weights": tmp_path / "broken"}):
        with pytest.raises(NodeError):
            await opened.examples(world.lens(**changed), TEXTS[:1])
    assert await opened.examples(world.lens(), []) == []


async def test_base_models_are_found_by_their_content(world: World, tmp_path: Path) -> None:
    compute = Compute()
    assert await open_featurizers(compute, [], Influence()) is None
    opened = await open_featurizers(compute, [world.base, world.base], Influence())
    assert opened is not None
    assert opened.has(world.name)
    with pytest.raises(WrongSettings, match=r"influence\.base_models: .*is not a model"):
        await open_featurizers(compute, [tmp_path], Influence())
