"""L1 blocks through JSON-RPC: proven by their hash, or refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_hash.auto import keccak

from protocol.errors import Malformed, Refused, Temporary
from rollup.codec.header import Header
from rollup.engine.chain import Chain
from rollup.engine.genesis import genesis, parse
from rollup.engine.kv import KeyValues
from rollup.sources.l1 import L1, blob_base_fee, fractions_of
from rollup.sources.transactions import encode, recover
from tests.derive_world import make_config
from tests.engine_call import EngineCall

RICH: LocalAccount = Account.from_key("0x" + "ac" * 32)
RICH_ADDRESS = bytes.fromhex(RICH.address[2:])
INBOX = b"\xff" * 20
CHAIN_ID = 31_337
START = 1_700_000_000
# emits LOG1(topic 1) with the word 42 at creation
LOGGING = bytes.fromhex("602a5f52600160205fa100")


def signed(**fields: Any) -> bytes:
    values = {"chainId": CHAIN_ID, "value": 0, "gas": 300_000, **fields}
    return bytes(RICH.sign_transaction(values).raw_transaction)


def transactions() -> list[bytes]:
    """One of each type that needs no blob, in order of their nonces."""
    fees = {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**9}
    access = [{"address": RICH.address, "storageKeys": ["0x" + "11" * 32]}]
    grant = RICH.sign_authorization({"chainId": CHAIN_ID, "address": b"\x77" * 20, "nonce": 9})
    inbox = {"to": INBOX, "data": b"\0frames"}
    return [
        signed(nonce=0, gasPrice=3 * 10**9, **inbox),
        signed(nonce=1, gasPrice=3 * 10**9, accessList=access, type=1, **inbox),
        signed(nonce=2, **fees, type=2, data=LOGGING),
        signed(nonce=3, **fees, type=4, to=RICH.address, authorizationList=[grant]),
        signed(nonce=4, **fees, type=2, to=b"\x99" * 20, accessList=access),
    ]


@contextmanager
def l1_call(folder: Path) -> Iterator[EngineCall]:
    store = KeyValues(folder)
    try:
        yield EngineCall(Chain(store, parse(genesis(CHAIN_ID, {RICH_ADDRESS: 10**24}, START))))
    finally:
        store.close()


async def build(call: EngineCall) -> bytes:
    """A block with all of them; its hash."""
    for raw in transactions():
        await call.call("eth_sendRawTransaction", "0x" + raw.hex())
    await call.call("openledger_buildBlock", hex(START + 4))
    block = await call.call("eth_getBlockByNumber", "latest", False)
    assert len(block["transactions"]) == len(transactions())
    return bytes.fromhex(block["hash"][2:])


async def test_a_block_has_what_was_sent_and_who_sent_it(tmp_path: Path) -> None:
    with l1_call(tmp_path) as call:
        block_hash = await build(call)

        block = await L1(call).block(block_hash)

        raws = transactions()
        assert [tx.hash for tx in block.transactions] == [keccak(raw) for raw in raws]
        assert {tx.sender for tx in block.transactions} == {RICH_ADDRESS}
        assert [tx.to for tx in block.transactions][:3] == [INBOX, INBOX, b""]
        assert [tx.kind for tx in block.transactions] == [0, 1, 2, 4, 2]
        assert block.transactions[0].data == b"\0frames"
        assert [(log.index, log.transaction) for log in block.logs] == [(0, 2)]
        assert block.logs[0].data == (42).to_bytes(32, "big")
        head = call.chain.head
        assert block.ref == await L1(call).head("latest")
        assert block.base_fee == head.header.base_fee
        assert block.mix_hash == head.header.mix_hash


async def test_a_block_is_asked_for_once(tmp_path: Path) -> None:
    with l1_call(tmp_path) as call:
        block_hash = await build(call)
        l1 = L1(call)
        first = await l1.block(block_hash)
        call.change = lambda method, result: pytest.fail("asked again")

        assert await l1.block(block_hash) is first


LIES = {
    "another sender's signature": ("eth_getBlockByHash", lambda b: _edit(b, 0, r="0x1")),
    "other data": ("eth_getBlockByHash", lambda b: _edit(b, 0, input="0x00")),
    "another recipient": ("eth_getBlockByHash", lambda b: _edit(b, 0, to="0x" + "00" * 20)),
    "a transaction less": (
        "eth_getBlockByHash",
        lambda b: {**b, "transactions": b["transactions"][1:]},
    ),
    "another header": ("eth_getBlockByHash", lambda b: {**b, "mixHash": "0x" + "00" * 32}),
    "a type that nobody knows": ("eth_getBlockByHash", lambda b: _edit(b, 0, type="0x9")),
    "no transactions": ("eth_getBlockByHash", lambda b: {**b, "transactions": None}),
    "another log": (
        "eth_getBlockReceipts",
        lambda r: [{**one, "logs": [{**log, "data": "0x"} for log in one["logs"]]} for one in r],
    ),
    "no log": ("eth_getBlockReceipts", lambda r: [{**one, "logs": []} for one in r]),
    "a receipt less": ("eth_getBlockReceipts", lambda r: r[1:]),
    "a status": ("eth_getBlockReceipts", lambda r: [{**one, "status": "0x0"} for one in r]),
}


def _edit(block: Any, at: int, **fields: str) -> Any:
    sent = list(block["transactions"])
    sent[at] = {**sent[at], **fields}
    return {**block, "transactions": sent}


@pytest.mark.parametrize("lie", LIES)
async def test_what_the_hash_does_not_prove_is_malformed(tmp_path: Path, lie: str) -> None:
    method, change = LIES[lie]
    with l1_call(tmp_path) as call:
        block_hash = await build(call)
        call.change = lambda asked, result: change(result) if asked == method else result

        with pytest.raises(Malformed):
            await L1(call).block(block_hash)


async def test_the_numbers_of_logs_are_counted_not_believed(tmp_path: Path) -> None:
    with l1_call(tmp_path) as call:
        block_hash = await build(call)

        def lie(method: str, result: Any) -> Any:
            if method != "eth_getBlockReceipts":
                return result
            return [
                {**one, "logs": [{**log, "logIndex": "0x7"} for log in one["logs"]]}
                for one in result
            ]

        call.change = lie

        assert [log.index for log in (await L1(call).block(block_hash)).logs] == [0]


async def test_an_unknown_block_is_a_matter_of_time(tmp_path: Path) -> None:
    with l1_call(tmp_path) as call:
        l1 = L1(call)

        with pytest.raises(Temporary):
            await l1.block(bytes(32))
        assert await l1.ref_by_number(5) is None


async def test_receipts_one_by_one_where_the_node_knows_no_other_way(tmp_path: Path) -> None:
    with l1_call(tmp_path) as call:
        block_hash = await build(call)
        wanted = await L1(call).block(block_hash)

        class Old:
            async def call(self, method: str, *params: Any) -> Any:
                if method == "eth_getBlockReceipts":
                    error = Refused("no such method")
                    error.code = -32601  # type: ignore[attr-defined]
                    raise error
                return await call.call(method, *params)

        assert await L1(Old()).block(block_hash) == wanted


async def test_only_senders_to_the_inbox_are_recovered(tmp_path: Path) -> None:
    """The sender that a node claims counts for nothing where it matters."""
    with l1_call(tmp_path) as call:
        block_hash = await build(call)

        def lie(method: str, result: Any) -> Any:
            if method != "eth_getBlockByHash":
                return result
            sent = [{**one, "from": "0x" + "66" * 20} for one in result["transactions"]]
            return {**result, "transactions": sent}

        call.change = lie
        block = await L1(call, inbox=INBOX).block(block_hash)

        senders = {tx.to: tx.sender for tx in block.transactions}
        assert senders[INBOX] == RICH_ADDRESS
        assert senders[b"\x99" * 20] == b"\x66" * 20


def test_a_blob_transaction_encodes_as_eth_account_signs_it() -> None:
    fields = {
        "type": 3,
        "chainId": 1,
        "nonce": 7,
        "to": INBOX,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": 10,
        "maxPriorityFeePerGas": 1,
        "maxFeePerBlobGas": 5,
        "blobVersionedHashes": [b"\x01" + b"\x22" * 31],
        "data": b"",
    }
    done = RICH.sign_transaction(fields)
    found = {
        **{k: hex(v) for k, v in fields.items() if isinstance(v, int)},
        "to": "0x" + INBOX.hex(),
        "input": "0x",
        "accessList": [],
        "blobVersionedHashes": ["0x01" + "22" * 31],
        "yParity": hex(done.v),
        "r": hex(done.r),
        "s": hex(done.s),
    }

    assert encode(found) == bytes(done.raw_transaction)
    assert recover(found) == RICH_ADDRESS


def test_an_unprotected_legacy_transaction_has_a_sender() -> None:
    """Before EIP-155; v is 27 or 28."""
    done = RICH.sign_transaction({"nonce": 1, "to": INBOX, "value": 0, "gas": 9, "gasPrice": 1})
    found = {
        "nonce": "0x1",
        "gasPrice": "0x1",
        "gas": "0x9",
        "to": "0x" + INBOX.hex(),
        "value": "0x0",
        "input": "0x",
        "v": hex(done.v),
        "r": hex(done.r),
        "s": hex(done.s),
    }

    assert done.v in (27, 28)
    assert encode(found) == bytes(done.raw_transaction)
    assert recover(found) == RICH_ADDRESS


def test_the_blob_base_fee_of_known_blocks() -> None:
    """EIP-4844's own formula at its ends: 1 wei without excess, e-fold at the fraction."""
    assert blob_base_fee(0, 3338477) == 1
    assert blob_base_fee(3338477 * 10, 3338477) == 22026
    assert blob_base_fee(5007716 * 2, 5007716) == 7


