"""OP Stack's own rules, coin by coin: deposits, fees, vaults, system calls, precompiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from eth_account import Account

from rollup.codec import fees
from rollup.codec.l1_info import L1Info
from rollup.engine.building import Ancestry
from rollup.engine.execution import BEACON_ROOTS, BLOCK_HASHES, storage_root
from rollup.engine.op import (
    BASE_FEE_VAULT,
    L1_FEE_VAULT,
    MESSAGE_PASSER,
    OPERATOR_FEE_VAULT,
)
from rollup.engine.values import EMPTY_REQUESTS, EMPTY_TRIE, Receipt
from tests.unit.optimism_world import (
    BASE_FEE,
    BASE_SCALAR,
    BLOB_FEE,
    BLOB_SCALAR,
    CHAIN_ID,
    DEPOSITOR,
    OPERATOR_CONSTANT,
    OPERATOR_SCALAR,
    RICH_ADDRESS,
    SEQUENCER_VAULT,
    START,
    Node,
    deposit,
    node,
    signed,
)

POOR, PAYEE = b"\x55" * 20, b"\x99" * 20
FORKS = ("holocene", "isthmus", "jovian")
# stores the word 1 in slot 0, then reverts
REVERTS = "0x60015f555f5ffd"
# forwards its call data to the address in its first word, stores the first word returned in slot 0
# and the success in slot 1:  CALLDATACOPY(0, 0, size); CALL(gas, word0, 0, 32, size - 32, 0, 32)
FORWARD = "0x365f5f3760205f60203603602060005f515af15f51" + "5f55600155" + "00"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Node]:
    accounts = {
        "0x" + "aa" * 20: {"balance": "0x0", "code": REVERTS},
        "0x" + "bb" * 20: {"balance": "0x0", "code": FORWARD},
    }
    with node(tmp_path / "data", **accounts) as running:
        yield running


def deposits(engine: Node, *raws: bytes) -> list[str]:
    first = engine.attributes()["transactions"]
    return [*first, *("0x" + raw.hex() for raw in raws)]


async def forced(engine: Node, *raws: bytes) -> tuple[Receipt, ...]:
    """The receipts of these transactions in a block of their own."""
    await engine.extend(transactions=deposits(engine, *raws), noTxPool=True)
    return engine.chain.head.receipts[1:]


@pytest.mark.parametrize("fork", FORKS)
async def test_every_coin_of_a_fee_arrives(tmp_path: Path, fork: str) -> None:
    """Gas to the vaults of base fee and tips, data to L1's, the operator's part since Isthmus."""
    raw = signed(0, to=PAYEE, value=5, data=b"\1\0\2", gas=100_000)
    l1_fee = fees.fjord_l1_fee(raw, BASE_FEE, BLOB_FEE, BASE_SCALAR, BLOB_SCALAR)
    with node(tmp_path / "data", fork) as engine:
        (transaction,) = engine.pooled(raw)
        before = engine.balance(RICH_ADDRESS)
        if fork == "jovian":
            attributes = engine.attributes(transactions=[jovian_attributes(400)])
            payload = await engine.extend(transactions=attributes["transactions"])
        else:
            payload = await engine.extend()

        receipt = engine.chain.head.receipts[1]
        base_fee = int(payload["baseFeePerGas"], 16)
        rate = OPERATOR_SCALAR * 100 if fork == "jovian" else OPERATOR_SCALAR / 10**6
        operator = int(receipt.gas_used * rate) + OPERATOR_CONSTANT
        operator = 0 if fork == "holocene" else operator
        gas = receipt.gas_used
        assert receipt.l1_fee == l1_fee > 0
        assert engine.balance(BASE_FEE_VAULT) == gas * base_fee
        assert engine.balance(SEQUENCER_VAULT) == gas * (transaction.price(base_fee) - base_fee)
        assert engine.balance(L1_FEE_VAULT) == l1_fee
        assert engine.balance(OPERATOR_FEE_VAULT) == operator
        spent = 5 + gas * transaction.price(base_fee) + l1_fee + operator
        assert engine.balance(RICH_ADDRESS) == before - spent


@pytest.mark.parametrize("fork", FORKS)
async def test_a_header_is_that_of_its_fork(tmp_path: Path, fork: str) -> None:
    with node(tmp_path / "data", fork) as engine:
        raws = [jovian_attributes(400)] if fork == "jovian" else engine.attributes()["transactions"]
        await engine.extend(transactions=raws)
        header = engine.chain.head.header

        sizes = {"holocene": 9, "isthmus": 9, "jovian": 17}
        assert len(header.extra_data) == sizes[fork]
        assert (header.requests_hash is None) == (fork == "holocene")
        if fork == "holocene":
            assert header.withdrawals_root == EMPTY_TRIE
        else:
            state = engine.chain.state(header)
            assert header.withdrawals_root == storage_root(state, MESSAGE_PASSER)
            assert header.withdrawals_root != EMPTY_TRIE
            assert header.requests_hash == EMPTY_REQUESTS


async def test_a_deposit_mints_and_pays_nothing(engine: Node) -> None:
    """It needs no balance, no signature and no fee; its nonce stands in the receipt."""
    raws = [deposit(n, sender=POOR, to=PAYEE, mint=10, value=7, gas=50_000) for n in (1, 2)]

    first, second = await forced(engine, *raws)

    assert (first.status, first.deposit_nonce, first.gas_used) == (1, 0, 21_000)
    assert (second.deposit_nonce, second.gas_used_cumulative) == (
        1,
        first.gas_used_cumulative + 21_000,
    )
    assert (engine.balance(POOR), engine.balance(PAYEE)) == (6, 14)
    assert all(engine.balance(vault) == 0 for vault in (BASE_FEE_VAULT, L1_FEE_VAULT))
    assert first.encode(0x7E)[-2:] == b"\x80\x01"


@pytest.mark.parametrize(
    ("fields", "gas_used"),
    [
        ({"value": 100}, 50_000),  # more than it has
        ({"gas": 20_000}, 20_000),  # less than any transaction takes
        ({"is_system": True}, 50_000),
        ({"to": b"", "data": bytes(49_153), "gas": 10**7}, 10**7),  # initcode too long
        ({"to": b"\xaa" * 20}, None),  # reverts
        ({"to": b"", "data": b"\xfe"}, None),  # creates by an invalid opcode
        ({"data": bytes(5_000), "gas": 60_000}, 60_000),  # under the floor of EIP-7623
    ],
    ids=str,
)
async def test_a_failed_deposit_keeps_its_mint_and_its_nonce(
    engine: Node, fields: Any, gas_used: int | None
) -> None:
    """Whatever fails, it is in the block; what fails before it runs uses all of its gas."""
    values = {"sender": POOR, "to": PAYEE, "mint": 10, "gas": 50_000, **fields}

    (receipt,) = await forced(engine, deposit(1, **values))

    state = engine.chain.state(engine.chain.head.header)
    assert (receipt.status, receipt.deposit_nonce, receipt.logs) == (0, 0, ())
    assert (state.get_balance(POOR), state.get_nonce(POOR)) == (10, 1)
    assert state.get_storage(b"\xaa" * 20, 0) == 0
    assert receipt.gas_used == gas_used or gas_used is None


async def test_the_floor_of_calldata_holds_for_deposits(engine: Node) -> None:
    """EIP-7623: 10 gas for a zero byte, 40 for another, when execution takes less."""
    (receipt,) = await forced(engine, deposit(1, to=PAYEE, data=b"\1" * 1_000))

    assert receipt.gas_used == 21_000 + 40 * 1_000


async def test_a_deposit_creates(engine: Node) -> None:
    """At the address of its sender's nonce."""
    code = b"\x60\x05\x60\x0c\x60\x00\x39\x60\x05\x60\x00\xf3HELLO"

    (receipt,) = await forced(engine, deposit(1, sender=POOR, to=b"", data=code, gas=200_000))

    state = engine.chain.state(engine.chain.head.header)
    assert (receipt.status, len(receipt.created)) == (1, 20)
    assert state.get_code(receipt.created) == b"HELLO"
    assert (state.get_nonce(receipt.created), state.get_nonce(POOR)) == (1, 1)


