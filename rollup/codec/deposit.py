"""Deposit transactions (type 0x7E), and how L1 asks for them.

specs.optimism.io/protocol/deposits.html; logs are read as strictly as op-node's
rollup/derive/deposit_log.go reads them.
"""

from dataclasses import dataclass
from typing import Final, Self

from eth_hash.auto import keccak

from protocol.codec import require, require_uint, word
from rollup.codec import strict
from rollup.codec.refs import L1Block, L1Log
from rollup.codec.words import WORD, WordReader

DEPOSIT_TYPE: Final = 0x7E
FIELDS: Final = 8

TRANSACTION_DEPOSITED: Final = keccak(b"TransactionDeposited(address,address,uint256,bytes)")
VERSION_0: Final = bytes(32)

USER_DOMAIN, L1_INFO_DOMAIN, UPGRADE_DOMAIN = 0, 1, 2
ALIAS_OFFSET: Final = 0x1111000000000000000000000000000000001111


@dataclass(frozen=True, slots=True)
class DepositTransaction:
    """What L1 or the protocol itself orders the L2 to do; amounts in wei.

    `to` is empty when it creates a contract.  `is_system` is no longer true since Regolith.
    """

    source_hash: bytes  # 32
    sender: bytes  # 20
    to: bytes  # 20 or 0
    mint: int
    value: int
    gas: int
    is_system: bool
    data: bytes

    def __post_init__(self) -> None:
        require(len(self.source_hash) == 32, "source hash of another size than 32")
        require(len(self.sender) == 20, "sender of another size than 20")
        require(len(self.to) in (0, 20), "recipient of another size than 0 or 20")
        require_uint(self.mint, 256, "mint")
        require_uint(self.value, 256, "value")
        require_uint(self.gas, 64, "gas")

    def encode(self) -> bytes:
        """0x7E and RLP of [source_hash, from, to, mint, value, gas, is_system, data]."""
        who = (self.source_hash, self.sender, self.to)
        what = (self.mint, self.value, self.gas, int(self.is_system), self.data)
        return bytes([DEPOSIT_TYPE]) + strict.encode((*who, *what))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The deposit that `data` is; `Malformed` else."""
        require(data[:1] == bytes([DEPOSIT_TYPE]), "not a deposit transaction")
        items = strict.as_list(strict.decode(data[1:]), FIELDS, "deposit")
        source_hash, sender, to, mint, value, gas, is_system, call = items
        require(is_system in (b"", b"\x01"), "is_system is no boolean")
        return cls(
            strict.as_bytes(source_hash, 32, "source hash"),
            strict.as_bytes(sender, 20, "sender"),
            strict.as_address(to, "recipient"),
            strict.as_uint(mint, 256, "mint"),
            strict.as_uint(value, 256, "value"),
            strict.as_uint(gas, 64, "gas"),
            is_system == b"\x01",
            strict.as_bytes(call, name="data"),
        )

    @property
    def hash(self) -> bytes:
        return keccak(self.encode())


def user_deposit_source(l1_hash: bytes, log_index: int) -> bytes:
    """The source hash of log `log_index` of its block."""
    return _source(USER_DOMAIN, keccak(l1_hash + word(log_index)))


def l1_info_source(l1_hash: bytes, sequence_number: int) -> bytes:
    """The source hash of the L1 attributes of the block so far into its epoch."""
    return _source(L1_INFO_DOMAIN, keccak(l1_hash + word(sequence_number)))


def upgrade_source(intent: str) -> bytes:
    """The source hash of a transaction that a fork itself makes, such as "Isthmus: ..."."""
    return _source(UPGRADE_DOMAIN, keccak(intent.encode()))


def _source(domain: int, identity: bytes) -> bytes:
    return keccak(word(domain) + identity)


def deposits(block: L1Block, portal: bytes) -> tuple[DepositTransaction, ...]:
    """The deposits that one L1 block asks for, in order.

    `Malformed` when the portal wrote a log that cannot be read: it is trusted not to.
    """
    return tuple(
        [
            deposit_from_log(log, block.ref.hash)
            for log in block.logs
            if log.address == portal and log.topics[:1] == (TRANSACTION_DEPOSITED,)
        ]
    )


def deposit_from_log(log: L1Log, l1_hash: bytes) -> DepositTransaction:
    """The deposit that a TransactionDeposited event asks for; `Malformed` else.

    Topics: event, from, to, version.  Data: one ABI `bytes`, being the packed u256 mint, u256
    value, u64 gas, u8 is-creation, and the call's data up to its end.
    """
    require(len(log.topics) == 4, f"deposit log with {len(log.topics)} topics")
    event, sender, to, version = log.topics
    require(event == TRANSACTION_DEPOSITED, "not a deposit log")
    require(version == VERSION_0, "deposit log of an unknown version")
    opaque = WordReader(_opaque(log.data))
    mint, value, gas = opaque.uint(32), opaque.uint(32), opaque.uint(8)
    creates = opaque.uint(1) != 0
    return DepositTransaction(
        source_hash=user_deposit_source(l1_hash, log.index),
        sender=sender[12:],
        to=b"" if creates else to[12:],
        mint=mint,
        value=value,
        gas=gas,
        is_system=False,
        data=opaque.rest(),
    )


def _opaque(data: bytes) -> bytes:
    require(len(data) % WORD == 0, f"deposit log of {len(data)} bytes")
    words = WordReader(data)
    require(words.word_uint(64) == WORD, "deposit log: the offset is not 32")
    size = words.word_uint(64)
    padded = len(data) - 2 * WORD
    require(size <= padded < size + WORD, f"deposit log: {size} bytes in {padded}")
    return words.take(size)  # op-node does not look at the padding


def alias(address: bytes) -> bytes:
    """The L2 sender for a contract on L1."""
    return ((int.from_bytes(address, "big") + ALIAS_OFFSET) % (1 << 160)).to_bytes(20, "big")


def unalias(address: bytes) -> bytes:
    """The contract on L1 behind an aliased L2 sender."""
    return ((int.from_bytes(address, "big") - ALIAS_OFFSET) % (1 << 160)).to_bytes(20, "big")
