"""A signed Ethereum transaction, decoded and checked as far as that needs no state."""

from dataclasses import dataclass
from typing import Any, Final

import rlp
from coincurve import PublicKey
from eth.vm.forks.prague.transactions import Authorization
from eth_hash.auto import keccak

from protocol.errors import Malformed
from rollup.codec import strict

TRANSACTION_BYTES_MAX: Final = 128 << 10
INITCODE_BYTES_MAX: Final = 49152
UINT64_MAX: Final = 2**64 - 1
UINT256_MAX: Final = 2**256 - 1
SECP256K1_N: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
LEGACY, ACCESS_LIST, DYNAMIC_FEE, SET_CODE = 0, 1, 2, 4

GAS_TRANSACTION: Final = 21_000
GAS_CREATE: Final = 32_000
GAS_INITCODE_WORD: Final = 2
GAS_ACCESS_ADDRESS: Final = 2_400
GAS_ACCESS_SLOT: Final = 1_900
GAS_AUTHORIZATION: Final = 25_000
GAS_TOKEN: Final = 4
GAS_TOKEN_FLOOR: Final = 10
TOKENS_NONZERO: Final = 4

SIGNERS_KEPT_MAX: Final = 16_384

_signers: dict[bytes, bytes] = {}  # by hash, which commits to the signature