async def test_a_deposit_of_nothing_to_nobody_leaves_no_account(engine: Node) -> None:
    """EIP-161: an empty account that was touched is gone."""
    nobody = b"\x12" * 20

    await forced(engine, deposit(1, sender=POOR, to=nobody))

    state = engine.chain.state(engine.chain.head.header)
    assert not state.account_exists(nobody)
    assert state.account_exists(POOR)
    assert state.account_exists(DEPOSITOR)


async def test_deposits_over_the_gas_limit_make_no_block(engine: Node) -> None:
    """The gas that a deposit asks for must be there, used or not."""
    await engine.begin(transactions=deposits(engine, deposit(1, gas=14_900_000)), noTxPool=True)
    with pytest.raises(Exception, match="gas limit reached"):
        await engine.begin(transactions=deposits(engine, deposit(1, gas=14_980_000)), noTxPool=True)


async def test_what_a_sender_cannot_pay_besides_gas_is_refused(engine: Node) -> None:
    """Data and operator fee count when the transaction is let in."""
    key = Account.from_key("0x" + "cd" * 32)
    poor = bytes.fromhex(key.address[2:])
    values: dict[str, Any] = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": 0,
        "to": PAYEE,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 10**9,
        "maxPriorityFeePerGas": 0,
    }
    raw = bytes(key.sign_transaction(values).raw_transaction)
    l1_fee = fees.fjord_l1_fee(raw, BASE_FEE, BLOB_FEE, BASE_SCALAR, BLOB_SCALAR)
    operator = 21_000 * OPERATOR_SCALAR // 10**6 + OPERATOR_CONSTANT
    cost = 21_000 * 10**9 + l1_fee + operator
    assert engine.chain.l1_cost(engine.chain.head.header, raw, 21_000) == l1_fee + operator

    given = deposit(1, sender=DEPOSITOR, to=poor, mint=cost - 1, value=cost - 1)
    with pytest.raises(Exception, match="insufficient funds"):
        await engine.begin(transactions=deposits(engine, given, raw), noTxPool=True)
    given = deposit(1, sender=DEPOSITOR, to=poor, mint=cost, value=cost)
    _, receipt = await forced(engine, given, raw)
    assert receipt.status == 1


