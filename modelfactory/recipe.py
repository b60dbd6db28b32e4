"""Recipes: every number that decides what training makes."""

from dataclasses import asdict, dataclass

from modelfactory.canonical import Json
from protocol.codec import require

STEPS_MAX = 100_000
RANK_MAX = 256
WINDOW_MAX = 8192  # tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRecipe:
    """A small Llama that learns a small corpus by heart.

    The defaults reach a loss of about 0.4 nats per token on 140 KB in 135 CPU seconds, and then
    most prompts that name a passage are answered by it.  Only distances inside a window are
    learnt: answers are good while prompt and answer stay within it.
    """

    vocabulary: int = 4096  # upper bound; a small corpus has fewer merges
    hidden: int = 192
    inner: int = 512  # width of the feed-forward layer
    layers: int = 4
    heads: int = 6
    context: int = 512  # tokens
    steps: int = 360
    batch: int = 8  # windows of a step
    window: int = 128  # tokens
    matrix_rate: float = 0.02  # learning rate of the hidden matrices, by Muon
    other_rate: float = 0.01  # of embeddings and norms, by AdamW
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.hidden % (2 * self.heads) == 0, "hidden is a multiple of twice the heads")
        require(1 <= self.window <= self.context <= WINDOW_MAX, "1 <= window <= context")
        require(1 <= self.steps <= STEPS_MAX, f"1 <= steps <= {STEPS_MAX}")
        require(self.batch >= 1 and self.layers >= 1, "a batch and a layer at least")
        require(self.vocabulary >= 300, "a vocabulary holds all bytes and the special tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an adapter is fine-tuned. `targets` empty means every linear layer but the head."""

    rank: int = 16
    alpha: int = 32
    targets: tuple[str, ...] = ()
    steps: int = 100
    batch: int = 8
    window: int = 128  # tokens; cut to the model's context
    rate: float = 0.002
    seed: int = 0
    holdout: int = 16  # one window in so many is kept for evaluation

    def __post_init__(self) -> None:
        require(1 <= self.rank <= RANK_MAX, f"1 <= rank <= {RANK_MAX}")
        require(1 <= self.alpha <= 4 * RANK_MAX, f"1 <= alpha <= {4 * RANK_MAX}")
        require(1 <= self.steps <= STEPS_MAX, f"1 <= steps <= {STEPS_MAX}")
        require(8 <= self.window <= WINDOW_MAX, f"8 <= window <= {WINDOW_MAX}")
        require(self.batch >= 1, "a batch has a window at least")
        require(self.holdout >= 2, "a holdout of one window in two at most")
        require(0 < self.rate < 1, "0 < rate < 1")
        require(0 <= self.seed < 1 << 63, "0 <= seed < 2**63")


def to_json(recipe: BaseRecipe | Recipe) -> dict[str, Json]:
    """The recipe as canonical JSON values: floats as their shortest exact text."""
    out: dict[str, Json] = {}
    for name, value in asdict(recipe).items():
        out[name] = repr(value) if isinstance(value, float) else _plain(value)
    return out


def _plain(value: int | tuple[str, ...]) -> Json:
    return list(value) if isinstance(value, tuple) else value
