"""The base model as the engine uses it: read from disk, packed attention, one linear pool."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openlora import attention
from openlora.attention import Memory, Plan, Prefill
from openlora.layers import BARE, Pool
from protocol.errors import Refused

PROBE = (5, 9, 2, 7, 3, 8)  # token ids, cut to the vocabulary, on which the packing is checked
TOLERANCE = 1e-3  # of a logit, relative to the largest


class Model:
    """One base model, packed: give it tokens of many answers, get each answer's next logits."""

    def __init__(self, directory: Path, *, rows: int, context: int, slots: int, rank: int) -> None:
        """Raises `Refused` for what cannot be read or would be computed wrongly."""
        attention.register()
        self._model, self.tokenizer = _open(directory)
        config = self._model.config.get_text_config()
        self.context = min(context, getattr(config, "max_position_embeddings", context))
        window = getattr(config, "sliding_window", None)
        if window and getattr(config, "use_sliding_window", True):
            self.context = min(self.context, window)
        self.end_tokens = _end_tokens(self._model, self.tokenizer)
        plain = self._plain()
        self._model.set_attn_implementation(attention.NAME)
        self.pool = Pool(self._model, slots, rank)
        self.memory = Memory(rows, self.context)
        self._compare(plain)

    @property
    def shapes(self) -> Mapping[str, tuple[int, int]]:
        return self.pool.shapes

    @torch.inference_mode()
    def forward(
        self,
        decodes: Sequence[tuple[int, int, int]],
        prompts: Sequence[tuple[Sequence[int], int]],
    ) -> Tensor:
        """Logits [answers, vocabulary], float32, after one step.

        decodes: (token, place, slot) of rows 0.. in order; prompts: (tokens, slot) of rows after.
        """
        tokens = [token for token, _, _ in decodes]
        places = [place for _, place, _ in decodes]
        slots = [slot for _, _, slot in decodes]
        kept, prefills = list(range(len(decodes))), []
        for row, (prompt, slot) in enumerate(prompts, start=len(decodes)):
            begin, end = len(tokens), len(tokens) + len(prompt)
            prefills.append(Prefill(begin, end, row))
            tokens += prompt
            places += range(len(prompt))
            slots += [slot] * len(prompt)
            kept.append(end - 1)
        self.memory.plan = Plan(torch.tensor(places[: len(decodes)], dtype=torch.long), prefills)
        self.pool.routing.set(slots, single=not prompts)
        with self.memory:
            out = self._model(
                input_ids=torch.tensor([tokens]),
                position_ids=torch.tensor([places]),
                use_cache=False,
                logits_to_keep=torch.tensor(kept),
            )
        logits: Tensor = out.logits[0].float()
        return logits

    @torch.inference_mode()
    def _plain(self) -> Tensor:
        """Logits of the probe by the model as it came."""
        logits: Tensor = self._model(input_ids=torch.tensor([self._probe()])).logits[0]
        return logits.float()

    def _compare(self, plain: Tensor) -> None:
        """Models that ignore the attention interface or do more in it (soft caps) show here."""
        probe = self._probe()
        first = self.forward([], [(probe[:-1], BARE)])
        second = self.forward([(probe[-1], len(probe) - 1, BARE)], [])
        got = torch.cat([first, second])
        if not torch.allclose(got, plain[-2:], atol=TOLERANCE * float(plain.abs().max())):
            kind = type(self._model).__name__
            raise Refused(f"{kind} cannot be served: packed and plain logits differ")

    def _probe(self) -> list[int]:
        size = self._model.config.get_text_config().vocab_size
        return [token % size for token in PROBE]


def _open(directory: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]

    try:
        model = AutoModelForCausalLM.from_pretrained(
            directory, dtype="auto", use_safetensors=True, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise Refused(f"cannot read a causal model from {directory}: {error}") from None
    model.train(False)
    return model.requires_grad_(False), tokenizer


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    named = model.generation_config.eos_token_id
    listed = named if isinstance(named, list) else [named]
    return frozenset(t for t in (*listed, tokenizer.eos_token_id) if t is not None)