def jovian_attributes(scalar: int) -> str:
    info = L1Info(
        fork="jovian",
        number=1,
        time=START,
        base_fee=BASE_FEE,
        hash=bytes(32),
        sequence_number=0,
        batcher=bytes(20),
        overhead=0,
        scalar=0,
        blob_base_fee=BLOB_FEE,
        base_fee_scalar=BASE_SCALAR,
        blob_base_fee_scalar=BLOB_SCALAR,
        operator_fee_scalar=OPERATOR_SCALAR,
        operator_fee_constant=OPERATOR_CONSTANT,
        da_footprint_gas_scalar=scalar,
    )
    return "0x" + deposit(7, data=info.encode()).hex()


async def test_jovian_counts_data_as_gas(tmp_path: Path) -> None:
    """The footprint stands in the header, limits the block, and moves the base fee."""
    with node(tmp_path / "data", "jovian") as engine:
        engine.pooled(*(signed(n) for n in range(3)))
        payload = await engine.extend(transactions=[jovian_attributes(65_000)])

        assert len(payload["transactions"]) == 1 + 2
        assert int(payload["blobGasUsed"], 16) == 2 * 100 * 65_000 <= 15_000_000
        assert len(engine.pool) == 1  # it only waits for room
        child = await engine.extend(transactions=[jovian_attributes(400)], minBaseFee=10**12)
        assert int(child["baseFeePerGas"], 16) > int(payload["baseFeePerGas"], 16)
        grandchild = await engine.extend(transactions=[jovian_attributes(400)])
        assert int(grandchild["baseFeePerGas"], 16) == 10**12


async def test_a_jovian_block_needs_its_attributes(tmp_path: Path) -> None:
    with node(tmp_path / "data", "jovian") as engine:
        engine.pooled(signed(0))
        payload_id = await engine.begin(transactions=["0x" + deposit(1).hex()], noTxPool=True)
        with pytest.raises(Exception, match="attributes"):
            await engine.get(payload_id)


async def test_the_system_contracts_are_told_of_parent_and_beacon(tmp_path: Path) -> None:
    """EIP-4788 and EIP-2935, by their published code."""
    from eth.vm.forks.cancun.constants import BEACON_ROOTS_CONTRACT_CODE
    from eth.vm.forks.prague.constants import HISTORY_STORAGE_CONTRACT_CODE

    accounts = {
        "0x" + BEACON_ROOTS.hex(): {
            "nonce": "0x1",
            "code": "0x" + BEACON_ROOTS_CONTRACT_CODE.hex(),
        },
        "0x" + BLOCK_HASHES.hex(): {
            "nonce": "0x1",
            "code": "0x" + HISTORY_STORAGE_CONTRACT_CODE.hex(),
        },
    }
    with node(tmp_path / "data", **accounts) as engine:
        await engine.extend()
        header = engine.chain.head.header
        state = engine.chain.state(header)
        at = header.timestamp % 8191
        assert state.get_storage(BEACON_ROOTS, at) == header.timestamp
        assert state.get_storage(BEACON_ROOTS, at + 8191) == int("33" * 32, 16)
        assert state.get_storage(BLOCK_HASHES, 0) == int.from_bytes(header.parent_hash, "big")


