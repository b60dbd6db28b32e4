"""Type-2 transactions (EIP-1559), encoded and signed by hand: no web3 at run time."""

from dataclasses import dataclass
from typing import Any, Protocol

import rlp
from eth_hash.auto import keccak

TYPE: bytes = b"\x02"


class Signer(Protocol):
    """The key of one account, wherever it lives."""

    @property
    def address(self) -> bytes: ...

    def sign(self, digest: bytes) -> bytes:
        """65 bytes r | s | v over a 32-byte digest, v 27 or 28, s in the lower half."""


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei per gas: `limit` in all, `tip` of it at most to the block builder."""

    limit: int
    tip: int


@dataclass(frozen=True, slots=True)
class Call:
    """What a transaction does; `to` empty creates a contract, `gas` None lets the node estimate."""

    to: bytes
    data: bytes
    value: int
    gas: int | None

    def __post_init__(self) -> None:
        if len(self.to) not in (0, 20):
            raise ValueError(f"an address has 20 bytes, not {len(self.to)}")
        if not 0 <= self.value < 1 << 256:
            raise ValueError(f"value {self.value} is not an amount in wei")

    @property
    def digest(self) -> bytes:
        """One hash per call: two intents with one key must agree on it."""
        return keccak(rlp.encode([self.to, self.data, self.value, self.gas or 0]))


def sign(signer: Signer, chain_id: int, nonce: int, gas: int, fees: Fees, call: Call) -> bytes:
    """The signed encoding; its keccak is the transaction's hash."""
    fields: list[Any] = [
        chain_id,
        nonce,
        fees.tip,
        fees.limit,
        gas,
        call.to,
        call.value,
        call.data,
        [],
    ]
    signature = signer.sign(keccak(TYPE + rlp.encode(fields)))
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise ValueError("a signature is 65 bytes r | s | v with v 27 or 28")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return TYPE + bytes(rlp.encode([*fields, signature[64] - 27, r, s]))
