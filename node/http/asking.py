"""Reading the bodies of OpenAI's chat and completion calls: what cannot be honoured is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from openlora.request import MICRO, TOKENS_MAX
from openlora.serving import MESSAGES_MAX, Ask
from protocol.errors import Malformed

TEXT_CHARS_MAX = 32 * 1024  # of all messages; the engine bounds the bytes
MODEL_CHARS_MAX = 200
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Accepted and without effect.
INERT = frozenset(
    {"metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user"}
)
# Accepted at the value that changes nothing, besides null.
NEUTRAL: Mapping[str, Any] = {
    "n": 1,
    "best_of": 1,
    "echo": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "tools": [],
    "response_format": {"type": "text"},
}
OURS = frozenset(
    {"model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed"}
    | {"stream", "stream_options", "messages", "prompt"}
)


class BadParameter(Malformed):
    """A field of the body is wrong; `parameter` names it."""

    def __init__(self, parameter: str | None, why: str) -> None:
        super().__init__(why)
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class Call:
    ask: Ask
    stream: bool
    include_usage: bool


def read_call(body: bytes, *, chat: bool) -> Call:
    """The call in a JSON body; `BadParameter` for the first field that is wrong."""
    fields = _object(body)
    _refuse_unsupported(fields, chat)
    bound = fields.get("max_completion_tokens")
    bound = fields.get("max_tokens") if bound is None else bound
    ask = Ask(
        model=_text(fields, "model", MODEL_CHARS_MAX),
        prompt=None if chat else _prompt(fields),
        messages=_messages(fields) if chat else (),
        max_tokens=None if bound is None else _integer(bound, "max_tokens", 1, TOKENS_MAX),
        temperature=_micro(fields, "temperature", 0, 2),
        top_p=_micro(fields, "top_p", 1 / MICRO, 1),
        stops=_stops(fields.get("stop")),
        seed=_seed(fields.get("seed")),
    )
    options = fields.get("stream_options") or {}
    if not isinstance(options, dict):
        raise BadParameter("stream_options", "stream_options is not an object")
    return Call(ask, _flag(fields.get("stream"), "stream"), bool(options.get("include_usage")))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = from_json(body)  # not json.loads: a library lifts Python's recursion limit (py_ecc)
    except ValueError as error:
        raise BadParameter(None, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadParameter(None, "the body is not a JSON object")
    return value


def _refuse_unsupported(fields: Mapping[str, Any], chat: bool) -> None:
    foreign = "prompt" if chat else "messages"
    for name, value in fields.items():
        if name in INERT or (name in OURS and name != foreign) or value is None:
            continue
        if name not in NEUTRAL or value != NEUTRAL[name]:
            raise BadParameter(name, f"{name} is not supported here; leave it out")


def _text(fields: Mapping[str, Any], name: str, chars_max: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise BadParameter(name, f"{name} is missing or not a text")
    if len(value) > chars_max:
        raise BadParameter(name, f"{name} has {len(value)} characters, limit is {chars_max}")
    return value


def _prompt(fields: Mapping[str, Any]) -> str:
    value = fields.get("prompt")
    if isinstance(value, list) and len(value) == 1:
        fields = {"prompt": value[0]}
    return _text(fields, "prompt", TEXT_CHARS_MAX)


def _messages(fields: Mapping[str, Any]) -> tuple[Mapping[str, str], ...]:
    value = fields.get("messages")
    if not isinstance(value, list) or not 1 <= len(value) <= MESSAGES_MAX:
        raise BadParameter("messages", f"messages is a list of 1 to {MESSAGES_MAX} messages")
    messages = tuple(_message(item, f"messages[{at}]") for at, item in enumerate(value))
    chars = sum(len(message["content"]) for message in messages)
    if chars > TEXT_CHARS_MAX:
        raise BadParameter("messages", f"messages have {chars} characters, limit {TEXT_CHARS_MAX}")
    return messages


def _message(item: Any, where: str) -> Mapping[str, str]:
    if not isinstance(item, dict):
        raise BadParameter(where, f"{where} is not an object")
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise BadParameter(f"{where}.role", f"{where}.role is not one of {', '.join(ROLES)}")
    content = item.get("content")
    if isinstance(content, list):
        content = "".join(_part(part, f"{where}.content") for part in content)
    if not isinstance(content, str):
        raise BadParameter(f"{where}.content", f"{where}.content is not a text")
    return {"role": ROLES[role], "content": content}


def _part(part: Any, where: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise BadParameter(where, f"{where} has a part that is not text")


def _integer(value: Any, name: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise BadParameter(name, f"{name} is a whole number from {low} to {high}")
    return value


def _micro(fields: Mapping[str, Any], name: str, low: float, high: float) -> int:
    """A number in millionths; 1 where it is not given."""
    value = fields.get(name)
    if value is None:
        return MICRO
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise BadParameter(name, f"{name} is a number from {low:g} to {high:g}")
    return round(float(value) * MICRO)


def _stops(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(isinstance(stop, str) for stop in listed):
        raise BadParameter("stop", "stop is a text or a list of texts")
    return tuple(listed)


def _seed(value: Any) -> int | None:
    """Any signed or unsigned 64-bit number, as its unsigned bits."""
    if value is None:
        return None
    return _integer(value, "seed", -(1 << 63), (1 << 64) - 1) % (1 << 64)


def _flag(value: Any, name: str) -> bool:
    if value not in (None, True, False):
        raise BadParameter(name, f"{name} is true or false")
    return bool(value)
