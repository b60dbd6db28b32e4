"""What precompiled contracts compute on two curves, by BLAKE2 and in large numbers, natively.

Sources: EIP-198, EIP-196, EIP-197 (alt_bn128), EIP-152 (BLAKE2 F), EIP-2537 (BLS12-381), EIP-4844
(KZG). In pure Python one block of it takes minutes, and whoever derives must execute it. Each
function takes the input of its contract and gives the output; ValueError for one that it refuses.
"""

from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from typing import Any, Final

import ckzg
from eth.exceptions import VMError
from eth.precompiles.blake2 import blake2b_fcompress
from eth.precompiles.ecadd import ecadd
from eth.precompiles.ecmul import ecmul
from eth.precompiles.ecpairing import ecpairing
from eth.precompiles.point_evaluation import TRUSTED_SETUP_PATH
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

try:
    from pyrevm import EVM

    NATIVE = True
except ImportError:  # no wheel for this Python: slower, and the same
    NATIVE = False

Run = Callable[[bytes], bytes]

CALLER: Final = "0x" + "11" * 20
GAS: Final = 1 << 50  # the contracts' own gas is taken elsewhere
FIELD: Final = bytes.fromhex(  # the modulus of BLS12-381's base field
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab"
)
FIELD_BYTES: Final = 48
CELL_BYTES: Final = 64  # a field element with the zeros before it
SCALAR_BYTES: Final = 32
G1_BYTES, G2_BYTES = 2 * CELL_BYTES, 4 * CELL_BYTES
PADDING: Final = bytes(CELL_BYTES - FIELD_BYTES)
KZG_INPUT_BYTES: Final = 192
KZG_VERSION: Final = b"\x01"
KZG_ANSWER: Final = (4096).to_bytes(32, "big") + bytes.fromhex(  # elements per blob, the modulus
    "73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001"
)


def _revm(number: int, data: bytes) -> bytes:
    """What the contract at address `number` answers in a fresh revm."""
    try:
        answer = EVM().message_call(CALLER, f"0x{number:040x}", calldata=data, gas=GAS)
    except RuntimeError as error:
        if "PrecompileError" in str(error):
            raise ValueError("not a valid input of a precompiled contract") from error
        raise
    return bytes(answer)


class _Frame:
    """As much of py-evm's computation as its precompiled contracts look at."""

    def __init__(self, data: bytes) -> None:
        self.msg, self.data, self.data_as_bytes, self.output = self, data, data, b""

    def consume_gas(self, amount: int, reason: str) -> None:
        """Gas is taken elsewhere."""


SLOW: Final[dict[int, Callable[[Any], Any]]] = {
    0x06: ecadd,
    0x07: ecmul,
    0x08: ecpairing,
    0x09: blake2b_fcompress,
}


def slowly(number: int, data: bytes) -> bytes:
    """The same in Python."""
    frame = _Frame(data)
    try:
        SLOW[number](frame)
    except VMError as error:
        raise ValueError("not a valid input of a precompiled contract") from error
    return frame.output


def power(data: bytes) -> bytes:
    """Sizes of base, exponent and modulus in 32 bytes each, then the three; zeros where it ends.
    The caller has bounded the sizes by their gas. EIP-198."""
    base_size, exponent_size, size = (
        int.from_bytes(data[at : at + 32].ljust(32, b"\0"), "big") for at in (0, 32, 64)
    )
    rest, numbers = data[96:], list[int]()
    for width in (base_size, exponent_size, size):
        numbers.append(int.from_bytes(rest[:width].ljust(width, b"\0"), "big"))
        rest = rest[width:]
    base, exponent, modulus = numbers
    return (pow(base, exponent, modulus) if modulus else 0).to_bytes(size, "big")


_run: Final = _revm if NATIVE else slowly
modexp: Final[Run] = partial(_revm, 0x05) if NATIVE else power
bn_add: Final[Run] = partial(_run, 0x06)
bn_mul: Final[Run] = partial(_run, 0x07)
bn_pairing: Final[Run] = partial(_run, 0x08)
blake2: Final[Run] = partial(_run, 0x09)


