"""From bytes to the tokens of an example or a query, and to windows that a model can hold.

An example is a document.  Only its answer counts:
- one line that is a JSON object with the two texts "prompt" and "completion": the completion;
- a text with a line "### Response:": what follows that line;
- any other text: all of it.
A query is a prompt and an output, of which the output counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

BYTES_MAX = 1 << 20  # of a document, and of a prompt; what is beyond is not looked at
MARKER = "\n### Response:\n"


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens that are run together; those from number `first` on are answer, and `first` >= 1."""

    tokens: tuple[int, ...]
    first: int

    @property
    def answers(self) -> int:
        return len(self.tokens) - self.first


def parts_of(document: bytes) -> tuple[str, str]:
    """(prompt, answer) of a document; bytes that are not UTF-8 are replaced."""
    text = document[:BYTES_MAX].decode("utf-8", "replace")
    line = text.strip()
    if line.startswith("{") and line.endswith("}") and "\n" not in line:
        try:
            value = from_json(line)  # bounds the depth, as json.loads may not
        except ValueError:
            value = None
        if isinstance(value, dict):
            pair = value.get("prompt"), value.get("completion")
            if isinstance(pair[0], str) and isinstance(pair[1], str):
                return pair[0], pair[1]
    prompt, marker, answer = ("\n" + text).partition(MARKER)
    if marker:
        return (prompt + marker)[1:], answer
    return "", text


def example_windows(
    tokenizer: Any, document: bytes, context: int, windows_max: int
) -> list[Window]:
    """At most `windows_max` windows that hold answer, spread evenly where there are more."""
    prompt, answer = parts_of(document)
    end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    if prompt:
        before, after = _ids(tokenizer, prompt, True), _ids(tokenizer, answer, False)
    else:
        before, after = [], _ids(tokenizer, answer, True)
    if not answer or not after:
        return []
    if after[-1:] != end:
        after = after + end
    return cut(before + after, len(before), context, windows_max)


def query_windows(tokenizer: Any, prompt: bytes, output: bytes, context: int) -> list[Window]:
    """The last tokens that fit into one window; none if there is no output."""
    before = _ids(tokenizer, prompt[-BYTES_MAX:].decode("utf-8", "replace"), True)
    after = _ids(tokenizer, output[:BYTES_MAX].decode("utf-8", "replace"), False)
    tokens, first = (before + after)[-context:], max(context - len(after), 0)
    first = max(1, min(len(before), first))
    return [Window(tuple(tokens), first)] if len(tokens) > first else []


def cut(tokens: Sequence[int], first: int, context: int, windows_max: int) -> list[Window]:
    """Windows over `tokens`, of which those from `first` on count.

    Neighbours share one token, so that each token but the very first is a target exactly once.
    """
    assert context >= 2
    assert windows_max >= 1
    stride = context - 1
    begins = [at for at in range(0, len(tokens) - 1, stride) if at + context > max(first, 1)]
    if len(begins) > windows_max:
        last, steps = len(begins) - 1, max(windows_max - 1, 1)
        begins = [begins[number * last // steps] for number in range(windows_max)]
    return [
        Window(tuple(tokens[at : at + context]), max(first - at, 1))
        for at in begins
        if len(tokens[at : at + context]) > max(first - at, 1)
    ]


def _ids(tokenizer: Any, text: str, special: bool) -> list[int]:
    return list(tokenizer(text, add_special_tokens=special, verbose=False).input_ids)
