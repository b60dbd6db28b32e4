"""What native code computes for precompiled contracts is what py-evm computes in pure Python."""

import hashlib
from collections.abc import Callable
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import VMError
from eth.precompiles.bls12_381.bls12_381_g1 import g1_optimized_3d_to_bytes
from eth.precompiles.bls12_381.bls12_381_g2 import g2_optimized_3d_to_bytes
from eth.vm.forks.prague.computation import PragueComputation
from py_ecc import optimized_bls12_381, optimized_bn128

from rollup.engine import curves, precompiles

bn: Any = optimized_bn128
bls: Any = optimized_bls12_381
BN_ORDER, BLS_ORDER = bn.curve_order, bls.curve_order
BN_FIELD, BLS_FIELD = bn.field_modulus, bls.field_modulus
PYTHON: Any = PragueComputation.get_precompiles()
SCALARS = (0, 1, 2, 2**256 - 1)
DRAWS = 12


def word(value: int, size: int = 32) -> bytes:
    return value.to_bytes(size, "big")


def bn_g1(factor: int) -> bytes:
    x, y = bn.normalize(bn.multiply(bn.G1, factor)) if factor % BN_ORDER else (bn.FQ(0), bn.FQ(0))
    return word(x.n) + word(y.n)


def bn_g2(factor: int) -> bytes:
    if not factor % BN_ORDER:
        return bytes(128)
    x, y = bn.normalize(bn.multiply(bn.G2, factor))
    return b"".join(word(int(n)) for n in (*reversed(x.coeffs), *reversed(y.coeffs)))


def g1(factor: int) -> bytes:
    return g1_optimized_3d_to_bytes(bls.multiply(bls.G1, factor)) if factor else bytes(128)


def g2(factor: int) -> bytes:
    return g2_optimized_3d_to_bytes(bls.multiply(bls.G2, factor)) if factor else bytes(256)