def g1_add(data: bytes) -> bytes:
    left, right = _pieces(data, G1_BYTES, 2)
    return _pad((_g1(left) + _g1(right)).to_xy_bytes_be())


def g2_add(data: bytes) -> bytes:
    left, right = _pieces(data, G2_BYTES, 2)
    return _pad((_g2(left) + _g2(right)).to_xy_bytes_be())


def g1_msm(data: bytes) -> bytes:
    pairs = _pieces(data, G1_BYTES + SCALAR_BYTES)
    points = [_g1(pair[:G1_BYTES], in_subgroup=True) for pair in pairs]
    scalars = [Scalar.from_be_bytes_mod_order(pair[G1_BYTES:]) for pair in pairs]
    return _pad(G1Point.multiexp_unchecked(points, scalars).to_xy_bytes_be())


def g2_msm(data: bytes) -> bytes:
    pairs = _pieces(data, G2_BYTES + SCALAR_BYTES)
    points = [_g2(pair[:G2_BYTES], in_subgroup=True) for pair in pairs]
    scalars = [Scalar.from_be_bytes_mod_order(pair[G2_BYTES:]) for pair in pairs]
    return _pad(G2Point.multiexp_unchecked(points, scalars).to_xy_bytes_be())


def pairing(data: bytes) -> bytes:
    pairs = _pieces(data, G1_BYTES + G2_BYTES)
    left = [_g1(pair[:G1_BYTES], in_subgroup=True) for pair in pairs]
    right = [_g2(pair[G1_BYTES:], in_subgroup=True) for pair in pairs]
    return int(GT.pairing_check(left, right)).to_bytes(32, "big")


def map_to_g1(data: bytes) -> bytes:
    return _pad(G1Point.map_from_fp_be(_fields(data, 1)).to_xy_bytes_be())


def map_to_g2(data: bytes) -> bytes:
    return _pad(G2Point.map_from_fp2_be(_fields(data, 2)).to_xy_bytes_be())


def point_evaluation(data: bytes) -> bytes:
    """Versioned hash, z, y, commitment and proof; that the blob's polynomial at z is y."""
    if len(data) != KZG_INPUT_BYTES:
        raise ValueError(f"input of {len(data)} bytes")
    name, z, y, commitment, proof = data[:32], data[32:64], data[64:96], data[96:144], data[144:]
    if name != KZG_VERSION + sha256(commitment).digest()[1:]:
        raise ValueError("not the commitment of this versioned hash")
    try:
        good = ckzg.verify_kzg_proof(commitment, z, y, proof, _trusted_setup())
    except RuntimeError as error:  # how the library says that an argument is none
        raise ValueError("not a proof") from error
    if not good:
        raise ValueError("a proof of something else")
    return KZG_ANSWER


@cache
def _trusted_setup() -> Any:
    """Reading it takes seconds, so once; py-evm does it at every call."""
    return ckzg.load_trusted_setup(TRUSTED_SETUP_PATH, 0)


def _pieces(data: bytes, size: int, count: int | None = None) -> list[bytes]:
    if not data or len(data) % size or (count is not None and len(data) != count * size):
        raise ValueError(f"input of {len(data)} bytes")
    return [data[at : at + size] for at in range(0, len(data), size)]


def _fields(data: bytes, count: int) -> bytes:
    """`count` field elements without the zeros before them."""
    cells = _pieces(data, CELL_BYTES, count)
    for cell in cells:
        if not cell.startswith(PADDING) or cell[len(PADDING) :] >= FIELD:
            raise ValueError("not an element of the field")
    return b"".join(cell[len(PADDING) :] for cell in cells)


def _g1(data: bytes, *, in_subgroup: bool = False) -> Any:
    new = G1Point.from_xy_bytes_be if in_subgroup else G1Point.from_xy_bytes_unchecked_be
    return new(_fields(data, 2))


def _g2(data: bytes, *, in_subgroup: bool = False) -> Any:
    new = G2Point.from_xy_bytes_be if in_subgroup else G2Point.from_xy_bytes_unchecked_be
    return new(_fields(data, 4))


def _pad(point: bytes) -> bytes:
    cells = (point[at : at + FIELD_BYTES] for at in range(0, len(point), FIELD_BYTES))
    return b"".join(PADDING + cell for cell in cells)
