"""The precompiled contracts of OP Stack's forks: P-256 signatures and bounded inputs.

Sources: RIP-7212 (Fjord), https://specs.optimism.io/protocol/granite/exec-engine.html, the same of
Isthmus and Jovian; EIP-198 and EIP-2565 for modular exponentiation.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth.exceptions import VMError

Precompile = Callable[[Any], Any]
Table = Mapping[Any, Precompile]  # by address

P256_GAS: Final = 3_450
P256_INPUT_BYTES: Final = 160
MODEXP_GAS_MIN: Final = 200
MODEXP_GAS_DIVISOR: Final = 3
MODEXP_HEAD_BYTES: Final = 96


def address(number: int) -> bytes:
    return number.to_bytes(20, "big")


MODEXP, BN_PAIRING, P256 = address(0x05), address(0x08), address(0x100)
G1_MSM, G2_MSM, BLS_PAIRING = address(0x0C), address(0x0E), address(0x0F)

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
    """py-evm's table with its modular exponentiation put right."""
    return {**base, MODEXP: modexp}


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
    """base ** exponent % modulus.  py-evm's own gives 0 for an absent base to the power of 0, which
    is 1 everywhere else."""
    data = computation.msg.data_as_bytes
    sizes = [int.from_bytes(data[at : at + 32].ljust(32, b"\0"), "big") for at in (0, 32, 64)]
    base_size, exponent_size, modulus_size = sizes
    exponent_head = _slice(data, MODEXP_HEAD_BYTES + base_size, min(exponent_size, 32))
    gas = _modexp_gas(base_size, exponent_size, modulus_size, exponent_head)
    computation.consume_gas(gas, reason="MODEXP Precompile")
    if modulus_size == 0:
        computation.output = b""
        return computation
    at = MODEXP_HEAD_BYTES
    base = int.from_bytes(_slice(data, at, base_size), "big")
    exponent = int.from_bytes(_slice(data, at + base_size, exponent_size), "big")
    modulus = int.from_bytes(_slice(data, at + base_size + exponent_size, modulus_size), "big")
    result = pow(base, exponent, modulus) if modulus else 0
    computation.output = result.to_bytes(modulus_size, "big")
    return computation


def _modexp_gas(base_size: int, exponent_size: int, modulus_size: int, head: bytes) -> int:
    words = (max(base_size, modulus_size) + 7) // 8
    bits = max(int.from_bytes(head, "big").bit_length() - 1, 0)
    rounds = bits if exponent_size <= 32 else 8 * (exponent_size - 32) + bits
    return max(MODEXP_GAS_MIN, words * words * max(rounds, 1) // MODEXP_GAS_DIVISOR)


def _slice(data: bytes, start: int, size: int) -> bytes:
    """`size` bytes from `start`, zeros where the input has ended."""
    return data[start : start + size].ljust(size, b"\0")


def _bounded(precompile: Precompile, most: int) -> Precompile:
    def run(computation: Any) -> Any:
        if len(computation.msg.data_as_bytes) > most:
            raise VMError(f"precompile input over {most} bytes")
        return precompile(computation)

    return run
