"""One transaction as a span batch holds it: its fields apart, so that like compresses with like.

data = rlp([value, gas price, input])                                             legacy
     | 0x01 | rlp([value, gas price, input, access list])                         EIP-2930
     | 0x02 | rlp([value, priority fee, fee cap, input, access list])             EIP-1559
     | 0x04 | rlp([value, priority fee, fee cap, input, access list, authorisations])   EIP-7702

https://specs.optimism.io/protocol/delta/span-batches.html, op-node's derive/span_batch_tx.go
"""

from dataclasses import dataclass
from typing import Final, Self

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec.strict import (
    Encodable,
    Item,
    as_address,
    as_bytes,
    as_list,
    as_uint,
    decode,
    encode,
)

LEGACY: Final = 0
ACCESS_LIST: Final = 1  # EIP-2930
DYNAMIC_FEE: Final = 2  # EIP-1559
SET_CODE: Final = 4  # EIP-7702
SHAPES: Final = {LEGACY: (1, 0), ACCESS_LIST: (1, 1), DYNAMIC_FEE: (2, 1), SET_CODE: (2, 2)}
# op-node reads these as big.Int without a bound; what is too large spoils the block, not the batch
BIG_INTEGER_BITS: Final = 1 << 27


@dataclass(frozen=True, slots=True)
class SpanTransaction:
    """The parts of one transaction; `to` is empty when it creates a contract.

    `protected` says whether a legacy transaction names the chain (EIP-155); else it is True.
    `data` may be anything that starts like an RLP list, after a byte of type: only `raw` looks at
    what is in it.
    """

    to: bytes
    y_parity: int
    r: int
    s: int
    nonce: int
    gas: int
    protected: bool
    data: bytes

    @classmethod
    def split(cls, raw: bytes, chain_id: int) -> Self:
        """The parts of a signed transaction; `Malformed` unless `raw` gives it back unchanged."""
        require(bool(raw), "empty transaction")
        kind = raw[0]
        if kind >= 0xC0:
            nonce, price, gas, to, value, data, *rest = as_list(decode(raw), 9, "transaction")
            v, r, s = rest
            protected, parity = _parity(as_uint(v, 256, "v"), chain_id)
            inner = encode(_checked(LEGACY, [value, price, data]))
        else:
            fees, lists = _shape(kind)
            items = as_list(decode(raw[1:]), 9 + fees + lists, "transaction")
            chain, nonce, prices, rest = items[0], items[1], items[2 : 2 + fees], items[2 + fees :]
            gas, to, value, data, *tail = rest
            *listed, v, r, s = tail
            require(as_uint(chain, 256, "chain id") == chain_id, "transaction of another chain")
            protected, parity = True, as_uint(v, 8, "y parity")
            require(parity <= 1, f"y parity {parity}")
            inner = bytes((kind,)) + encode(_checked(kind, [value, *prices, data, *listed]))
        address = as_address(to, "to")
        require(bool(address) or kind != SET_CODE, "EIP-7702 transaction without recipient")
        return cls(
            address,
            parity,
            as_uint(r, 256, "r"),
            as_uint(s, 256, "s"),
            as_uint(nonce, 64, "nonce"),
            as_uint(gas, 64, "gas"),
            protected,
            inner,
        )

    def raw(self, chain_id: int) -> bytes:
        """The signed transaction as the engine takes it; `Malformed` if `data` is not one."""
        kind = self.data[0]
        if kind >= 0x80:
            value, price, data = _checked(LEGACY, as_list(decode(self.data)))
            v = self.y_parity + (35 + 2 * chain_id if self.protected else 27)
            return encode(
                [self.nonce, price, self.gas, self.to, value, data, v, self.r, self.s],
            )
        require(bool(self.to) or kind != SET_CODE, "EIP-7702 transaction without recipient")
        fees, _ = _shape(kind)
        value, *rest = _checked(kind, as_list(decode(self.data[1:])))
        head: list[Encodable] = [chain_id, self.nonce, *rest[:fees], self.gas, self.to, value]
        tail: list[Encodable] = [*rest[fees:], self.y_parity, self.r, self.s]
        return bytes((kind,)) + encode(head + tail)


def counts_as_legacy(data: bytes) -> bool:
    """Whether a bit says if the transaction is protected; type 0 has one too, as in op-node's
    ReadTxData, although `raw` knows no such type."""
    return data[0] >= 0x80 or data[0] == LEGACY


def _shape(kind: int) -> tuple[int, int]:
    """How many fees and how many lists a type of transaction has."""
    if kind not in SHAPES or kind == LEGACY:
        raise Malformed(f"transaction of type {kind} in a span batch")
    return SHAPES[kind]


def _checked(kind: int, items: list[Item]) -> list[Item]:
    """`items` of the data of a transaction if each of them is what it must be."""
    fees, lists = SHAPES[kind]
    as_list(items, 2 + fees + lists, "span batch transaction")
    bits = 256 if kind == SET_CODE else BIG_INTEGER_BITS
    for item in items[: 1 + fees]:
        as_uint(item, bits, "value or fee")
    as_bytes(items[1 + fees], name="input")
    if lists > 0:
        for entry in as_list(items[2 + fees], name="access list"):
            address, keys = as_list(entry, 2, "access list entry")
            as_bytes(address, 20, "address")
            for key in as_list(keys, name="storage keys"):
                as_bytes(key, 32, "storage key")
    if lists > 1:
        for entry in as_list(items[3 + fees], name="authorisations"):
            chain, address, nonce, parity, r, s = as_list(entry, 6, "authorisation")
            as_bytes(address, 20, "address")
            for item, size in ((chain, 256), (nonce, 64), (parity, 8), (r, 256), (s, 256)):
                as_uint(item, size, "authorisation")
    return items


def _parity(v: int, chain_id: int) -> tuple[bool, int]:
    """Whether a legacy transaction names the chain, and its y parity."""
    if v in (27, 28):
        return False, v - 27
    parity = v - 35 - 2 * chain_id
    require(parity in (0, 1), f"v {v} is not of chain {chain_id}")
    return True, parity