def outside_g1() -> bytes:
    """A point of the curve that is not in the subgroup."""
    x = next(x for x in range(4, 99) if pow(x**3 + 4, (BLS_FIELD - 1) // 2, BLS_FIELD) == 1)
    y = pow(x**3 + 4, (BLS_FIELD + 1) // 4, BLS_FIELD)
    return word(x, 64) + word(y, 64)


def few(random: Random) -> int:
    return random.choice((0, 1, 2, random.randrange(1, 1 << 30)))


def scalar(random: Random) -> bytes:
    return word(random.choice((*SCALARS, BN_ORDER, BLS_ORDER, random.getrandbits(256))))


def damaged(random: Random, data: bytes) -> bytes:
    """The input, or one near it that is probably none."""
    choice = random.randrange(4)
    if choice == 0 and data:
        at = random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
    if choice == 1:
        return data[: random.randrange(len(data) + 1)] if random.random() < 0.5 else data + b"\0"
    return data


def cancelling_bn(random: Random) -> bytes:
    a, b = random.randrange(1, 1 << 20), random.randrange(1, 1 << 20)
    return bn_g1(a * b) + bn_g2(1) + bn_g1(BN_ORDER - a) + bn_g2(b)


def cancelling_bls(random: Random) -> bytes:
    a, b = random.randrange(1, 1 << 20), random.randrange(1, 1 << 20)
    return g1(a * b) + g2(1) + g1(BLS_ORDER - a) + g2(b)


INPUTS: dict[int, Callable[[Random], bytes]] = {
    0x06: lambda r: bn_g1(few(r)) + bn_g1(few(r)),
    0x07: lambda r: bn_g1(few(r)) + scalar(r),
    0x08: lambda r: r.choice((b"", bn_g1(few(r)) + bn_g2(few(r)), cancelling_bn(r))),
    0x09: lambda r: word(r.randrange(20), 4) + r.randbytes(208) + bytes([r.randrange(3)]),
    0x0B: lambda r: g1(few(r)) + g1(few(r)),
    0x0C: lambda r: b"".join(g1(few(r)) + scalar(r) for _ in range(r.randrange(4))),
    0x0D: lambda r: g2(few(r)) + g2(few(r)),
    0x0E: lambda r: b"".join(g2(few(r)) + scalar(r) for _ in range(r.randrange(3))),
    0x0F: lambda r: r.choice((g1(few(r)) + g2(few(r)), cancelling_bls(r))),
    0x10: lambda r: word(r.choice((0, BLS_FIELD, r.randrange(BLS_FIELD))), 64),
    0x11: lambda r: word(r.choice((0, 1)), 64) + word(r.randrange(BLS_FIELD + 1), 64),
}


class Call:
    """As much of a computation as a precompile sees."""

    def __init__(self, data: bytes) -> None:
        self.msg = SimpleNamespace(data=data, data_as_bytes=data)
        self.output = b""
        self.gas = 0

    def consume_gas(self, gas: int, reason: str) -> None:
        self.gas += gas


def run(contract: Any, data: bytes) -> tuple[bytes, int] | None:
    call = Call(data)
    try:
        contract(call)
    except VMError:
        return None
    return call.output, call.gas


def both(number: int, data: bytes) -> tuple[Any, Any]:
    where = precompiles.address(number)
    return run(precompiles.ethereum(PYTHON)[where], data), run(PYTHON[where], data)


@pytest.mark.parametrize("number", INPUTS, ids=hex)
def test_output_and_gas_are_those_of_pure_python(number: int) -> None:
    random = Random(number)
    for _ in range(3 if number in (0x08, 0x0F) else DRAWS):
        data = damaged(random, INPUTS[number](random))

        ours, judge = both(number, data)

        assert ours == judge, data.hex()


@pytest.mark.slow
@pytest.mark.parametrize("number", INPUTS, ids=hex)
def test_output_and_gas_on_many_draws(number: int) -> None:
    random = Random(1_000 + number)
    for _ in range(30 if number in (0x08, 0x0F) else 300):
        data = damaged(random, INPUTS[number](random))

        ours, judge = both(number, data)

        assert ours == judge, data.hex()


@pytest.mark.parametrize("seed", range(4))
def test_powers(seed: int) -> None:
    """Python's own `pow` is the judge; py-evm's precompile is wrong for an absent base."""
    random = Random(seed)
    contract = precompiles.ethereum(PYTHON)[precompiles.MODEXP]
    for _ in range(100):
        sizes = [random.choice((0, 1, 2, 8, 31, 32, 33, 64, 100)) for _ in range(3)]
        base, exponent, modulus = (
            random.choice((0, 1, 2, 3, random.getrandbits(8 * size))) % (1 << 8 * size)
            for size in sizes
        )
        numbers = zip((base, exponent, modulus), sizes, strict=True)
        data = b"".join(map(word, sizes)) + b"".join(word(n, size) for n, size in numbers)
        result = pow(base, exponent, modulus) if modulus else 0
        expected = word(result, sizes[2])

        assert (run(contract, data) or (None,))[0] == expected, data.hex()
        assert (run(contract, data.rstrip(b"\0")) or (None,))[0] == expected, data.hex()


@pytest.mark.skipif(not curves.NATIVE, reason="pyrevm has no wheel for this Python")
@pytest.mark.parametrize("number", [0x05, *curves.SLOW], ids=hex)
def test_who_has_no_native_code_gets_the_same(number: int) -> None:
    random = Random(number)
    native = {0x05: curves.modexp, 0x06: curves.bn_add, 0x07: curves.bn_mul}
    native |= {0x08: curves.bn_pairing, 0x09: curves.blake2}
    for _ in range(2 if number == 0x08 else DRAWS):
        data = powers(random) if number == 0x05 else damaged(random, INPUTS[number](random))
        slow = curves.power if number == 0x05 else partial(curves.slowly, number)

        assert answer(native[number], data) == answer(slow, data), data.hex()


def powers(random: Random) -> bytes:
    sizes = [random.choice((0, 1, 32, 33)) for _ in range(3)]
    return b"".join(map(word, sizes)) + random.randbytes(random.randrange(sum(sizes) + 1))


def answer(contract: Callable[[bytes], bytes], data: bytes) -> bytes | None:
    try:
        return contract(data)
    except ValueError:
        return None


def test_products_of_pairings() -> None:
    random = Random(1)

    assert curves.bn_pairing(cancelling_bn(random)) == word(1)
    assert curves.pairing(cancelling_bls(random)) == word(1)
    assert curves.pairing(g1(2) + g2(3)) == word(0)


@pytest.mark.parametrize(
    ("number", "data"),
    [
        (0x0C, outside_g1() + word(1)),
        (0x0F, outside_g1() + g2(1)),
        (0x0B, bytes(15) + b"\1" + g1(1)[16:] + g1(1)),
        (0x0B, word(BLS_FIELD, 64) + word(2, 64) + g1(1)),
        (0x0B, b"\x80" + bytes(255)),
        (0x0B, bytes(16) + b"\x40" + bytes(239)),
        (0x06, word(BN_FIELD) + word(0)),
        (0x08, bn_g1(1) + word(1) * 4),
        (0x09, bytes(212) + b"\2"),
    ],
)
def test_what_is_no_input_burns_the_gas(number: int, data: bytes) -> None:
    assert both(number, data) == (None, None)


def test_a_point_outside_of_the_subgroup_may_be_added() -> None:
    ours, judge = both(0x0B, outside_g1() + g1(3))

    assert ours == judge
    assert ours is not None


def test_kzg_setup_is_read_once() -> None:
    """A contract may ask three hundred times in a block, and reading it takes seconds."""
    commitment = proof = b"\xc0" + bytes(47)  # of the polynomial that is zero everywhere
    name = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    curves._trusted_setup.cache_clear()
    good = curves.point_evaluation(name + word(7) + word(0) + commitment + proof)

    assert both(0x0A, name + word(7) + word(0) + commitment + proof)[0] == (good, 50_000)
    assert len(good) == 64
    assert curves._trusted_setup.cache_info().misses == 1
    assert both(0x0A, name + word(7) + word(1) + commitment + proof)[0] is None
    assert both(0x0A, name + word(2**256 - 1) + word(0) + commitment + proof)[0] is None
    assert curves._trusted_setup.cache_info().misses == 1


def test_every_native_contract_is_judged_here() -> None:
    numbers = {int.from_bytes(where, "big") for where in precompiles.NATIVE}

    assert numbers == {*INPUTS, 0x0A}
