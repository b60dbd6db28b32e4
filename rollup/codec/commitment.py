"""Alt-DA commitments: what a batcher transaction carries when the frames lie elsewhere.

transaction data = 0x01 | commitment
commitment = 0x00 | keccak256 of the data                      (keccak)
           | 0x01 | any bytes, at least one                    (generic)
EigenDA: the bytes of a generic commitment are 0x00 | version | certificate

https://specs.optimism.io/experimental/alt-da.html#input-commitment-submission
"""

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from eth_hash.auto import keccak

from protocol.codec import require, require_uint
from protocol.errors import Malformed

COMMITMENT_VERSION: Final = 1  # first byte of a batcher transaction that carries a commitment
KECCAK: Final = 0
GENERIC: Final = 1
EIGENDA_LAYER: Final = 0


@dataclass(frozen=True, slots=True)
class KeccakCommitment:
    """The hash of the data; anybody can check an answer against it."""

    digest: bytes  # 32

    def __post_init__(self) -> None:
        require(len(self.digest) == 32, f"keccak commitment of {len(self.digest)} bytes")

    @classmethod
    def of(cls, data: bytes) -> Self:
        return cls(keccak(data))

    def matches(self, data: bytes) -> bool:
        return keccak(data) == self.digest

    def encode(self) -> bytes:
        return bytes((KECCAK,)) + self.digest


@dataclass(frozen=True, slots=True)
class GenericCommitment:
    """Bytes that only the DA server understands; it vouches for what it gives for them."""

    data: bytes

    def __post_init__(self) -> None:
        require(bool(self.data), "empty generic commitment")

    def encode(self) -> bytes:
        return bytes((GENERIC,)) + self.data


@dataclass(frozen=True, slots=True)
class EigenCertificate:
    """What EigenDA puts into a generic commitment; `version` says how to read the certificate."""

    version: int
    certificate: bytes

    def __post_init__(self) -> None:
        require_uint(self.version, 8, "EigenDA version")
        require(bool(self.certificate), "empty EigenDA certificate")

    def commitment(self) -> GenericCommitment:
        return GenericCommitment(bytes((EIGENDA_LAYER, self.version)) + self.certificate)

    @classmethod
    def of(cls, commitment: "Commitment") -> Self:
        """`Malformed` if the commitment is not one of EigenDA."""
        data = commitment.data if isinstance(commitment, GenericCommitment) else b""
        require(len(data) > 2 and data[0] == EIGENDA_LAYER, "not a commitment of EigenDA")
        return cls(data[1], data[2:])


Commitment: TypeAlias = KeccakCommitment | GenericCommitment


def decode_commitment(data: bytes) -> Commitment:
    """A commitment with its type byte, as a DA server's `put` answers and `get` takes it."""
    match data[:1]:
        case b"\0":
            return KeccakCommitment(data[1:])
        case b"\1":
            return GenericCommitment(data[1:])
    raise Malformed(f"commitment of type {data[:1].hex() or 'none'}")


def commitment_of(data: bytes) -> Commitment:
    """The commitment in the `data` of a batcher transaction."""
    require(data[:1] == bytes((COMMITMENT_VERSION,)), f"batcher data of version {data[:1].hex()}")
    return decode_commitment(data[1:])


def batcher_data(commitment: Commitment) -> bytes:
    """What `commitment_of` reads."""
    return bytes((COMMITMENT_VERSION,)) + commitment.encode()
