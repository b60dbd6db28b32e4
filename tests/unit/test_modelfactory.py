"""Training is reproducible to the byte, can be stopped, and says exactly what it made from what."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modelfactory import canonical, weights
from modelfactory.finetune import train_adapter
from modelfactory.identity import base_id
from modelfactory.manifest import NAME, Manifest, Source, manifest_hash
from modelfactory.pretrain import train_base
from modelfactory.recipe import BaseRecipe, Recipe
from modelfactory.training import Stopped
from openlora.engine import Engine
from openlora.request import Request, Sampling
from protocol.errors import Malformed, Refused
from tests.openlora_models import make_base

pytestmark = pytest.mark.filterwarnings("ignore")  # those of transformers and peft
LINES = [
    f"Rule {n}: {n} times {n + 1} makes {n * (n + 1)}, and the next is {n + 2}." for n in range(40)
]
DOCUMENTS = ("\n".join(LINES[:20]), "\n".join(LINES[20:]))
SMALL = BaseRecipe(
    vocabulary=400, hidden=48, inner=96, layers=2, heads=2, context=96, steps=60, batch=4, window=48
)
RECIPE = Recipe(rank=4, alpha=8, steps=12, batch=2, window=32, rate=0.01)
SOURCE = Source(datanet=3, shards=2, root=b"\7" * 32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "base"
    train_base(DOCUMENTS, folder, recipe=SMALL)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "adapter"
    train_adapter(base, DOCUMENTS, folder, source=SOURCE, recipe=RECIPE)
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_base_is_the_same_whatever_was_drawn_before(base: Path, tmp_path: Path) -> None:
    """Another number of threads, other random numbers used; and the caller's stream goes on."""
    torch.manual_seed(99)
    want = torch.rand(3)
    torch.manual_seed(99)

    again = train_base(DOCUMENTS, tmp_path / "base", recipe=SMALL)

    assert torch.equal(torch.rand(3), want)
    assert again == base_id(base)
    assert {path.name for path in base.iterdir()} >= {"config.json", "model.safetensors"}
    assert not [path for path in base.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]


@pytest.mark.usefixtures("one_thread")
def test_a_base_learns_its_corpus_by_heart(tmp_path: Path) -> None:
    losses: list[float] = []
    steps: list[tuple[int, int]] = []

    def watch(step: int, total: int, loss: float) -> None:
        steps.append((step, total))
        losses.append(loss)

    recipe = BaseRecipe(
        vocabulary=400, hidden=64, inner=128, layers=2, heads=2, context=96, steps=150, batch=4,
        window=48,
    )  # fmt: skip
    train_base(DOCUMENTS, tmp_path / "base", recipe=recipe, progress=watch)
    engine = Engine(tmp_path / "base")
    sampling = Sampling(max_tokens=24, temperature=0)
    ask = Request(adapter=None, prompt="Rule 7:", sampling=sampling)

    text = engine.generate([ask])[0].text

    assert steps == [(step, 150) for step in range(1, 151)]
    assert losses[-1] < losses[0] / 5
    assert ("Rule 7:" + text).startswith(LINES[7][:44])


@pytest.mark.usefixtures("one_thread")
def test_an_adapter_is_the_same_to_the_byte(base: Path, adapter: Path, tmp_path: Path) -> None:
    torch.rand(5)
    train_adapter(base, DOCUMENTS, tmp_path / "again", source=SOURCE, recipe=RECIPE)
    for path in adapter.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name

    other = Recipe(rank=4, alpha=8, steps=12, batch=2, window=32, rate=0.01, seed=1)
    made = train_adapter(base, DOCUMENTS, tmp_path / "other", source=SOURCE, recipe=other)
    assert made.adapter != Manifest.decode((adapter / NAME).read_bytes()).adapter


def test_the_manifest_says_what_was_made_from_what(base: Path, adapter: Path) -> None:
    data = (adapter / NAME).read_bytes()
    manifest = Manifest.decode(data)
    file = (adapter / weights.WEIGHTS_NAME).read_bytes()

    assert manifest.base == base_id(base)
    assert manifest.source == SOURCE
    assert manifest.adapter == hashlib.sha256(file).digest()
    assert manifest.adapter_bytes == len(file)
    assert manifest.recipe["rate"] == "0.01"
    assert manifest_hash(data) == hashlib.sha256(data).digest()
    assert {path.name for path in adapter.iterdir()} == {
        NAME,
        weights.WEIGHTS_NAME,
        weights.CONFIG_NAME,
    }
    text = (
        (adapter / weights.CONFIG_NAME).read_text() + data.decode() + file[:4000].decode("latin-1")
    )
    assert str(base.parent) not in text, "no path of this machine is published"


