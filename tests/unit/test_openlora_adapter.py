"""An adapter file is used only if its bytes, names, shapes, numbers and settings are all right."""

import hashlib
import json
from typing import Any

import pytest
import torch
from safetensors.torch import save

from modelfactory import weights
from openlora import adapter as reader
from openlora.adapter import Adapter, read_adapter
from protocol.errors import Refused
from tests.openlora_models import layers, settings, tensors

FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def read(data: bytes) -> Adapter:
    return read_adapter(data, hashlib.sha256(data).digest(), layers())


def pack(made: dict[str, torch.Tensor] | None = None, **more: Any) -> bytes:
    return weights.pack(made or tensors(1), settings() | more)


def test_writer_and_reader_agree() -> None:
    """The engines may not import each other, so what they share is written twice."""
    assert (reader.METADATA_KEY, reader.PREFIX) == (weights.METADATA_KEY, weights.PREFIX)


def test_the_scale_is_folded_in() -> None:
    made = tensors(1)
    plain, stabilised = read(pack(made)), read(pack(made, use_rslora=True))
    layer, up = "model.layers.0.self_attn.q_proj", made[FIRST.replace("lora_A", "lora_B")]
    assert plain.rank == 4
    assert plain.pairs.keys() == layers().keys()
    assert torch.equal(plain.pairs[layer].up, up * 2)
    assert torch.equal(stabilised.pairs[layer].up, up * 4)
    assert torch.equal(plain.pairs[layer].down, made[FIRST])


def test_half_precision_is_read_as_it_is() -> None:
    made = {name: tensor.bfloat16() for name, tensor in tensors(1).items()}
    assert torch.equal(read(pack(made)).pairs["model.layers.0.self_attn.q_proj"].down,
                       made[FIRST].float())  # fmt: skip


def test_the_hash_is_checked_first() -> None:
    with pytest.raises(Refused, match="the adapter's bytes hash to"):
        read_adapter(b"anything", bytes(32), layers())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "uses use_dora, which is not supported"),
        ({"bias": "all"}, "uses bias, "),
        ({"modules_to_save": ["lm_head"]}, "uses modules_to_save, "),
        ({"rank_pattern": {"q_proj": 2}}, "uses rank_pattern, "),
        ({"fan_in_fan_out": True}, "uses fan_in_fan_out, "),
        ({"trainable_token_indices": [1]}, "uses trainable_token_indices, "),
        ({"a_field_of_tomorrow": 1}, "uses a_field_of_tomorrow, "),
        ({"peft_type": "LOHA"}, "peft_type is LOHA, only LORA is served"),
        ({"r": 65}, "rank is 65, it may be 1 to 64"),
        ({"r": 0}, "rank is 0, "),
        ({"r": True}, "rank is True, "),
        ({"r": 8}, r"has shape \(4, (32|48)\), not \(8, "),
        ({"lora_alpha": "inf"}, "lora_alpha is inf, "),
        ({"lora_alpha": 10_000}, "lora_alpha is 10000, "),
        ({"use_rslora": "yes"}, "use_rslora is neither"),
    ],
)
def test_settings_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        read(pack(**change))


def changed(name: str, tensor: torch.Tensor | None) -> dict[str, torch.Tensor]:
    made = tensors(1)
    if tensor is None:
        del made[name]
    else:
        made[name] = tensor
    return made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (changed(FIRST, None), "q_proj lacks its lora_A matrix"),
        (changed(FIRST, torch.zeros(4, 31)), "has shape"),
        (changed(FIRST, torch.zeros(4, 32, dtype=torch.float64)), "has dtype torch.float64"),
        (changed(FIRST, torch.zeros(4, 32, dtype=torch.int8)), "has dtype torch.int8"),
        (changed(FIRST, torch.full((4, 32), float("nan"))), "holds a NaN or an infinity"),
        (changed(FIRST, torch.full((4, 32), float("inf"))), "holds a NaN or an infinity"),
        (changed(FIRST.replace("layers.0", "layers.7"), torch.zeros(4, 32)), "no linear layer"),
    ],
)
def test_tensors_are_checked(made: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(Refused, match=message):
        read(pack(made))


def sealed(made: dict[str, torch.Tensor], config: str | None) -> bytes:
    data: bytes = save(made, None if config is None else {reader.METADATA_KEY: config})
    return data


GOOD = json.dumps(settings(target_modules=["q_proj"]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "its header does not fit"),
        (b"\xff" * 64, "its header does not fit"),
        (pack()[:-1], "not valid safetensors"),
        (pack() + b"x", "not valid safetensors"),
        (b"\x08" + b"\0" * 7 + b"[" * 8, "header is not valid JSON"),
        (b"\0\x20" + b"\0" * 6 + b"[" * 8192, "header is not valid JSON"),
        (sealed(tensors(1), None), "do not carry their lora_config"),
        (sealed(tensors(1), "7"), "lora_config is not an object"),
        (sealed(tensors(1), "{"), "header is not valid JSON"),
        (sealed(tensors(1), GOOD), r"target_modules says \['q_proj'\], the weights are of"),
        (sealed({"x": torch.zeros(1)}, GOOD), "tensor x is no LoRA matrix"),
    ],
)
def test_files_that_are_no_adapters(data: bytes, message: str) -> None:
    with pytest.raises(Refused, match=message):
        read(data)


def test_pickled_bytes_are_not_read() -> None:
    import pickle

    with pytest.raises(Refused):
        read(pickle.dumps({"a": 1}))
