"""The REST API of op-alt-da and eigenda-proxy: paths, statuses, commitments; pure.

put  POST /put, body the data                -> 200, body the commitment: raw bytes, not hex
     POST /put/0x<keccak commitment>         -> 200, empty; the client computed the commitment
get  GET  /get/0x<commitment>                -> 200, body the data; 404; 418 (never readable)
eigenda-proxy, as far as it differs: `?commitment_mode=standard` on both paths leaves out the
commitment's first two bytes (kind and DA layer), `&l1_inclusion_block_number=<n>` on get has the
age of a certificate checked, 503 on put asks the batcher to fail over to L1.
Sources: op-alt-da/daclient.go and daserver.go, eigenda-proxy server/routing.go,
server/handlers_cert.go, server/middleware/error.go, common/types/commitments/mode.go.
"""

from enum import Enum
from typing import Final

from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Refused, Temporary
from rollup.ports import FailOver, InvalidCertificate

KECCAK: Final = 0  # first byte of a commitment: its kind
GENERIC: Final = 1
EIGENDA: Final = b"\x01\x00"  # a generic commitment of the DA layer EigenDA
KECCAK_BYTES: Final = 33
COMMITMENT_BYTES_MAX: Final = 16 * 1024  # an EigenDA certificate has about 1.5 kB
OBJECT_BYTES_MAX: Final = 16 * 1024 * 1024  # EigenDA's own limit
REASON_BYTES_MAX: Final = 512
OK, NOT_FOUND, TEAPOT, UNAVAILABLE = 200, 404, 418, 503


class Missing(Temporary):
    """The DA layer answers, and does not have these data (HTTP 404)."""


class Mode(Enum):
    """Which commitments a server makes, by the names of eigenda-proxy."""

    KECCAK = "optimism_keccak256"
    GENERIC = "optimism_generic"
    STANDARD = "standard"


def kind_of(commitment: bytes) -> int | None:
    """`KECCAK` or `GENERIC`; None if it is no commitment."""
    if len(commitment) == KECCAK_BYTES and commitment[0] == KECCAK:
        return KECCAK
    if 1 < len(commitment) <= COMMITMENT_BYTES_MAX and commitment[0] == GENERIC:
        return GENERIC
    return None


def keccak_commitment(data: bytes) -> bytes:
    """kind 00 ++ keccak256(data)."""
    return bytes([KECCAK]) + keccak(data)


def matches(commitment: bytes, data: bytes) -> bool:
    """False only if the data are certainly not the committed ones: of a generic commitment only
    its server can know."""
    return kind_of(commitment) != KECCAK or keccak_commitment(data) == commitment


def put_path(mode: Mode, data: bytes) -> str:
    """`Refused` for data that no server takes."""
    if not 0 < len(data) <= OBJECT_BYTES_MAX:
        raise Refused(f"{len(data)} bytes of data, want 1 to {OBJECT_BYTES_MAX}")
    match mode:
        case Mode.KECCAK:
            return f"/put/0x{keccak_commitment(data).hex()}"
        case Mode.GENERIC:
            return "/put"
        case Mode.STANDARD:
            return "/put?commitment_mode=standard"


def get_path(mode: Mode, commitment: bytes, l1_inclusion: int | None = None) -> str:
    """`Malformed` for what is no commitment."""
    kind = kind_of(commitment)
    require(kind is not None, "this is no DA commitment")
    query = []
    if mode is Mode.STANDARD:
        require(commitment.startswith(EIGENDA), "a commitment of another DA layer")
        commitment = commitment[len(EIGENDA) :]
        query.append("commitment_mode=standard")
    if l1_inclusion is not None and kind == GENERIC:
        query.append(f"l1_inclusion_block_number={l1_inclusion}")
    return f"/get/0x{commitment.hex()}" + ("?" + "&".join(query) if query else "")


def put_answer(mode: Mode, data: bytes, status: int, body: bytes) -> bytes:
    """The commitment. Raises `FailOver`, `Temporary`, `Malformed`."""
    if status == UNAVAILABLE:
        raise FailOver(f"the DA server asks to use L1: {_reason(body)}")
    if status != OK:
        raise Temporary(f"the DA server answers {status} to a put: {_reason(body)}")
    if mode is Mode.KECCAK:
        return keccak_commitment(data)
    commitment = EIGENDA + body if mode is Mode.STANDARD else body
    require(kind_of(commitment) is not None, "the DA server's commitment is none")
    require(matches(commitment, data), "the DA server committed to other data")
    return commitment


def get_answer(commitment: bytes, status: int, body: bytes) -> bytes:
    """The data. Raises `Missing`, `InvalidCertificate`, `Temporary`.

    False data are the server's fault and say nothing of the commitment, so they are `Temporary`.
    """
    if status == NOT_FOUND:
        raise Missing("the DA server does not have these data")
    if status == TEAPOT:
        raise InvalidCertificate(f"the DA server rejects the certificate: {_reason(body)}")
    if status != OK:
        raise Temporary(f"the DA server answers {status} to a get: {_reason(body)}")
    if not matches(commitment, body):
        raise Temporary("the DA server gives other data than were committed to")
    return body


def _reason(body: bytes) -> str:
    """A few printable words of an answer that failed."""
    text = body[:REASON_BYTES_MAX].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else " " for letter in text).strip() or "no words"