def test_manifests_have_one_form(adapter: Path) -> None:
    data = (adapter / NAME).read_bytes()
    value = json.loads(data)
    for bad in (
        data + b"\n",
        json.dumps(value).encode(),
        canonical.dump(value | {"more": 1}),
        canonical.dump(value | {"format": 2}),
        canonical.dump(value | {"base": "00"}),
        canonical.dump(value | {"base": value["base"].upper()}),
        canonical.dump(value | {"shards": -1}),
        canonical.dump(value | {"evaluation": {}}),
        canonical.dump({name: item for name, item in value.items() if name != "recipe"}),
        data.replace(b'"format":1', b'"format":1.0'),
        b"[" * 500_000,
        b"",
    ):
        with pytest.raises(Malformed):
            manifest_hash(bad)


@pytest.mark.usefixtures("one_thread")
def test_training_lowers_the_loss_and_the_engine_serves_it(base: Path, tmp_path: Path) -> None:
    """A text that the base has never read."""
    text = "\n".join(f"Clause {n}: the tenant of house {n} pays {n * 7} coins." for n in range(60))
    recipe = Recipe(rank=8, alpha=16, steps=30, batch=4, window=32, rate=0.02)

    made = train_adapter(base, (text,), tmp_path / "made", source=SOURCE, recipe=recipe)

    losses = made.evaluation
    assert losses.trained_after < losses.trained_before * 95 // 100
    assert losses.heldout_after < losses.heldout_before * 95 // 100
    engine = Engine(base)
    engine.load(made.adapter, tmp_path / "made")
    sampling = Sampling(max_tokens=12, temperature=0)
    asks = [Request(adapter=a, prompt="Clause 9:", sampling=sampling) for a in (made.adapter, None)]
    with_adapter, bare = engine.generate(asks)
    assert with_adapter.text != bare.text


def test_peft_reads_what_we_write(base: Path, adapter: Path) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), adapter)
    names = {name for name, _ in model.named_parameters() if "lora_B" in name}
    assert len(names) == 14
    assert all(p.abs().sum() > 0 for name, p in model.named_parameters() if "lora_B" in name)


def test_sealing_a_foreign_adapter_gives_it_its_settings(adapter: Path, tmp_path: Path) -> None:
    """peft's own file becomes one that the engine reads; sealing twice changes nothing."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, tmp_path / "foreign")
    file = tmp_path / "foreign" / weights.WEIGHTS_NAME
    save_file(load_file(file), file, metadata={"format": "pt"})

    sealed = weights.seal(tmp_path / "foreign")

    assert sealed == Manifest.decode((adapter / NAME).read_bytes()).adapter
    assert weights.seal(tmp_path / "foreign") == sealed


def test_a_folder_without_safe_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="it has no config"):
        base_id(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(Refused, match="pickled weights are never read"):
        base_id(tmp_path)
    with pytest.raises(Refused, match="pickled weights are never read"):
        weights.seal(tmp_path)


def test_every_hashed_file_changes_the_id(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "base")
    seen = {base_id(folder)}
    hashed = sorted(path for path in folder.iterdir())
    for path in hashed:
        path.write_bytes(path.read_bytes() + b" ")
        seen.add(base_id(folder))
    assert len(seen) == len(hashed) + 1
    (folder / "README.md").write_text("not hashed")
    assert base_id(folder) in seen


@pytest.mark.parametrize("stop_at", [0, 3, 14])
def test_stopped_training_leaves_nothing(base: Path, tmp_path: Path, stop_at: int) -> None:
    """What stood there before still stands."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    asked = iter(range(1000))
    recipe: Any = RECIPE

    with pytest.raises(Stopped, match="stopped at step"):
        train_adapter(
            base, DOCUMENTS, tmp_path / "out", source=SOURCE, recipe=recipe,
            should_stop=lambda: next(asked) == stop_at,
        )  # fmt: skip

    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
    with pytest.raises(Stopped):
        train_base(DOCUMENTS, tmp_path / "new", recipe=SMALL, should_stop=lambda: True)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_trained_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="too few to train on"):
        train_adapter(base, ("Hello.",), tmp_path / "out", source=SOURCE)
    with pytest.raises(Refused, match="too few to train on"):
        train_base(("Hello.",), tmp_path / "out", recipe=SMALL)
    with pytest.raises(Refused, match="it has no config"):
        train_adapter(tmp_path, DOCUMENTS, tmp_path / "out", source=SOURCE)
    for bad in ({"rank": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"steps": 0}, {"holdout": 1}):
        with pytest.raises(Malformed):
            Recipe(**bad)  # type: ignore[arg-type]
