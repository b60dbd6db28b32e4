"""Features of examples and of answers: 2048 small integers each, and what a pair of them says.

Twin of `contracts/src/Features.sol`: all integers, so every node gets the same verdict
(PROTOCOL.md 4).
"""

from array import array
from dataclasses import dataclass
from operator import mul
from typing import Self

from protocol.codec import Reader, require, require_uint, uint
from protocol.merkle import FEATURE, FEATURE_LEAF, leaf
from protocol.parameters import BPS, Parameters

DIMENSION = 2048  # coordinates of a feature, int8 in two's complement
NORM2_MIN, NORM2_MAX = 2_002_577, 2_126_447  # DIMENSION * (127 / 4) ** 2, give or take 3 %
NO_EXAMPLE = 0xFFFFFFFF  # `duplicate_of` of a row that is near no earlier one
ROWS_MAX = 1 << 26  # examples of one adapter: 128 GiB of rows


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One example of an adapter: a document of its Datanet, and the feature of its gradient."""

    shard: int
    document: int  # row of the shard's document table
    contributor: int
    duplicate_of: int  # the first earlier example that is near it, or NO_EXAMPLE
    content_root: bytes  # of the document
    phi: bytes  # DIMENSION coordinates

    def __post_init__(self) -> None:
        for name in ("shard", "document", "contributor", "duplicate_of"):
            require_uint(getattr(self, name), 32, name)
        require(len(self.content_root) == 32, "a root has 32 bytes")
        require(len(self.phi) == DIMENSION, f"a feature of {len(self.phi)} coordinates")

    def encode(self) -> bytes:
        """The leaf's payload, FEATURE_LEAF bytes."""
        numbers = (self.shard, self.document, self.contributor, self.duplicate_of)
        return b"".join(uint(n, 4) for n in numbers) + self.content_root + self.phi

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Any FEATURE_LEAF bytes are a row; raise `Malformed` for others."""
        require(len(data) == FEATURE_LEAF, f"a feature row of {len(data)} bytes")
        reader = Reader(data)
        shard, document, contributor, duplicate_of = (reader.uint(4) for _ in range(4))
        root, phi = reader.take(32), reader.take(DIMENSION)
        return cls(shard, document, contributor, duplicate_of, root, phi)

    def leaf(self) -> bytes:
        return leaf(FEATURE, self.encode())


def dot(one: bytes, other: bytes) -> int:
    """The inner product of two features of DIMENSION coordinates each."""
    require(len(one) == len(other) == DIMENSION, "a feature of another dimension")
    return sum(map(mul, array("b", one), array("b", other)))


def norm2(feature: bytes) -> int:
    """The square of a feature's length."""
    return dot(feature, feature)


def well_formed(feature: bytes) -> bool:
    """Whether these bytes may be a feature: of the one length that all have, or nothing at all."""
    if len(feature) != DIMENSION:
        return False
    size = norm2(feature)
    return not size or NORM2_MIN <= size <= NORM2_MAX


def credited(score: int, norm2_phi: int, norm2_psi: int, parameters: Parameters) -> bool:
    """Whether a score stands out: a cosine over influence_sigma / 100 times 1 / sqrt(DIMENSION),
    the deviation of chance between 2048 coordinates."""
    threshold = parameters.influence_sigma**2 * norm2_phi * norm2_psi
    return score > 0 and DIMENSION * score**2 * 10**4 > threshold


def near(product: int, norm2_i: int, norm2_j: int, parameters: Parameters) -> bool:
    """Whether two examples, by their inner product, are as good as one."""
    bound = parameters.duplicate_bps**2 * norm2_i * norm2_j
    return product > 0 and product**2 * BPS**2 >= bound