def _header(time: int, prague: bool = True) -> Header:
    fields: dict[str, Any] = dict.fromkeys(
        ("parent_hash", "uncles_hash", "state_root", "transactions_root", "receipts_root"),
        bytes(32),
    )
    fields |= dict.fromkeys(("difficulty", "number", "gas_limit", "gas_used"), 0)
    rest: dict[str, Any] = {
        "coinbase": bytes(20),
        "bloom": bytes(256),
        "extra_data": b"",
        "mix_hash": bytes(32),
    }
    later: dict[str, Any] = {"base_fee": 1, "withdrawals_root": bytes(32), "blob_gas_used": 0}
    later |= {"excess_blob_gas": 0, "parent_beacon_block_root": bytes(32)}
    return Header(
        **fields,
        **rest,
        **later,
        timestamp=time,
        nonce=bytes(8),
        requests_hash=bytes(32) if prague else None,
    )


def test_the_fraction_of_the_blob_fee_follows_the_l1() -> None:
    """Ethereum's blob parameter forks, and the repair of L2s that missed Prague's fraction."""
    mainnet = fractions_of(make_config(l1_chain_id=1))
    sepolia = fractions_of(
        make_config(l1_chain_id=11155111, pectra_blob_schedule_time=1_742_486_400)
    )

    assert mainnet(_header(1_740_000_000, prague=False)) == 3338477
    assert [mainnet(_header(time)) for time in (1765290070, 1765290071, 1767747671)] == [
        5007716,
        8346193,
        11684671,
    ]
    assert sepolia(_header(1_742_486_399)) == 3338477
    assert sepolia(_header(1_742_486_400)) == 5007716
    assert sepolia(_header(1_761_607_008)) == 11684671
    assert fractions_of(make_config())(_header(1_761_607_008)) == 5007716


def test_an_excess_that_no_l1_has_is_malformed_at_once() -> None:
    with pytest.raises(Malformed):
        blob_base_fee((1 << 64) - 1, 3338477)
