"""What goes back to L1: output roots, withdrawals and the proofs that release them.

specs.optimism.io/protocol/withdrawals.html, proposals.html.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from eth_hash.auto import keccak

from protocol.codec import require, require_uint, word
from rollup.codec import strict
from rollup.codec.account import Account
from rollup.codec.refs import L1Log
from rollup.codec.trie import EMPTY_ROOT, verify_proof
from rollup.codec.words import WORD, WordReader

MESSAGE_PASSER: Final = bytes.fromhex("4200000000000000000000000000000000000016")
MESSAGE_PASSED: Final = keccak(
    b"MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)"
)
DATA_BYTES_MAX: Final = 1 << 24  # more than a block's gas pays for
DATA_OFFSET: Final = 4 * WORD  # after value, gas limit, the offset itself and the hash
HASH_DATA_OFFSET: Final = 6 * WORD
SENT: Final = b"\x01"  # what the message passer stores for a withdrawal: true
NONCE_BITS: Final = 240  # below the message's version


@dataclass(frozen=True, slots=True)
class Output:
    """The parts of an output root of version 0, 32 bytes each."""

    state_root: bytes
    message_passer_storage_root: bytes
    block_hash: bytes

    def __post_init__(self) -> None:
        parts = (self.state_root, self.message_passer_storage_root, self.block_hash)
        require(all(len(part) == 32 for part in parts), "a part of an output is not 32 bytes")

    def encode(self) -> bytes:
        """128 bytes: the version's word, then the parts."""
        return bytes(32) + self.state_root + self.message_passer_storage_root + self.block_hash

    @classmethod
    def decode(cls, data: bytes) -> Self:
        words = WordReader(data)
        require(words.word() == bytes(32), "output of an unknown version")
        output = cls(words.word(), words.word(), words.word())
        words.end()
        return output

    @property
    def root(self) -> bytes:
        return keccak(self.encode())


def output_root(state_root: bytes, message_passer_storage_root: bytes, block_hash: bytes) -> bytes:
    """The output root of version 0."""
    return Output(state_root, message_passer_storage_root, block_hash).root


def message_passer_root(state_root: bytes, account_proof: Sequence[bytes]) -> bytes:
    """The message passer's storage root, as proved by eth_getProof; `Malformed` else."""
    leaf = verify_proof(state_root, MESSAGE_PASSER, account_proof)
    return EMPTY_ROOT if leaf is None else Account.decode(leaf).storage_root


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A message from the L2 to L1; `value` in wei, `gas_limit` what it needs there.

    The upper 16 bits of `nonce` are the version of the message.
    """

    nonce: int
    sender: bytes
    target: bytes
    value: int
    gas_limit: int
    data: bytes

    def __post_init__(self) -> None:
        require(len(self.sender) == 20 and len(self.target) == 20, "an address is not 20 bytes")
        for name in ("nonce", "value", "gas_limit"):
            require_uint(getattr(self, name), 256, name)
        require(len(self.data) <= DATA_BYTES_MAX, f"withdrawal of {len(self.data)} bytes")

    @property
    def version(self) -> int:
        return self.nonce >> NONCE_BITS

    def encode(self) -> bytes:
        """abi.encode of the fields in their order."""
        numbers = word(self.value) + word(self.gas_limit) + word(HASH_DATA_OFFSET)
        head = word(self.nonce) + word(self.sender) + word(self.target) + numbers
        return head + word(len(self.data)) + self.data + bytes(-len(self.data) % WORD)

    @property
    def hash(self) -> bytes:
        return keccak(self.encode())

    @property
    def slot(self) -> bytes:
        """Where the message passer stores that it was sent: its mapping is at slot 0."""
        return keccak(self.hash + bytes(32))


def versioned_nonce(nonce: int, version: int = 1) -> int:
    """The nonce as the contracts number it: version in the upper 16 bits."""
    require_uint(nonce, NONCE_BITS, "nonce")
    require_uint(version, 16, "version")
    return version << NONCE_BITS | nonce


def withdrawal_from_log(log: L1Log) -> Withdrawal:
    """The withdrawal of a MessagePassed event; `Malformed` else, or when its hash is another.

    Topics: event, nonce, sender, target.  Data: value, gas limit, data, hash.
    """
    require(len(log.topics) == 4, f"MessagePassed with {len(log.topics)} topics")
    event, nonce, sender, target = [WordReader(topic) for topic in log.topics]
    require(event.word() == MESSAGE_PASSED, "not a MessagePassed")
    words = WordReader(log.data)
    value, gas_limit, offset, claimed = words.uint(32), words.uint(32), words.uint(32), words.word()
    require(offset == DATA_OFFSET, f"MessagePassed: the data is at {offset}")
    size = words.uint(32)
    data = words.take(size)
    require(not any(words.take(-size % WORD)), "MessagePassed with padding that is not zero")
    words.end()
    withdrawal = Withdrawal(
        nonce.uint(32), sender.word_address(), target.word_address(), value, gas_limit, data
    )
    require(withdrawal.hash == claimed, "MessagePassed with another hash than its own")
    return withdrawal


@dataclass(frozen=True, slots=True)
class WithdrawalProof:
    """What OptimismPortal.proveWithdrawalTransaction takes besides the number of the output."""

    withdrawal: Withdrawal
    output: Output
    nodes: tuple[bytes, ...]  # of the message passer's storage trie, from its root on

    def check(self, root: bytes) -> None:
        """`Malformed` unless the proof holds against an output root that L1 has."""
        require(self.output.root == root, "the parts are not of this output root")
        stored = verify_proof(
            self.output.message_passer_storage_root, self.withdrawal.slot, self.nodes
        )
        require(stored == strict.encode(SENT), "the withdrawal is not in this output")
