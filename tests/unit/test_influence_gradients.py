"""Our per-example gradients are those of peft and autograd, for any adapter on any base."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from attribution.influence.adapter import read_loras
from attribution.influence.gradients import Gradients
from attribution.influence.model import open_base
from attribution.influence.precision import computing_in
from attribution.influence.tokens import Window
from tests.influence_models import FAMILIES, adapter_bytes, make_base, make_peft, one_thread

pytestmark = pytest.mark.filterwarnings("ignore")  # those of transformers and peft
quick = pytest.fixture(autouse=True, scope="module")(one_thread)
F64, F32 = torch.float64, torch.float32
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in FAMILIES},
    "queries and values": ("llama", {"target_modules": ["q_proj", "v_proj"]}),
    "rank-stabilised": ("qwen2", {"use_rslora": True}),
    "ranks by pattern": (
        "mistral",
        {"rank_pattern": {"q_proj": 5, "layers.1.mlp.up_proj": 1}, "alpha_pattern": {"v_proj": 9}},
    ),
    "the tied head too": ("gemma2", {"target_modules": ["q_proj", "lm_head"]}),
    "fan in, fan out": ("gpt2", {"target_modules": ["c_attn"], "fan_in_fan_out": True}),
}
EXAMPLES = (
    [Window((5, 9, 2, 7, 3, 8, 11, 12), 4)],
    [Window((6, 1, 1, 4), 1)],
    [],
    [Window((9, 8, 7, 6, 5, 4), 3), Window((4, 31, 41, 59, 26, 53), 1)],
)


def judge(adapted: Any, example: Sequence[Window]) -> dict[str, torch.Tensor]:
    """Gradients by autograd alone, of one example."""
    adapted.zero_grad()
    losses = []
    for window in example:
        ids = torch.tensor([window.tokens])
        logp = adapted(input_ids=ids).logits.log_softmax(-1)[0, :-1]
        losses.append(-logp.gather(1, ids[0, 1:, None])[window.first - 1 :, 0])
    if example:
        torch.cat(losses).mean().backward()
    return {
        name.replace(".default.weight", "").replace("base_model.model.", ""): p.grad
        for name, p in adapted.named_parameters()
        if "lora_" in name
    }


@pytest.mark.parametrize("kind", ADAPTERS)
def test_they_are_those_of_autograd(kind: str, tmp_path: Path) -> None:
    family, settings = ADAPTERS[kind]
    base = make_base(tmp_path, family)
    model, _ = open_base(base, F64, "cpu")
    with computing_in(F64):
        adapted = make_peft(open_base(base, F64, "cpu")[0], **settings).double().eval()
        wanted = [judge(adapted, example) for example in EXAMPLES]
    loras = read_loras(adapter_bytes(adapted))

    ours = Gradients(model, loras, F64)
    single, batched = ours.of(EXAMPLES), ours.of(EXAMPLES, batch=3)

    assert len(ours.factors) == len(wanted[0])
    for factor, one, many in zip(ours.factors, single, batched, strict=True):
        for number, want in enumerate(wanted):
            grad = want[f"{factor.layer}.lora_{factor.side}"]
            if grad is None:
                assert not one[number].any()
                continue
            grad = grad if factor.side == "A" else grad.T
            scale = max(1.0, float(grad.abs().max()))
            assert (one[number] - grad).abs().max() < 1e-10 * scale
            assert (many[number] - grad).abs().max() < 1e-10 * scale
    assert any(bool(part.any()) for part in single)
