"""The precompiled contracts: what each costs, what computes it, and OP Stack's bounds.

Sources: RIP-7212 (Fjord), https://specs.optimism.io/protocol/granite/exec-engine.html, the same of
Isthmus and Jovian; EIP-198 and EIP-2565 for modular exponentiation; EIP-1108,
EIP-152, EIP-4844 and EIP-2537 for what the others cost.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth.exceptions import VMError
from eth.precompiles.bls12_381 import constants as bls

from rollup.engine import curves

Precompile = Callable[[Any], Any]
Table = Mapping[Any, Precompile]  # by address

P256_GAS: Final = 3_450
P256_INPUT_BYTES: Final = 160
MODEXP_GAS_MIN: Final = 200
MODEXP_GAS_DIVISOR: Final = 3
MODEXP_HEAD_BYTES: Final = 96
WORD_BYTES: Final = 32
BN_PAIRING_BYTES, G1_MSM_BYTES, G2_MSM_BYTES, BLS_PAIRING_BYTES = 192, 160, 288, 384


def address(number: int) -> bytes:
    return number.to_bytes(20, "big")


MODEXP, BN_PAIRING, BLAKE2, P256 = address(5), address(8), address(9), address(0x100)
G1_MSM, G2_MSM, BLS_PAIRING = address(0x0C), address(0x0E), address(0x0F)

# Measured on one slow core; what is not here is fast enough for what it costs.
MODEXP_SECONDS_PER_ROUND: Final = 1e-7
MODEXP_SECONDS_PER_PRODUCT: Final = 1e-8
BLAKE2_SECONDS_PER_ROUND: Final = 3e-8
SECONDS_PER_BYTE: Final[Mapping[bytes, float]] = {
    BN_PAIRING: 0.005 / 192,
    G1_MSM: 0.0003 / 160,
    G2_MSM: 0.0006 / 288,
    BLS_PAIRING: 0.002 / 384,
}

GRANITE_LIMITS: Final = {BN_PAIRING: 112_687}
ISTHMUS_LIMITS: Final = {
    BN_PAIRING: 112_687,
    G1_MSM: 513_760,
    G2_MSM: 488_448,
    BLS_PAIRING: 235_008,
}
JOVIAN_LIMITS: Final = {
    BN_PAIRING: 81_984,
    G1_MSM: 288_960,
    G2_MSM: 278_784,
    BLS_PAIRING: 156_672,
}


def ethereum(base: Table) -> Table:
    """py-evm's table with its slow contracts done natively; none is added that the fork lacks.

    Its modular exponentiation also says 0 for an absent base to the power of 0.
    """
    own = {where: _priced(gas, run) for where, (gas, run) in NATIVE.items()} | {MODEXP: modexp}
    return {where: own.get(where, theirs) for where, theirs in base.items()}


def optimism(base: Table, limits: Mapping[bytes, int]) -> Table:
    """`ethereum` with P-256, and with inputs bounded in bytes for those in `limits`."""
    table = {**ethereum(base), P256: p256_verify}
    for where, most in limits.items():
        table[where] = _bounded(table[where], most)
    return table


def p256_verify(computation: Any) -> Any:
    """hash, r, s, x, y of 32 bytes each; one if the signature is good, nothing if it is not."""
    computation.consume_gas(P256_GAS, reason="P256VERIFY")
    data = computation.msg.data_as_bytes
    good = len(data) == P256_INPUT_BYTES and _p256_good(data)
    computation.output = (1).to_bytes(32, "big") if good else b""
    return computation


def _p256_good(data: bytes) -> bool:
    digest = data[:32]
    r, s, x, y = (int.from_bytes(data[at : at + 32], "big") for at in range(32, 160, 32))
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        key.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, ValueError):  # ValueError: the point is not on the curve
        return False
    return True


def modexp(computation: Any) -> Any:
    """base ** exponent % modulus."""
    data = computation.msg.data_as_bytes
    base_size, _, modulus_size, _, _ = sizes = _modexp_sizes(data)
    computation.consume_gas(_modexp_gas(*sizes), reason="MODEXP Precompile")
    computation.output = curves.modexp(data) if base_size or modulus_size else b""
    return computation


def _modexp_sizes(data: bytes) -> tuple[int, int, int, int, int]:
    """Bytes of base, exponent and modulus; words of the longer of base and modulus; rounds."""
    base, exponent, modulus = (
        int.from_bytes(_slice(data, at, WORD_BYTES), "big") for at in range(0, 96, WORD_BYTES)
    )
    head = _slice(data, MODEXP_HEAD_BYTES + base, min(exponent, WORD_BYTES))
    bits = max(int.from_bytes(head, "big").bit_length() - 1, 0)
    rounds = bits if exponent <= WORD_BYTES else 8 * (exponent - WORD_BYTES) + bits
    return base, exponent, modulus, (max(base, modulus) + 7) // 8, max(rounds, 1)


def _modexp_gas(_base: int, _exponent: int, _modulus: int, words: int, rounds: int) -> int:
    return max(MODEXP_GAS_MIN, words * words * rounds // MODEXP_GAS_DIVISOR)


def _slice(data: bytes, start: int, size: int) -> bytes:
    """`size` bytes from `start`, zeros where the input has ended."""
    return data[start : start + size].ljust(size, b"\0")


def _constant(gas: int) -> Callable[[bytes], int]:
    return lambda data: gas


def _bn_pairing_gas(data: bytes) -> int:
    return 45_000 + 34_000 * (len(data) // BN_PAIRING_BYTES)


def _bls_pairing_gas(data: bytes) -> int:
    return 37_700 + 32_600 * (len(data) // BLS_PAIRING_BYTES)


def _blake2_gas(data: bytes) -> int:
    return int.from_bytes(data[:4], "big")


def _g1_msm_gas(data: bytes) -> int:
    count = len(data) // G1_MSM_BYTES
    return _msm_gas(count, bls.BLS12_G1_MSM_GAS, bls.G1_MSM_DISCOUNTS)


def _g2_msm_gas(data: bytes) -> int:
    count = len(data) // G2_MSM_BYTES
    return _msm_gas(count, bls.BLS12_G2_MSM_GAS, bls.G2_MSM_DISCOUNTS)


def _msm_gas(count: int, each: int, discounts: Sequence[int]) -> int:
    """`discounts` per thousand for 1, 2, ... pairs; the last holds for all more."""
    if not count:
        return 0
    return count * each * discounts[min(count, len(discounts)) - 1] // 1_000


def _priced(gas: Callable[[bytes], int], run: curves.Run) -> Precompile:
    def precompile(computation: Any) -> Any:
        data = computation.msg.data_as_bytes
        computation.consume_gas(gas(data), reason="precompile")
        try:
            computation.output = run(data)
        except ValueError as error:
            raise VMError(f"precompile: {error}") from error
        return computation

    return precompile


def _bounded(precompile: Precompile, most: int) -> Precompile:
    def run(computation: Any) -> Any:
        if len(computation.msg.data_as_bytes) > most:
            raise VMError(f"precompile input over {most} bytes")
        return precompile(computation)

    return run


def seconds(where: bytes, data: bytes) -> float:
    """How long the contract at `where` takes at most, on a slow core: none looks at a clock."""
    if where == MODEXP:
        *_, words, rounds = _modexp_sizes(data)
        return rounds * (MODEXP_SECONDS_PER_ROUND + words * words * MODEXP_SECONDS_PER_PRODUCT)
    if where == BLAKE2:
        return _blake2_gas(data) * BLAKE2_SECONDS_PER_ROUND
    return SECONDS_PER_BYTE.get(where, 0.0) * len(data)


NATIVE: Final[Mapping[bytes, tuple[Callable[[bytes], int], curves.Run]]] = {
    address(0x06): (_constant(150), curves.bn_add),
    address(0x07): (_constant(6_000), curves.bn_mul),
    BN_PAIRING: (_bn_pairing_gas, curves.bn_pairing),
    BLAKE2: (_blake2_gas, curves.blake2),
    address(0x0A): (_constant(50_000), curves.point_evaluation),
    address(0x0B): (_constant(bls.BLS12_G1_ADD_GAS), curves.g1_add),
    G1_MSM: (_g1_msm_gas, curves.g1_msm),
    address(0x0D): (_constant(bls.BLS12_G2_ADD_GAS), curves.g2_add),
    G2_MSM: (_g2_msm_gas, curves.g2_msm),
    BLS_PAIRING: (_bls_pairing_gas, curves.pairing),
    address(0x10): (_constant(bls.BLS12_MAP_FP_G1_GAS), curves.map_to_g1),
    address(0x11): (_constant(bls.BLS12_MAP_FP2_G2_GAS), curves.map_to_g2),
}
