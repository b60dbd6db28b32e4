"""What the HTTP border and the host say to each other about one paid answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openlora.pricing import Price
from openlora.request import TOKENS_MAX, Request, Sampling, encode_text
from protocol.errors import Refused
from protocol.receipt import Receipt

if TYPE_CHECKING:  # the engine imports torch, which a node that serves nothing never loads
    from openlora.engine import Engine

ANSWER_TOKENS = 256  # where the client names no bound
MESSAGES_MAX = 256


class UnknownModel(Refused):
    """No adapter of this name is served here; never answered by the base model."""


class TooLong(Refused):
    """Prompt and answer do not fit into the model's context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One adapter on offer."""

    name: str  # what clients give as `model`
    adapter: bytes
    base: bytes
    price: Price
    created: int  # unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A client's wish, checked for form; exactly one of `prompt` and `messages` is given."""

    model: str
    prompt: str | None = None
    messages: tuple[Mapping[str, str], ...] = ()  # of role and content
    max_tokens: int | None = None
    temperature: int  # millionths
    top_p: int  # millionths
    stops: tuple[str, ...] = ()
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Completed:
    """The last event of an answer, after its receipt is stored."""

    reason: str  # "stop" or "length"
    text: str
    prompt_tokens: int
    output_tokens: int
    receipt: Receipt
    signature: bytes


def request_of(ask: Ask, adapter: bytes, engine: "Engine") -> tuple[Request, int]:
    """The engine's request, and its prompt tokens.  Raises `Malformed`, or `TooLong`."""
    text = ask.prompt if ask.prompt is not None else engine.render(ask.messages)
    encode_text(text)
    prompt_tokens = len(engine.tokens_of(text))
    room = min(engine.context - prompt_tokens, TOKENS_MAX)
    wanted = ask.max_tokens if ask.max_tokens is not None else max(1, min(ANSWER_TOKENS, room))
    if wanted > room:
        raise TooLong(
            f"the prompt has {prompt_tokens} tokens and max_tokens is {wanted}; "
            f"together they may be {engine.context}, and an answer {TOKENS_MAX}"
        )
    sampling = Sampling(
        max_tokens=wanted, temperature=ask.temperature, top_p=ask.top_p, stops=ask.stops
    )
    request = Request(adapter=adapter, prompt=text, sampling=sampling, chosen_seed=ask.seed)
    return request, prompt_tokens
