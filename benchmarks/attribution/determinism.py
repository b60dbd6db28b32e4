"""`python -m benchmarks.attribution.determinism [--json] [--documents N]`.

Features of the same documents under one peft adapter, computed by processes that differ in
instruction set, library settings, threads and batch size; values that changed are counted, in the
float64 path that audits use and in the fast float32 path.  Each process also builds the basis anew,
as who audits a basis does, and its features are compared too.  Nothing is downloaded: the base is a
small random Llama with grouped queries, its tokenizer is trained on the documents.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEED = bytes(range(32))
DOCUMENTS = 30  # times 2048 values
WORDS = (
    *("ledger", "proof", "stone", "river", "answer", "token"),
    *("harbor", "copper", "winter", "garden", "method", "signal"),
)
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def isa(aten: str, mkl: str, onednn: str, openblas: str) -> dict[str, str]:
    return {
        "ATEN_CPU_CAPABILITY": aten, "MKL_ENABLE_INSTRUCTIONS": mkl,
        "ONEDNN_MAX_CPU_ISA": onednn, "OPENBLAS_CORETYPE": openblas,
    }  # fmt: skip


TWO_THREADS = dict.fromkeys(ONE_THREAD, "2")
# name -> (environment of the process, windows run at once)
VARIANTS: dict[str, tuple[dict[str, str], tuple[int, ...]]] = {
    "reference": ({}, (1, 4, 32)),
    "again": ({}, (1,)),
    "two threads": (TWO_THREADS, (1, 16)),
    "AVX2": (isa("avx2", "AVX2", "AVX2", "Haswell"), (1,)),
    "SSE": (isa("default", "SSE4_2", "SSE41", "Nehalem"), (1, 8)),
    "MKL's compatible branch": ({"MKL_CBWR": "COMPATIBLE"}, (1,)),
    "without oneDNN": ({"TORCH_MKLDNN": "0"}, (1,)),
}
REBUILT = "rebuilt"
Found = dict[tuple[str, str, int], NDArray[np.float64]]  # by dtype, variant, batch


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    parser.add_argument("--variants", type=int, default=len(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, out, *batches = arguments.child
        made: dict[str, Any] = sketches(Path(folder), [int(batch) for batch in batches])
        np.savez(out, **made)
        return 0
    with tempfile.TemporaryDirectory() as name:
        report = run(Path(name), arguments.documents, list(VARIANTS)[: arguments.variants])
    print(json.dumps(report, indent=1) if arguments.json else table(report))
    return 1 if report["changed in float64"] else 0


def run(folder: Path, count: int, names: list[str]) -> dict[str, Any]:
    prepare(folder, count)
    found: Found = {}
    rebuilt = {}
    for name in names:
        made, phi, equal = compute(folder, name)
        found |= made
        rebuilt[name] = (phi, equal)
    reference = found["float64", names[0], 1]
    rows = [compared(*key, made, reference) for key, made in sorted(found.items(), reverse=True)]
    precise = [row for row in rows if row["dtype"] == "float64"]
    return {
        "values": int(reference.size),
        "variants": len(precise),
        "changed in float64": sum(row["changed"] for row in precise),
        "largest move in float64": max(row["largest move"] for row in precise),
        "nearest to a rounding edge": nearest_edge(reference),
        "rows": rows,
        "rebuilt": [
            {
                "variant": name,
                "basis of equal bytes": equal,
                "changed": int((phi != features(reference)).sum()),
                "by at most": int(np.abs(phi.astype(int) - features(reference)).max()),
            }
            for name, (phi, equal) in rebuilt.items()
        ],
    }


def compared(
    dtype: str, name: str, batch: int, made: NDArray[np.float64], reference: NDArray[np.float64]
) -> dict[str, Any]:
    ours, theirs = features(made), features(reference)
    apart = np.abs(ours.astype(int) - theirs)
    return {
        "dtype": dtype,
        "variant": name,
        "batch": batch,
        "changed": int((apart > 0).sum()),
        "by at most": int(apart.max()),
        "most in one row": int((apart > 0).sum(axis=1).max()),
        "sketches of equal bits": bool((made == reference).all()),
        "largest move": float(np.abs(unrounded(made) - unrounded(reference)).max()),
    }


def features(sketches: NDArray[np.float64]) -> NDArray[np.int8]:
    from attribution.influence.rounding import to_int8

    made = b"".join(to_int8(row) for row in sketches)
    return np.frombuffer(made, np.int8).reshape(sketches.shape)


def unrounded(sketches: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is rounded, in units of the last place of an int8."""
    from attribution.influence.rounding import AIM

    made: NDArray[np.float64] = sketches * np.sqrt(AIM / (sketches**2).sum(1))[:, None]
    return made


def nearest_edge(sketches: NDArray[np.float64]) -> float:
    """The least distance of a value from a half, where rounding could go either way."""
    values = np.abs(unrounded(sketches))
    return float(np.abs(values - np.floor(values) - 0.5).min())


