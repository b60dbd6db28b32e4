"""From documents to features and back: the same for everybody, on any bytes, under any trouble."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from attribution.influence.adapter import read_loras
from attribution.influence.audit import Verdict, compare
from attribution.influence.basis import Basis
from attribution.influence.build import Built, Stopped, build_features
from attribution.influence.featurizer import Featurizer
from attribution.influence.gradients import Gradients
from attribution.influence.model import open_adapter, open_base
from attribution.influence.tokens import query_windows
from attribution.influence.whitening import whitened
from modelfactory import weights
from protocol.errors import Malformed, Refused
from protocol.features import DIMENSION, well_formed
from tests.influence_models import make_adapter, make_base, one_thread

pytestmark = pytest.mark.filterwarnings("ignore")  # those of transformers and peft
quick = pytest.fixture(autouse=True, scope="module")(one_thread)
SEED = bytes(range(32))
DOCUMENTS = [
    *(f"Rule {n}: {n} times {n + 1} makes {n * (n + 1)}.".encode() for n in range(5)),
    b'{"prompt": "The quick", "completion": " brown fox."}',
    "Q\n### Response:\nÄrger über Öl – naïve café.".encode(),
    b"word " * 60,
    b"\xff\xfe\x80 broken \xc3",
    b"",
    b"Q\n### Response:\n",
    b"x",
]
EMPTY = (9, 10)
TARGETS = ["q_proj", "v_proj", "down_proj"]
QUERIES = [
    (b"", b""), (b"a prompt", b""), (b"", b"an output"), (b"The quick", b" brown fox."),
    (b"p" * 5_000, b"out"), (b"p", b"out " * 99), (b"\xff", b"\xc3\x28"), (b"\0", b"\0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("influence")
    base = make_base(folder / "base", num_hidden_layers=1, max_position_embeddings=32)
    return base, make_adapter(base, folder / "adapter.safetensors", target_modules=TARGETS)


@pytest.fixture(scope="module")
def built(files: tuple[Path, Path]) -> Built:
    return build_features(*files, DOCUMENTS, SEED)


def test_builder_and_auditor_get_the_same_bytes(files: tuple[Path, Path], built: Built) -> None:
    featurizer = Featurizer.open(*files, built.basis, SEED)

    for number, document in enumerate(DOCUMENTS):
        feature = built.phi[number].tobytes()
        assert featurizer.example(document) == feature
        assert well_formed(feature)
        assert (feature == bytes(DIMENSION)) == (number in EMPTY)
    assert featurizer.examples(DOCUMENTS) == [row.tobytes() for row in built.phi]
    assert Basis.decode(built.basis).encode() == built.basis


def test_any_query_has_a_feature(files: tuple[Path, Path], built: Built) -> None:
    featurizer = Featurizer.open(*files, built.basis, SEED)

    for prompt, output in QUERIES:
        feature = featurizer.query(prompt, output)
        assert well_formed(feature)
        assert any(feature) == bool(output)
    alike = np.frombuffer(featurizer.query(b"The quick", b" brown fox."), np.int8).astype(int)
    scores = built.phi.astype(int) @ alike
    assert scores.argmax() == 5


def test_batches_do_not_change_the_audit_path(files: tuple[Path, Path], built: Built) -> None:
    for batch in (3, 32):
        batched = Featurizer.open(*files, built.basis, SEED, batch=batch)
        assert batched.examples(DOCUMENTS) == [row.tobytes() for row in built.phi]


def test_the_fast_path_is_valid_or_nearly(files: tuple[Path, Path], built: Built) -> None:
    fast = Featurizer.open(*files, built.basis, SEED, dtype="float32").examples(DOCUMENTS)

    for number, row in enumerate(built.phi):
        assert compare(fast[number], row.tobytes()).verdict is not Verdict.INVALID


def test_other_seeds_documents_and_prompts_are_told_apart(
    files: tuple[Path, Path], built: Built
) -> None:
    other = build_features(*files, DOCUMENTS[:4], bytes(32))

    assert compare(other.phi[0].tobytes(), built.phi[0].tobytes()).verdict is Verdict.INVALID
    for one in range(4):
        pair = (built.phi[one].tobytes(), built.phi[one + 1].tobytes())
        assert compare(*pair).verdict is Verdict.INVALID


def test_what_does_not_fit_is_told(files: tuple[Path, Path], built: Built, tmp_path: Path) -> None:
    base, adapter = files
    other = make_adapter(base, tmp_path / "other.safetensors", seed=2, target_modules=TARGETS)
    wide = make_base(tmp_path / "wide", hidden_size=32, num_hidden_layers=1)

    with pytest.raises(Malformed, match="another adapter"):
        Featurizer.open(base, other, built.basis, SEED)
    with pytest.raises(Malformed):
        Featurizer.open(base, adapter, built.basis[:-4], SEED)
    with pytest.raises(Malformed):
        Featurizer.open(base, adapter, built.basis, b"short")
    with pytest.raises(Malformed, match="another seed"):
        Featurizer.open(base, adapter, built.basis, bytes(32))
    with pytest.raises(Malformed):
        Featurizer.open(base, adapter, built.basis, SEED, dtype="bfloat16")
    with pytest.raises(Refused, match="maps"):
        Featurizer.open(wide, adapter, built.basis, SEED)
    with pytest.raises(Refused):
        Featurizer.open(tmp_path, adapter, built.basis, SEED)
    with pytest.raises(Refused):
        Featurizer.open(base, tmp_path / "missing", built.basis, SEED)
    with pytest.raises(Refused):
        build_features(base, adapter, [], SEED)


def test_building_is_told_and_can_be_stopped(files: tuple[Path, Path]) -> None:
    told: list[tuple[str, int, int]] = []

    with pytest.raises(Stopped):
        build_features(
            *files, DOCUMENTS[:3], SEED,
            progress=lambda *step: told.append(step),
            should_stop=lambda: any(doing == "features" for doing, _, _ in told),
        )  # fmt: skip

    assert told[0] == ("basis", 0, 3)
    assert told[-1] == ("features", 0, 3)


def test_gradients_that_are_not_kept_give_the_same(
    files: tuple[Path, Path], built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Little memory: several passes, one example at a time."""
    monkeypatch.setattr("attribution.influence.build.CACHE_BYTES", 0)
    monkeypatch.setattr("attribution.influence.build.CHUNK_BYTES", 1)

    again = build_features(*files, DOCUMENTS, SEED)

    assert (again.phi == built.phi).mean() > 0.99  # sums in another order: a bit of the basis


