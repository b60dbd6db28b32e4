"""The engine's plain Prague against EELS, where rules meet: depth, sizes, delegation, curves."""

from random import Random
from typing import Any

import pytest

from protocol.signature import address_of
from rollup.engine.building import Fields
from tests.evm_draw import authorization, signed
from tests.net.test_diff_eels import (
    CHAIN_ID,
    COINBASE,
    CONTRACTS,
    SECRETS,
    World,
    eels,
    needs_eels,
)
from tests.property.test_engine_curves import INPUTS, damaged

pytestmark = [needs_eels, pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")]
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 2 * HALF_ORDER + 1
HERE = CONTRACTS[0]


def forward() -> bytes:
    """CALL with the rest of the call data; SSTORE(0, success), (1, size), (2, keccak of output)."""
    return bytes.fromhex(
        "6020360360205f37"  # copy the input to memory 0
        "5f5f602036035f5f5f355af1"  # CALL(gas, word 0, 0, 0, size - 32, 0, 0)
        "5f55"  # SSTORE(0, success)
        "3d600155"  # SSTORE(1, RETURNDATASIZE)
        "3d5f5f3e3d5f20600255"  # RETURNDATACOPY, SSTORE(2, KECCAK256)
        "00"
    )


class Edges(World):
    """`code` stands at `HERE`, and nothing is drawn."""

    def __init__(self, reference: Any, code: bytes, **more: bytes) -> None:
        self.code, self.more = code, more
        self.nonces = [0] * len(SECRETS)
        super().__init__(0, reference)

    def _accounts(self) -> dict[bytes | str, Any]:
        alloc = super()._accounts()
        for address in CONTRACTS:
            del alloc[address]
        alloc[HERE] = {"code": self.code, "nonce": 1, "balance": 10**18}
        for at, code in enumerate(self.more.values(), 1):
            alloc[CONTRACTS[at]] = {"code": code, "nonce": 1, "balance": 0}
        return alloc

    def send(self, who: int = 0, kind: int = 2, **fields: Any) -> bytes:
        values: dict[str, Any] = {"to": HERE, "value": 0, "data": b"", "gas": 1_000_000, **fields}
        nonce, self.nonces[who] = self.nonces[who], self.nonces[who] + 1
        fees = {"tip": 1, "fee": 10**10, "chain_id": CHAIN_ID, "nonce": nonce}
        return signed(SECRETS[who], kind, **{**fees, **values})

    def nonce(self, address: bytes) -> int:
        fields = Fields(self.blocks.head.timestamp + 1, COINBASE, bytes(32), bytes(32), 1, b"")
        return int(self.blocks.assembly(fields).state.get_nonce(address))

    def run(self, *fields: dict[str, Any]) -> Any:
        return self.block([self.send(**each) for each in fields])


@pytest.mark.parametrize(
    "code",
    [
        "5f5f5f5f5f305af100",  # CALL itself
        "5f5f5f5f305af400",  # DELEGATECALL itself
        "5f5f5f5f305afa5f5500",  # STATICCALL itself, then SSTORE
        "385f5f39385f5ff000",  # CREATE of its own code
        "385f5f395a385f5ff500",  # CREATE2 of its own code, the salt is the gas left
        "5f5f5f5f6001305af13d5f5f3e600154600101600155",  # CALL with a coin, then count
    ],
)
def test_as_deep_as_gas_goes(code: str) -> None:
    with eels() as reference:
        said = Edges(reference, bytes.fromhex(code)).run({"gas": 14_900_000})

    assert said["included"] == [0]


@pytest.mark.slow
def test_hashes_of_ancestors() -> None:
    """Of 256 blocks, and of no other."""
    asks = "".join(
        f"61{back:04x}430340" + f"61{back:04x}55" for back in (0, 1, 2, 255, 256, 257, 0xFFFF)
    )
    with eels() as reference:
        world = Edges(reference, bytes.fromhex(asks + "5f1940" + "60ff55" + "4340" + "60fe55"))
        for _ in range(258):
            world.run()

        assert world.run({})["included"] == [0]


INITCODES = (
    "6160005ff3",  # the largest code
    "6160015ff3",  # a byte more
    "60ef5f5360015ff3",  # code that begins with EF
    "60fe5f5360015ff3",
    "5f5ff3",
    "5f5ffd",
    "30ff",  # SELFDESTRUCT to itself
    "33ff",
    "fe",
    "",
    "6001600055600160005560205ff3",
)


@pytest.mark.parametrize("gas", [53_000 + 9, 60_000, 5_000_000])
def test_what_a_creation_leaves(gas: int) -> None:
    """By a transaction, and by CREATE and CREATE2 of the call data, twice."""
    copy = bytes.fromhex("365f5f37365f34f05f55" + "5f36365f34f5600155")
    with eels() as reference:
        world = Edges(reference, copy)
        for data in map(bytes.fromhex, INITCODES):
            creates = {"to": b"", "data": data, "gas": gas, "value": 1}
            world.run(creates, {"data": data, "gas": gas, "value": 2})
            world.run({"data": data, "gas": gas, "value": 2})


@pytest.mark.slow
@pytest.mark.parametrize("size", [49_151, 49_152, 49_153])
def test_the_largest_initcode(size: int) -> None:
    code = "61" + f"{size:04x}" + "5f5ff05f55"  # CREATE of so many zeros
    with eels() as reference:
        world = Edges(reference, bytes.fromhex(code))
        world.run({"gas": 2_000_000}, {"to": b"", "data": bytes(size), "gas": 2_000_000})


def test_gas_at_its_least() -> None:
    """One less than what the transaction must have is refused, the floor of call data too."""
    data = b"\1" * 1_000 + bytes(500)
    floor, least = 21_000 + 10 * 4_500, 21_000 + 4 * 4_500
    with eels() as reference:
        world = Edges(reference, b"\x00", burns=bytes.fromhex("5b5f56"))
        for to in (HERE, CONTRACTS[1], b"\xee" * 20):
            world.run(*({"to": to, "data": data, "gas": g} for g in (floor, floor + 1, 90_000)))
        world.block([world.send(data=data, gas=floor - 1)])
        world.nonces[0] -= 1
        world.block([world.send(data=data, gas=least)])


def granted(who: int, to: bytes, nonce: int, chain_id: int = CHAIN_ID) -> list[object]:
    return authorization(SECRETS[who], chain_id, to, nonce)


def spoilt(name: str, value: int) -> list[object]:
    """With one field changed after signing: of nobody known, or no authorization at all."""
    fields = granted(4, CONTRACTS[1], 0)
    fields[("chain_id", "address", "nonce", "parity", "r", "s").index(name)] = value
    return fields


def test_delegations() -> None:
    """Valid and not, of the sender, twice, to precompiles and to another delegation."""
    stores = bytes.fromhex("325f5533600155306002553460035547600455" + "5a60055500")
    clone, other, third = (address_of(SECRETS[at]) for at in (3, 4, 5))
    sender = address_of(SECRETS[0])
    calls = b"".join(
        bytes.fromhex(
            "5f5f5f5f6001" + "73" + each.hex() + "61ffff" + "f1" + "60" + f"{at:02x}" + "55"
        )
        + bytes.fromhex("73" + each.hex() + "803b60" + f"{at + 16:02x}" + "55" + "3f60")
        + bytes([at + 32, 0x55])
        for at, each in enumerate((clone, other, third, sender))
    )
    with eels() as reference:
        world = Edges(reference, calls, stores=stores)
        target = CONTRACTS[1]
        lists: list[list[list[object]]] = [
            [granted(3, target, 0), granted(4, bytes(19) + b"\4", 0)],
            [granted(0, target, 2), granted(0, HERE, 2)],
            [granted(5, clone, 0, 0), granted(5, target, 1, 7)],
            [granted(3, bytes(20), 1), granted(3, target, 2)],
            [granted(4, bytes(20), 1)],
            [spoilt(name, value) for name, value in BAD],
            [granted(5, target, 2**64 - 1), granted(5, target, 1)],
        ]
        for grants in lists:
            world.run(
                {"kind": 4, "authorizations": grants},
                {"to": clone, "value": 5},
                {"to": third, "data": b"\1\2", "gas": 100_000},
            )
            world.nonces[0] = world.nonce(sender)
            world.run({}, {"who": 1, "to": sender, "value": 1}, {"who": 2, "to": other, "value": 1})


BAD = (
    ("parity", 2),
    ("parity", 255),
    ("s", HALF_ORDER),
    ("s", HALF_ORDER + 1),
    ("s", 0),
    ("r", 0),
    ("r", ORDER),
    ("r", 1),
    ("chain_id", 0),
    ("nonce", 2**64 - 1),
)


@pytest.mark.slow
@pytest.mark.parametrize("number", INPUTS, ids=hex)
def test_curves(number: int) -> None:
    random = Random(77 + number)
    rounds = 2 if number in (0x08, 0x0F) else 6
    with eels() as reference:
        world = Edges(reference, forward())
        for _ in range(rounds):
            data = number.to_bytes(32, "big") + damaged(random, INPUTS[number](random))

            assert world.run({"data": data, "gas": 3_000_000})["included"] == [0]


@pytest.mark.parametrize(
    "sizes", [(0, 2**256 - 1, 0), (1, 2**64, 1), (2**255, 0, 0), (0, 0, 3), (0, 40, 1), (3, 0, 2)]
)
def test_powers_of_odd_sizes(sizes: tuple[int, int, int]) -> None:
    head = b"".join(size.to_bytes(32, "big") for size in (5, *sizes))
    with eels() as reference:
        world = Edges(reference, forward())
        for tail in (b"", b"\3\2\5\1", b"\xff" * 50):
            world.run({"data": head + tail, "gas": 2_000_000})
