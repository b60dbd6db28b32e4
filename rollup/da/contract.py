"""The event and the calldata of DataAvailabilityChallenge (contracts-bedrock 0.17.3)."""

from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from rollup.codec.refs import L1Log
from rollup.da.rest import kind_of

STATUS_CHANGED: Final = keccak(b"ChallengeStatusChanged(uint256,bytes,uint8)")
CHALLENGE: Final = keccak(b"challenge(uint256,bytes)")[:4]
RESOLVE: Final = keccak(b"resolve(uint256,bytes,bytes)")[:4]
INPUT_BYTES_MAX: Final = 130_672  # op-alt-da's MaxInputSize: what fits into one resolve on L1
UINT64_MAX: Final = 2**64 - 1
WORD: Final = 32


@dataclass(frozen=True, slots=True)
class Change:
    """ChallengeStatusChanged: the commitment, the number of its L1 block, the new status."""

    commitment: bytes
    number: int
    status: int


def is_status_event(log: L1Log) -> bool:
    return bool(log.topics) and log.topics[0] == STATUS_CHANGED


def change_of(log: L1Log) -> Change | None:
    """None where the log is not what the contract emits."""
    if len(log.topics) != 2:
        return None
    number = int.from_bytes(log.topics[1], "big")
    commitment, status = _bytes(log.data, 0), _uint(log.data, 1)
    if commitment is None or status is None or status > 255 or number > UINT64_MAX:
        return None
    return None if kind_of(commitment) is None else Change(commitment, number, status)


def resolved_input(calldata: bytes) -> bytes | None:
    """`resolveData` of resolve(uint256 number, bytes commitment, bytes resolveData).

    The selector is not compared, because op-alt-da does not: a contract that was called in the
    same shape, and called on, resolves as well. None where the shape is another.
    """
    arguments = calldata[4:]
    if _uint(arguments, 0) is None or _bytes(arguments, 1) is None:
        return None
    return _bytes(arguments, 2) or None


def challenge_call(number: int, commitment: bytes) -> bytes:
    """Calldata of challenge(number, commitment)."""
    head = number.to_bytes(WORD, "big") + (2 * WORD).to_bytes(WORD, "big")
    return CHALLENGE + head + _padded(commitment)


def resolve_call(number: int, commitment: bytes, data: bytes) -> bytes:
    """Calldata of resolve(number, commitment, data)."""
    first = _padded(commitment)
    head = (number, 3 * WORD, 3 * WORD + len(first))
    return RESOLVE + b"".join(v.to_bytes(WORD, "big") for v in head) + first + _padded(data)


def _padded(data: bytes) -> bytes:
    return len(data).to_bytes(WORD, "big") + data + bytes(-len(data) % WORD)


def _uint(data: bytes, index: int) -> int | None:
    word = data[index * WORD : (index + 1) * WORD]
    return int.from_bytes(word, "big") if len(word) == WORD else None


def _bytes(data: bytes, index: int) -> bytes | None:
    """The dynamic value whose offset stands in word `index`; None if it does not lie in `data`."""
    offset = _uint(data, index)
    if offset is None or offset + WORD > len(data):
        return None
    size = int.from_bytes(data[offset : offset + WORD], "big")
    start = offset + WORD
    return data[start : start + size] if start + size <= len(data) else None