AccessList = tuple[tuple[bytes, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Transaction:
    """Fields as py-evm's executor reads them; `to` is empty for a creation.

    `raw` is the signed encoding (EIP-2718), empty for a simulated call; a legacy price counts as
    both fee limits. Amounts in wei.
    """

    raw: bytes
    hash: bytes
    type_id: int
    sender: bytes
    nonce: int
    max_priority_fee_per_gas: int
    max_fee_per_gas: int
    gas: int
    to: bytes
    value: int
    data: bytes
    access_list: AccessList = ()
    authorization_list: tuple[Any, ...] = ()
    v: int = 0
    r: int = 0
    s: int = 0

    @property
    def intrinsic_gas(self) -> int:
        """Gas taken before execution (without the initcode words, which py-evm takes itself)."""
        gas = GAS_TRANSACTION + GAS_TOKEN * self._tokens()
        gas += 0 if self.to else GAS_CREATE
        gas += sum(GAS_ACCESS_ADDRESS + GAS_ACCESS_SLOT * len(s) for _, s in self.access_list)
        return gas + GAS_AUTHORIZATION * len(self.authorization_list)

    @property
    def gas_least(self) -> int:
        """The smallest gas limit that is valid in Prague (EIP-3860 words, EIP-7623 floor)."""
        floor = GAS_TRANSACTION + GAS_TOKEN_FLOOR * self._tokens()
        return max(self.gas_least_cancun, floor)

    @property
    def gas_least_cancun(self) -> int:
        words = 0 if self.to else GAS_INITCODE_WORD * ((len(self.data) + 31) // 32)
        return self.intrinsic_gas + words

    @property
    def cost_max(self) -> int:
        return self.gas * self.max_fee_per_gas + self.value

    def price(self, base_fee: int) -> int:
        return min(self.max_fee_per_gas, base_fee + self.max_priority_fee_per_gas)

    def _tokens(self) -> int:
        zeros = self.data.count(0)
        return zeros + TOKENS_NONZERO * (len(self.data) - zeros)


def decode(raw: bytes, chain_id: int, sender: bytes | None = None) -> Transaction:
    """A signed transaction that a stranger hands in: type 0 (EIP-155 only), 1, 2 or 4.

    Recovering the signer is the slow part; a stored transaction comes with its known `sender`.
    Raises `Malformed`.
    """
    if sender is None and len(raw) > TRANSACTION_BYTES_MAX:
        raise Malformed(f"transaction of {len(raw)} bytes, allowed 1 to {TRANSACTION_BYTES_MAX}")
    transaction = included(raw, chain_id, sender)
    if sender is None and transaction.type_id == LEGACY and transaction.v in (27, 28):
        raise Malformed("only replay-protected (EIP-155) transactions allowed over RPC")
    if sender is None and transaction.gas < transaction.gas_least:
        raise Malformed(
            f"intrinsic gas too low: have {transaction.gas}, want {transaction.gas_least}"
        )
    return transaction


def included(raw: bytes, chain_id: int, sender: bytes | None = None) -> Transaction:
    """A signed transaction in a block, where size and old signatures are free; gas is for `check`.

    Raises `Malformed`.
    """
    if not raw:
        raise Malformed("transaction of no bytes")
    kind = LEGACY if raw[0] >= 0xC0 else raw[0]
    if kind not in (LEGACY, ACCESS_LIST, DYNAMIC_FEE, SET_CODE):
        raise Malformed(f"transaction type {kind} not supported")
    fields = strict.decode(raw if kind == LEGACY else raw[1:])
    if not isinstance(fields, list):
        raise Malformed("transaction is not an RLP list")
    transaction = (_legacy if kind == LEGACY else _typed)(kind, raw, fields, chain_id, sender)
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise Malformed("max priority fee per gas higher than max fee per gas")
    if not transaction.to and len(transaction.data) > INITCODE_BYTES_MAX:
        raise Malformed(f"max initcode size exceeded: {len(transaction.data)} bytes")
    return transaction


def _legacy(
    kind: int, raw: bytes, fields: list[Any], chain_id: int, sender: bytes | None
) -> Transaction:
    if len(fields) != 9:
        raise Malformed(f"legacy transaction with {len(fields)} fields")
    v = _integer(fields[6], UINT256_MAX)
    protected = v not in (27, 28)
    parity = v - 35 - 2 * chain_id if protected else v - 27
    if parity not in (0, 1):
        raise Malformed(f"invalid chain id for signer: v is {v}, this chain is {chain_id}")
    signed = [*fields[:6], chain_id, 0, 0] if protected else fields[:6]
    digest = keccak(strict.encode(signed))
    price = _integer(fields[1], UINT256_MAX)
    return _signed(
        kind,
        raw,
        digest,
        parity,
        v,
        [fields[0], price, price, *fields[2:6]],
        [],
        [],
        fields[7:],
        sender,
    )


def _typed(
    kind: int, raw: bytes, fields: list[Any], chain_id: int, sender: bytes | None
) -> Transaction:
    count = {ACCESS_LIST: 11, DYNAMIC_FEE: 12, SET_CODE: 13}[kind]
    if len(fields) != count:
        raise Malformed(f"transaction of type {kind} with {len(fields)} fields, not {count}")
    if _integer(fields[0], UINT256_MAX) != chain_id:
        raise Malformed(f"invalid chain id for signer: have {fields[0].hex()}, want {chain_id}")
    parity = _integer(fields[-3], 1)
    digest = keccak(raw[:1] + strict.list_of([_unsigned(raw, fields)]))
    body = fields[1:-3]
    authorizations = body.pop() if kind == SET_CODE else []
    access = body.pop()
    if kind == ACCESS_LIST:
        body.insert(1, body[1])
    body[1:3] = [_integer(fee, UINT256_MAX) for fee in body[1:3]]
    if kind == SET_CODE and not (authorizations and isinstance(authorizations, list) and body[4]):
        raise Malformed("set code transaction without authorizations, or one that creates")
    return _signed(
        kind, raw, digest, parity, parity, body, access, authorizations, fields[-2:], sender
    )


def _unsigned(raw: bytes, fields: list[Any]) -> bytes:
    """The items that are signed, as they stand in the transaction."""
    _, start, end = strict.span(raw, 1)
    return raw[start : end - sum(len(strict.encode(item)) for item in fields[-3:])]


def _signed(
    kind: int,
    raw: bytes,
    digest: bytes,
    parity: int,
    v: int,
    body: list[Any],
    access: Any,
    authorizations: list[Any],
    signature: list[Any],
    sender: bytes | None,
) -> Transaction:
    nonce, tip, fee, gas, to, value, data = body
    if not (isinstance(to, bytes) and len(to) in (0, 20) and isinstance(data, bytes)):
        raise Malformed("transaction with a malformed recipient or data")
    r, s = (_integer(part, UINT256_MAX) for part in signature)
    name = keccak(raw)
    return Transaction(
        raw=raw,
        hash=name,
        type_id=kind,
        sender=_signer(name, digest, parity, r, s) if sender is None else sender,
        nonce=_integer(nonce, UINT64_MAX - 1),
        max_priority_fee_per_gas=tip,
        max_fee_per_gas=fee,
        gas=_integer(gas, UINT64_MAX),
        to=to,
        value=_integer(value, UINT256_MAX),
        data=data,
        access_list=_access_list(access),
        authorization_list=tuple(_authorization(each) for each in authorizations),
        v=v,
        r=r,
        s=s,
    )


def _signer(name: bytes, digest: bytes, parity: int, r: int, s: int) -> bytes:
    """`recover`, once per transaction: those of a block were in the pool before."""
    known = _signers.get(name)
    if known is None:
        known = recover(digest, parity, r, s)
        if len(_signers) >= SIGNERS_KEPT_MAX:
            _signers.clear()
        _signers[name] = known
    return known


def recover(digest: bytes, parity: int, r: int, s: int) -> bytes:
    """The address that signed `digest`; a high `s` is refused (EIP-2). Raises `Malformed`."""
    if not (0 < r < SECP256K1_N and 0 < s <= SECP256K1_N // 2):
        raise Malformed("invalid transaction v, r, s values")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception
        raise Malformed("invalid transaction signature") from error
    return keccak(key.format(compressed=False)[1:])[12:]


def _integer(field: Any, limit: int) -> int:
    if not isinstance(field, bytes) or field[:1] == b"\0":
        raise Malformed("transaction field is not a canonical integer")
    value = int.from_bytes(field, "big")
    if value > limit:
        raise Malformed(f"transaction field {value} over its limit {limit}")
    return value


def _access_list(field: Any) -> AccessList:
    if field == []:
        return ()
    entries = field if isinstance(field, list) else [field]  # a string is no list, even if empty
    for entry in entries:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], list)):
            raise Malformed("malformed access list")
        address, *slots = entry[0], *entry[1]
        if not (isinstance(address, bytes) and len(address) == 20):
            raise Malformed("malformed access list")
        if not all(isinstance(slot, bytes) and len(slot) == 32 for slot in slots):
            raise Malformed("malformed access list")
    return tuple((a, tuple(int.from_bytes(slot, "big") for slot in slots)) for a, slots in entries)


def _authorization(field: Any) -> Any:
    try:
        authorization = rlp.decode(rlp.encode(field), sedes=Authorization)
        authorization.validate_for_transaction()
    except Exception as error:  # rlp and eth_utils share no ancestor
        raise Malformed("malformed authorization") from error
    return authorization
