"""Everything the nodes gossip.  Frozen values; `encode` and `decode` are inverses."""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Protocol, Self

from protocol.batch import Text
from protocol.codec import Reader, blob, require, require_uint, uint
from protocol.errors import Malformed
from protocol.receipt import OUTPUT_MAX, PROMPT_MAX, Receipt
from protocol.signature import SIGNATURE_BYTES


class Message(Protocol):
    """What travels on the gossip topic of kind `TOPIC`."""

    TOPIC: ClassVar[str]

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raise `Malformed` unless `data` is exactly what `encode` writes."""


@dataclass(frozen=True, slots=True)
class PaidAnswer:
    """A host says: I gave this answer and was paid for it by voucher.

    answer = receipt ++ signature[65] ++ size[4] ++ prompt ++ size[4] ++ output
    """

    TOPIC: ClassVar[str] = "answers"

    receipt: Receipt
    signature: bytes  # by the host, of the receipt's EIP-712 digest
    text: Text

    def __post_init__(self) -> None:
        require(len(self.signature) == SIGNATURE_BYTES, "a signature has 65 bytes")
        require(self.text.matches(self.receipt), "the text is not what the receipt commits to")

    def encode(self) -> bytes:
        text = blob(self.text.prompt) + blob(self.text.output)
        return self.receipt.encode() + self.signature + text

    @classmethod
    def decode(cls, data: bytes) -> Self:
        reader = Reader(data)
        receipt, signature = Receipt.read(reader), reader.take(SIGNATURE_BYTES)
        text = Text(reader.blob(limit=PROMPT_MAX), reader.blob(limit=OUTPUT_MAX))
        reader.end()
        return cls(receipt, signature, text)


class Finding(IntEnum):
    """What a validator can say; a verdict that cannot say "not known yet" makes nodes lie."""

    VALID = 1
    INVALID = 2
    CANNOT_TELL = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """A validator says what it found when it recomputed a batch.

    verdict = batch[8] ++ answers root[32] ++ finding[1]
    """

    TOPIC: ClassVar[str] = "verdicts"

    batch: int
    answers_root: bytes
    finding: Finding

    def __post_init__(self) -> None:
        require_uint(self.batch, 64, "batch")
        require(len(self.answers_root) == 32, "a root has 32 bytes")

    def encode(self) -> bytes:
        return uint(self.batch, 8) + self.answers_root + uint(self.finding, 1)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        reader = Reader(data)
        batch, root, finding = reader.uint(8), reader.take(32), reader.uint(1)
        reader.end()
        if finding not in set(Finding):
            raise Malformed(f"no finding has number {finding}")
        return cls(batch, root, Finding(finding))


@dataclass(frozen=True, slots=True)
class FeatureVerdict:
    """A validator says what it found when it recomputed a feature set.

    verdict = set[8] ++ features root[32] ++ finding[1]
    """

    TOPIC: ClassVar[str] = "feature-verdicts"

    id: int
    features_root: bytes
    finding: Finding

    def __post_init__(self) -> None:
        require_uint(self.id, 64, "feature set")
        require(len(self.features_root) == 32, "a root has 32 bytes")

    def encode(self) -> bytes:
        return uint(self.id, 8) + self.features_root + uint(self.finding, 1)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        same = Verdict.decode(data)  # the same layout over another topic
        return cls(same.batch, same.answers_root, same.finding)


KINDS: tuple[type[PaidAnswer] | type[Verdict] | type[FeatureVerdict], ...] = (
    PaidAnswer,
    Verdict,
    FeatureVerdict,
)