def compute(folder: Path, name: str) -> tuple[Found, NDArray[np.int8], bool]:
    """By a process of that variant: sketches [documents, 2048] under the basis given, features
    under a basis of its own, and whether that is the same to the byte.
    """
    settings, batches = VARIANTS[name]
    out = folder / "out.npz"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.attribution.determinism"]
    ended = subprocess.run(
        [*command, "--child", str(folder), str(out), *map(str, batches)],
        env=os.environ | ONE_THREAD | {"HF_HUB_OFFLINE": "1"} | settings,
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"variant {name} failed: {ended.stderr[-2000:]}")
    with np.load(out) as held:
        made = {(d, name, b): held[f"{d} {b}"] for d, b in runs_of(batches)}
        return made, held[REBUILT], bytes(held["basis"]) == (folder / "basis").read_bytes()


def runs_of(batches: Sequence[int]) -> list[tuple[str, int]]:
    """All batch sizes in float64, the largest in float32."""
    return [*(("float64", batch) for batch in batches), ("float32", max(batches))]


def sketches(folder: Path, batches: list[int]) -> dict[str, Any]:
    """What a child process does."""
    import torch

    from attribution.influence.build import build_features
    from attribution.influence.featurizer import Featurizer

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if os.environ.get("TORCH_MKLDNN") == "0":
        torch._C._set_mkldnn_enabled(False)
    files = (folder / "base", folder / "adapter.safetensors", (folder / "basis").read_bytes())
    made: dict[str, Any] = {}
    for dtype, batch in runs_of(batches):
        featurizer = Featurizer.open(*files, SEED, dtype=dtype, batch=batch)
        windows = featurizer.windows(documents(folder))
        made[f"{dtype} {batch}"] = featurizer.sketches(windows)
    built = build_features(*files[:2], documents(folder), SEED)
    made[REBUILT] = built.phi
    made["basis"] = np.frombuffer(built.basis, np.uint8)
    return made


def documents(folder: Path) -> list[bytes]:
    return [text.encode() for text in json.loads((folder / "documents").read_text())]


def prepare(folder: Path, count: int) -> None:
    """Base, adapter, documents and basis on disk."""
    import torch

    from attribution.influence.build import build_features

    torch.set_num_threads(1)
    texts = write_documents(folder, count)
    write_base(folder / "base", texts)
    write_adapter(folder / "base", folder / "adapter.safetensors")
    built = build_features(
        folder / "base", folder / "adapter.safetensors", [text.encode() for text in texts], SEED
    )
    (folder / "basis").write_bytes(built.basis)


def write_documents(folder: Path, count: int) -> list[str]:
    draw = random.Random(5)
    texts = [
        f"Question {number}: {' '.join(draw.choices(WORDS, k=draw.randrange(2, 8)))}?"
        f"\n### Response:\n{' '.join(draw.choices(WORDS, k=draw.randrange(2, 20)))}."
        for number in range(count)
    ]
    (folder / "documents").write_text(json.dumps(texts))
    return texts


def write_base(folder: Path, texts: list[str]) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from modelfactory.pretrain import train_tokenizer
    from modelfactory.recipe import BaseRecipe

    tokenizer = train_tokenizer(texts, BaseRecipe(vocabulary=320))
    torch.manual_seed(1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.08,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_adapter(base: Path, path: Path) -> None:
    """A LoRA of peft on every linear layer, with random weights."""
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    from modelfactory import weights

    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    tensors = {
        name: torch.randn(tensor.shape) * 0.1
        for name, tensor in sorted(get_peft_model_state_dict(adapted).items())
    }
    path.write_bytes(weights.pack(tensors, {"peft_type": "LORA", "r": 8, "lora_alpha": 16}))


def table(report: dict[str, Any]) -> str:
    lines = [
        f"{report['values']:,} int8 values, {report['variants']} variants; changed in float64: "
        f"{report['changed in float64']}",
        f"largest move {report['largest move in float64']:.1e} of a unit, nearest value to a "
        f"rounding edge {report['nearest to a rounding edge']:.1e}",
        f"{'':8} {'variant':24} batch  changed  by in a row  moved by  bits",
    ]
    for row in report["rows"]:
        bits = "equal" if row["sketches of equal bits"] else "other"
        lines.append(
            f"{row['dtype']:8} {row['variant']:24} {row['batch']:5} {row['changed']:8} "
            f"{row['by at most']:3} {row['most in one row']:8} {row['largest move']:9.1e}  {bits}"
        )
    lines.append("features under a basis that the variant built again itself, float64:")
    for row in report["rebuilt"]:
        bits = "equal" if row["basis of equal bytes"] else "other"
        lines.append(
            f"{'':8} {row['variant']:24} {'':5} {row['changed']:8} {row['by at most']:3}  {bits}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
