"""What a host signs for an answer, and what a payer signs for a host."""

from dataclasses import dataclass, fields
from typing import ClassVar, Protocol, Self

from eth_hash.auto import keccak

from protocol.codec import Reader, require, require_uint, uint, word
from protocol.signature import Domain

DOMAIN_NAME = "OpenLedger Inference"  # the verifying contract is the InferenceEscrow
PROMPT_MAX = OUTPUT_MAX = 24 * 1024  # bytes; both fit into one gossip message

_WIDTH = {"uint8": 1, "uint32": 4, "uint64": 8, "uint128": 16, "bytes32": 32, "address": 20}


class _Typed:
    """A flat EIP-712 struct: `TYPE` fixes the order and width of the fields."""

    __slots__ = ()
    TYPE: ClassVar[str]

    @classmethod
    def members(cls) -> list[tuple[str, str]]:
        inside = cls.TYPE[cls.TYPE.index("(") + 1 : -1]
        names = (item.name for item in fields(cls))  # type: ignore[arg-type]
        return [
            (part.split()[0], name) for part, name in zip(inside.split(","), names, strict=True)
        ]

    def check(self) -> None:
        for kind, name in self.members():
            value = getattr(self, name)
            if kind.startswith("uint"):
                require_uint(value, 8 * _WIDTH[kind], name)
            else:
                require(len(value) == _WIDTH[kind], f"{name} has {len(value)} bytes")

    def words(self) -> bytes:
        """Solidity's abi.encode of the struct."""
        return b"".join(word(getattr(self, name)) for _, name in self.members())

    def digest(self, domain: Domain) -> bytes:
        return domain.digest(keccak(keccak(self.TYPE.encode()) + self.words()))

    def encode(self) -> bytes:
        """The packed form for wire and disk."""
        out = b""
        for kind, name in self.members():
            value = getattr(self, name)
            out += value if isinstance(value, bytes) else uint(value, _WIDTH[kind])
        return out

    @classmethod
    def read(cls, reader: Reader) -> Self:
        values = [
            reader.uint(_WIDTH[kind]) if kind.startswith("uint") else reader.take(_WIDTH[kind])
            for kind, _ in cls.members()
        ]
        return cls(*values)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        reader = Reader(data)
        value = cls.read(reader)
        reader.end()
        return value


@dataclass(frozen=True, slots=True)
class Receipt(_Typed):
    """This adapter on this base made this output of this prompt.

    It is paid by the voucher interval (cumulative - amount, cumulative].
    """

    TYPE: ClassVar[str] = (
        "Receipt(bytes32 request,bytes32 base,bytes32 adapter,bytes32 sampling,bytes32 promptRoot,"
        "uint32 promptSize,bytes32 outputRoot,uint32 outputSize,bytes32 leavesRoot,"
        "uint32 promptTokens,uint32 outputTokens,uint128 amount,uint128 cumulative,uint64 seed,"
        "uint8 fingerprint,uint64 nonce,uint64 deadline,address host,address payer)"
    )

    request: bytes  # keccak of the canonical request
    base: bytes  # id of the base model
    adapter: bytes  # sha256 of the adapter's safetensors file
    sampling: bytes  # keccak of the canonical sampling parameters
    prompt_root: bytes  # text tree of the prompt
    prompt_size: int  # bytes
    output_root: bytes
    output_size: int
    leaves_root: bytes  # one leaf per 32 tokens: ids and fingerprint
    prompt_tokens: int
    output_tokens: int
    amount: int  # wei, the fee of this answer
    cumulative: int  # wei, what (payer, host, adapter) vouchers must have reached
    seed: int
    fingerprint: int  # kind; 0 is none
    nonce: int
    deadline: int  # unix seconds
    host: bytes
    payer: bytes

    def __post_init__(self) -> None:
        self.check()
        require(self.prompt_size <= PROMPT_MAX, "prompt over the limit")
        require(self.output_size <= OUTPUT_MAX, "output over the limit")
        require(self.amount <= self.cumulative, "an amount over its cumulative")


@dataclass(frozen=True, slots=True)
class Voucher(_Typed):
    """The payer owes the host `cumulative` wei in all for answers of `adapter`."""

    TYPE: ClassVar[str] = "Voucher(address payer,address host,bytes32 adapter,uint128 cumulative)"

    payer: bytes
    host: bytes
    adapter: bytes
    cumulative: int

    def __post_init__(self) -> None:
        self.check()


def domain(chain_id: int, escrow: bytes) -> Domain:
    return Domain(DOMAIN_NAME, chain_id, escrow)


class PaidPart(Protocol):
    """What a receipt says of its money, whether or not it keeps the limits of a `Receipt`."""

    @property
    def payer(self) -> bytes: ...
    @property
    def host(self) -> bytes: ...
    @property
    def adapter(self) -> bytes: ...
    @property
    def amount(self) -> int: ...
    @property
    def cumulative(self) -> int: ...


def overlaps(one: PaidPart, other: PaidPart) -> bool:
    """Whether two receipts are paid by a common part of one voucher; an amount of 0 by none."""
    same = (one.payer, one.host, one.adapter) == (other.payer, other.host, other.adapter)
    low = max(0, one.cumulative - one.amount, other.cumulative - other.amount)
    return same and low < min(one.cumulative, other.cumulative)
