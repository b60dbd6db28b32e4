"""An account as the state trie holds it."""

from dataclasses import dataclass
from typing import Final, Self

from eth_hash.auto import keccak

from rollup.codec import strict
from rollup.codec.trie import EMPTY_ROOT

EMPTY_CODE_HASH: Final = keccak(b"")
FIELDS: Final = 4


@dataclass(frozen=True, slots=True)
class Account:
    """Balance in wei; roots and hashes of 32 bytes."""

    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_ROOT
    code_hash: bytes = EMPTY_CODE_HASH

    def encode(self) -> bytes:
        return strict.encode((self.nonce, self.balance, self.storage_root, self.code_hash))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The account that a leaf's value is; `Malformed` else."""
        nonce, balance, storage_root, code_hash = strict.as_list(
            strict.decode(data), FIELDS, "account"
        )
        return cls(
            strict.as_uint(nonce, 64, "nonce"),
            strict.as_uint(balance, 256, "balance"),
            strict.as_bytes(storage_root, 32, "storage root"),
            strict.as_bytes(code_hash, 32, "code hash"),
        )
