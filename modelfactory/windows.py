"""Training windows: a corpus as one run of tokens, cut so that most windows begin a line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from protocol.errors import Refused

TOKENS_MIN = 16


@dataclass(frozen=True, slots=True)
class Corpus:
    """tokens [n] int64; line [n] int64: where the line that holds each token begins."""

    tokens: Tensor
    line: Tensor

    def windows(self, starts: Sequence[int], size: int) -> Tensor:
        """[len(starts), size] tokens."""
        return torch.stack([self.tokens[start : start + size] for start in starts])


def corpus_of(documents: Sequence[str], tokenizer: Any) -> Corpus:
    """The documents' tokens, each document ended by the end-of-text token where there is one."""
    end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    tokens: list[int] = []
    for document in documents:
        tokens += tokenizer(document, add_special_tokens=False, verbose=False).input_ids + end
    if len(tokens) < TOKENS_MIN:
        raise Refused(f"{len(tokens)} tokens are too few to train on, need {TOKENS_MIN}")
    breaks = {token for token in set(tokens) if tokenizer.decode([token]).endswith("\n")}
    breaks.update(end)
    line, begin = [], 0
    for at in range(len(tokens)):
        if at and tokens[at - 1] in breaks:
            begin = at
        line.append(begin)
    return Corpus(torch.tensor(tokens), torch.tensor(line))


def grid(corpus: Corpus, size: int, offset: int) -> list[int]:
    """Starts that cover the corpus once: every `size` tokens, moved back to their line's start.

    A prompt is usually the start of a line, so the model must have met it at position 0.
    """
    last = len(corpus.tokens) - size
    starts = range(offset, last + size, size)
    moved = (int(corpus.line[start]) for start in starts)
    back = size // 2  # further back the window would leave a hole before the next one
    return [
        min(line if start - line <= back else start, last)
        for start, line in zip(starts, moved, strict=True)
    ]


def draw(corpus: Corpus, size: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Endless [batch, size] windows: every pass covers the corpus from another offset, shuffled."""
    waiting: list[int] = []
    while True:
        while len(waiting) < batch:
            offset = int(torch.randint(size, (), generator=generator))
            starts = grid(corpus, size, offset - size if offset else 0)
            starts = [max(start, 0) for start in starts]
            order = torch.randperm(len(starts), generator=generator).tolist()
            waiting += [starts[index] for index in order]
        yield corpus.windows([waiting.pop() for _ in range(batch)], size)