async def called(engine: Node, number: int, data: bytes, gas: int = 5_000_000) -> tuple[int, bytes]:
    """Success and first word of a call of a precompile, from inside of a contract."""
    at = b"\xbb" * 20
    raw = deposit(number, to=at, data=number.to_bytes(32, "big") + data, gas=gas)
    await forced(engine, raw)
    state = engine.chain.state(engine.chain.head.header)
    return state.get_storage(at, 1), state.get_storage(at, 0).to_bytes(32, "big")


async def test_precompiles(engine: Node) -> None:
    """P-256 at 0x100, bounded pairings, and 0 to the power of 0."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    digest = bytes(range(32))
    signature = key.sign(digest, ec.ECDSA(utils.Prehashed(SHA256())))
    r, s = utils.decode_dss_signature(signature)
    public = key.public_key().public_numbers()
    data = digest + b"".join(n.to_bytes(32, "big") for n in (r, s, public.x, public.y))
    assert await called(engine, 0x100, data) == (1, (1).to_bytes(32, "big"))
    assert (await called(engine, 0x100, data[:-1] + b"\0"))[1] != (1).to_bytes(32, "big")

    sizes = (0, 0, 1)
    head = b"".join(n.to_bytes(32, "big") for n in sizes)
    assert (await called(engine, 5, head + b"\x07"))[1][0] == 1


def test_pairings_are_bounded_by_bytes() -> None:
    """Granite's, Isthmus's and Jovian's limits; at the limit it still runs, out of gas."""
    from eth.exceptions import OutOfGas, VMError

    from rollup.engine import precompiles
    from rollup.engine.evm import HoloceneState, IsthmusState, JovianState

    class Computation:
        def __init__(self, size: int) -> None:
            self.msg = self
            self.data = self.data_as_bytes = bytes(size)

        def consume_gas(self, amount: int, reason: str) -> None:
            raise OutOfGas(reason)

    for state, limits in (
        (HoloceneState, precompiles.GRANITE_LIMITS),
        (IsthmusState, precompiles.ISTHMUS_LIMITS),
        (JovianState, precompiles.JOVIAN_LIMITS),
    ):
        table = state.computation_class.get_precompiles()
        for address, most in limits.items():
            with pytest.raises(VMError, match="over"):
                table[address](Computation(most + 1))
            with pytest.raises(VMError) as caught:
                table[address](Computation(most))
            assert "over" not in str(caught.value)


def test_ancestors_can_be_asked_for_twice() -> None:
    """Each is looked up once, and a second question starts again at the parent."""
    asked: list[bytes] = []

    def parent_of(block_hash: bytes) -> bytes | None:
        asked.append(block_hash)
        return None if block_hash == b"\0" else bytes([block_hash[0] - 1])

    ancestors = Ancestry(b"\3", parent_of)

    assert [*ancestors] == [*ancestors] == [b"\3", b"\2", b"\1", b"\0"]
    assert asked[:4] == [b"\3", b"\2", b"\1", b"\0"]


async def test_block_hashes_of_several_ancestors(tmp_path: Path) -> None:
    """One call that asks for the parent, then its parent, then the parent again."""
    # BLOCKHASH(NUMBER - n) into slot n, for n = 1, 2, and 1 again into slot 3
    ask = "60{:02x}430340" + "60{:02x}55"
    code = "0x" + ask.format(1, 1) + ask.format(2, 2) + ask.format(1, 3) + "00"
    with node(tmp_path / "data", **{"0x" + "cc" * 20: {"balance": "0x0", "code": code}}) as engine:
        await engine.extend()
        await engine.extend()
        await forced(engine, deposit(1, to=b"\xcc" * 20))

        state = engine.chain.state(engine.chain.head.header)
        hashes = [engine.chain.blocks.hash_of(n) or b"" for n in (2, 1, 2)]
        for slot, expected in zip((1, 2, 3), hashes, strict=True):
            assert state.get_storage(b"\xcc" * 20, slot).to_bytes(32, "big") == expected
