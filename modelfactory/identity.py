"""The identity of a base model: one hash over everything that changes its answers."""

import hashlib
from pathlib import Path

from modelfactory import canonical
from protocol.errors import Refused

FILES_MAX = 256
# What is hashed, where present: each file's name, size and sha256, in the order of the names.
NAMES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "model.safetensors.index.json",
)
WEIGHTS = "*.safetensors"


def base_id(directory: Path) -> bytes:
    """sha256 of the canonical list of (name, size, sha256) of a Hugging Face model directory.

    Raises `Refused` for a directory without config or safetensors weights.
    """
    if not (directory / "config.json").is_file():
        raise Refused(f"{directory} is not a model: it has no config.json")
    weights = sorted(directory.glob(WEIGHTS))
    if not weights:
        raise Refused(f"{directory} has no safetensors weights; pickled weights are never read")
    present = [directory / name for name in NAMES if (directory / name).is_file()]
    files = sorted({*present, *weights}, key=lambda path: path.name)
    if len(files) > FILES_MAX:
        raise Refused(f"{directory} has {len(files)} files, limit is {FILES_MAX}")
    listed: list[canonical.Json] = [
        [path.name, path.stat().st_size, canonical.sha256_of(path).hex()] for path in files
    ]
    return hashlib.sha256(canonical.dump(listed)).digest()