def test_a_basis_that_keeps_little_still_works(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attribution.influence.whitening.BASIS_BYTES_AIM", 1)
    monkeypatch.setattr("attribution.influence.whitening.KEPT_MIN", 2)
    monkeypatch.setattr("attribution.influence.whitening.OVERSAMPLED", 3)

    built = build_features(*files, DOCUMENTS, SEED)

    assert all(len(turn.kept) == 2 for turn in Basis.decode(built.basis).turns)
    assert (
        Featurizer.open(*files, built.basis, SEED).example(DOCUMENTS[3]) == built.phi[3].tobytes()
    )


def test_scores_of_few_examples_are_those_of_the_whitened_gradients(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """With more coordinates than a feature has, the anchors of the basis keep the products."""
    base = files[0]
    adapter = make_adapter(base, tmp_path / "big.safetensors", r=32, target_modules=TARGETS)
    built = build_features(base, adapter, DOCUMENTS, SEED)
    featurizer = Featurizer.open(base, adapter, built.basis, SEED)
    pairs = [(b"Rule", b" 3: 3 times"), (b"The", b" quick brown dog.")]
    psi = np.array([np.frombuffer(featurizer.query(*pair), np.int8) for pair in pairs]).astype(int)

    basis = Basis.decode(built.basis)
    assert basis.anchors.shape == (len(DOCUMENTS), 4096)
    assert featurizer.examples(DOCUMENTS) == [row.tobytes() for row in built.phi]
    loras = open_adapter(adapter)[1]
    model, tokenizer = open_base(base, torch.float64, "cpu")
    gradients = Gradients(model, loras, torch.float64)
    asked = [query_windows(tokenizer, *pair, basis.context) for pair in pairs]
    turns = [turn.to(torch.float64, "cpu") for turn in basis.turns]
    true = [
        torch.nn.functional.normalize(whitened(turns, gradients.of(runs)), dim=1)
        for runs in (asked, featurizer.windows(DOCUMENTS))
    ]
    made = psi @ built.phi.astype(int).T / (DIMENSION * (127 / 4) ** 2)
    assert np.abs(made - (true[0] @ true[1].T).numpy()).max() < 2e-3


def packed(
    change: Callable[[dict[str, torch.Tensor]], None] = lambda _: None, **more: Any
) -> bytes:
    """A good adapter but for `change` and `more`."""
    head = f"{weights.PREFIX}model.layers.0.self_attn.q_proj.lora_"
    tensors = {head + "A.weight": torch.ones(3, 16), head + "B.weight": torch.ones(16, 3)}
    change(tensors)
    config = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": ["q_proj"]} | more
    return save(tensors, metadata={"lora_config": json.dumps(config)})


def test_adapters_that_are_not_what_we_compute_are_refused() -> None:
    def nan(tensors: dict[str, torch.Tensor]) -> None:
        next(iter(tensors.values()))[0, 0] = float("nan")

    def lone(tensors: dict[str, torch.Tensor]) -> None:
        tensors.popitem()

    def foreign(tensors: dict[str, torch.Tensor]) -> None:
        tensors["base_model.model.embed.lora_embedding_A"] = torch.ones(2, 2)

    def whole(tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors:
            tensors[name] = tensors[name].long()

    def cubic(tensors: dict[str, torch.Tensor]) -> None:
        for name in tensors:
            tensors[name] = tensors[name][None]

    assert read_loras(packed())[0].scale == 2
    assert read_loras(packed(use_rslora=True))[0].scale == pytest.approx(6 / 3**0.5)
    assert read_loras(packed(alpha_pattern={"q_proj": 9}))[0].scale == 3
    for bad in (
        packed(nan), packed(lone), packed(foreign), packed(whole), packed(cubic),
        packed(lambda tensors: tensors.clear()),
        packed(peft_type="IA3"), packed(use_dora=True), packed(lora_bias=True), packed(r=4),
        packed(modules_to_save=["lm_head"]), packed(r="3"), packed(lora_alpha=0),
        packed(lora_alpha=1e30), packed(use_rslora=2), packed(rank_pattern={"(a+)+b": 3}),
        packed(rank_pattern=[1]), packed(rank_pattern={"q_proj": 2}), packed(unheard_of=1),
        b"", b"\xff" * 100, packed()[:-1], save({"a": torch.ones(1)}),
        save({"a": torch.ones(1)}, metadata={"lora_config": "[" * 100_000}),
        save({"a": torch.ones(1)}, metadata={"lora_config": "[]"}),
    ):  # fmt: skip
        with pytest.raises(Refused):
            read_loras(bad)
