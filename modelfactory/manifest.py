"""The manifest: what an adapter was made from, how, and what came out."""

import hashlib
import platform
from dataclasses import dataclass
from importlib.metadata import version

from modelfactory import canonical
from modelfactory.canonical import Json
from protocol.codec import require
from protocol.errors import Malformed

NAME = "manifest.json"
FORMAT = 1
_SOFTWARE = ("peft", "safetensors", "tokenizers", "torch", "transformers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Losses in millionths of a nat per token, on windows kept out of training and on the rest."""

    heldout_before: int
    heldout_after: int
    trained_before: int
    trained_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The Datanet version that an adapter is trained from."""

    datanet: int
    shards: int  # its first so many shards
    root: bytes  # Datanet root of that version

    def __post_init__(self) -> None:
        require(0 <= self.datanet < 1 << 32 and 0 <= self.shards < 1 << 32, "a u32 out of range")
        require(len(self.root) == 32, "a root has 32 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Canonical JSON; hashes as lower-case hex."""

    base: bytes
    source: Source
    recipe: dict[str, Json]
    software: dict[str, Json]
    adapter: bytes  # sha256 of adapter_model.safetensors
    adapter_bytes: int
    evaluation: Evaluation

    def encode(self) -> bytes:
        evaluation: dict[str, Json] = {
            name: getattr(self.evaluation, name) for name in Evaluation.__slots__
        }
        return canonical.dump(
            {
                "format": FORMAT,
                "base": self.base.hex(),
                "datanet": self.source.datanet,
                "shards": self.source.shards,
                "datanet_root": self.source.root.hex(),
                "recipe": self.recipe,
                "software": self.software,
                "adapter": self.adapter.hex(),
                "adapter_bytes": self.adapter_bytes,
                "evaluation": evaluation,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Raise `Malformed` unless `data` is exactly what `encode` writes."""
        value = canonical.load(data)
        try:
            source = Source(
                datanet=_integer(value["datanet"]),
                shards=_integer(value["shards"]),
                root=_hash(value["datanet_root"]),
            )
            losses = _object(value["evaluation"])
            manifest = cls(
                base=_hash(value["base"]),
                source=source,
                recipe=_object(value["recipe"]),
                software=_object(value["software"]),
                adapter=_hash(value["adapter"]),
                adapter_bytes=_integer(value["adapter_bytes"]),
                evaluation=Evaluation(
                    heldout_before=_integer(losses["heldout_before"]),
                    heldout_after=_integer(losses["heldout_after"]),
                    trained_before=_integer(losses["trained_before"]),
                    trained_after=_integer(losses["trained_after"]),
                ),
            )
        except KeyError as error:
            raise Malformed(f"a manifest without {error}") from None
        require(manifest.encode() == data, "a manifest with unknown fields or another format")
        return manifest


def manifest_hash(data: bytes) -> bytes:
    """sha256 of the canonical bytes; `Malformed` if they are not canonical."""
    return hashlib.sha256(Manifest.decode(data).encode()).digest()


def software() -> dict[str, Json]:
    """The versions that the bytes of a result depend on."""
    import torch

    versions: dict[str, Json] = {name: version(name) for name in _SOFTWARE}
    isa = torch.backends.cpu.get_cpu_capability()
    return {**versions, "python": platform.python_version(), "isa": isa}


def _integer(value: Json) -> int:
    require(type(value) is int and value >= 0, f"{value!r} is not a whole number")
    assert isinstance(value, int)
    return value


def _hash(value: Json) -> bytes:
    require(isinstance(value, str) and len(value) == 64, f"{value!r} is not a hash")
    assert isinstance(value, str)
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise Malformed(f"{value!r} is not a hash") from None


def _object(value: Json) -> dict[str, Json]:
    require(isinstance(value, dict), f"{value!r} is not an object")
    assert isinstance(value, dict)
    return value
