"""What is asked of the engine, in one canonical form, and what it answers."""

from dataclasses import dataclass

from eth_hash.auto import keccak

from protocol.codec import blob, require, require_uint, uint
from protocol.receipt import PROMPT_MAX

MICRO = 1_000_000
TEMPERATURE_MAX = 2 * MICRO
STOPS_MAX = 4
STOP_BYTES_MAX = 256
TOKENS_MAX = 4096  # output tokens of one answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn; temperature and top_p in millionths, so that the form is unique.

    sampling = max_tokens[4] ++ temperature[4] ++ top_p[4] ++ count[1] ++ count * (size[4] ++ stop)
    """

    max_tokens: int
    temperature: int = MICRO  # 0 is greedy
    top_p: int = MICRO
    stops: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(1 <= self.max_tokens <= TOKENS_MAX, f"max_tokens is 1 to {TOKENS_MAX}")
        require(0 <= self.temperature <= TEMPERATURE_MAX, "temperature is 0 to 2")
        require(0 < self.top_p <= MICRO, "top_p is over 0 and at most 1")
        require(len(self.stops) <= STOPS_MAX, f"at most {STOPS_MAX} stop strings")
        for stop in self.stops:
            size = len(encode_text(stop))
            require(1 <= size <= STOP_BYTES_MAX, f"a stop string has 1 to {STOP_BYTES_MAX} bytes")

    def encode(self) -> bytes:
        numbers = uint(self.max_tokens, 4) + uint(self.temperature, 4) + uint(self.top_p, 4)
        stops = b"".join(blob(encode_text(stop)) for stop in self.stops)
        return numbers + uint(len(self.stops), 1) + stops

    @property
    def hash(self) -> bytes:
        return keccak(self.encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt for one adapter; the text as the model reads it, after any chat template.

    request = adapter[32] ++ seeded[1] ++ seed[8] ++ sampling ++ size[4] ++ prompt
    """

    adapter: bytes | None  # sha256 of its file; None is the bare base, which no receipt names
    prompt: str
    sampling: Sampling
    chosen_seed: int | None = None

    def __post_init__(self) -> None:
        require(self.adapter is None or len(self.adapter) == 32, "an adapter id has 32 bytes")
        require(self.prompt != "", "an empty prompt")
        size = len(encode_text(self.prompt))
        require(size <= PROMPT_MAX, f"the prompt has {size} bytes, limit is {PROMPT_MAX}")
        if self.chosen_seed is not None:
            require_uint(self.chosen_seed, 64, "seed")

    def encode(self) -> bytes:
        seeded = self.chosen_seed is not None
        head = (self.adapter or bytes(32)) + uint(seeded, 1) + uint(self.chosen_seed or 0, 8)
        return head + self.sampling.encode() + blob(self.prompt.encode())

    @property
    def hash(self) -> bytes:
        return keccak(self.encode())

    @property
    def seed(self) -> int:
        """The client's, else the first 8 bytes of the hash of the hash: anybody can check it."""
        if self.chosen_seed is not None:
            return self.chosen_seed
        return int.from_bytes(keccak(self.hash)[:8], "big")


@dataclass(frozen=True, slots=True)
class Delta:
    """More of the answer: whole characters, never any part of a stop string."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete: `text` is all of the deltas."""

    reason: str  # "stop" at a stop string or end of text, "length" at a bound
    text: str
    prompt_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]  # every sampled token, also those of a cut stop string


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer ended by a fault of the host, not of the client; nothing is to be paid."""

    why: str


Event = Delta | Finished | Failed


def encode_text(text: str) -> bytes:
    """UTF-8; `Malformed` for half a surrogate pair, which JSON can carry and UTF-8 cannot."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        require(False, f"half a surrogate pair at character {error.start}")
        raise
