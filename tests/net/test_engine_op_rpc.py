"""What the RPC of an OP Stack chain shows beyond Ethereum's, in op-geth's names, and its gates."""

import time
from pathlib import Path
from typing import Any

import pytest
import rlp
import trio
from eth_hash.auto import keccak
from web3 import Web3

from rollup.codec import fees
from rollup.codec.l1_info import L1Info
from rollup.codec.trie import trie_root
from rollup.engine import jwt
from rollup.engine.errors import Failure
from rollup.engine.op import MESSAGE_PASSER
from rollup.engine.op_fields import L1Costs
from rollup.engine.values import Receipt
from tests.net.op_served import SECRET, attributes_deposit, op_served
from tests.unit.optimism_world import (
    BASE_FEE,
    BASE_SCALAR,
    BLOB_FEE,
    BLOB_SCALAR,
    ETHER,
    OPERATOR_CONSTANT,
    OPERATOR_SCALAR,
    RICH,
    RICH_ADDRESS,
    deposit,
    signed,
)

POOR = b"\x55" * 20


async def test_deposits_are_shown_as_op_geth_shows_them(tmp_path: Path) -> None:
    """Type, source, mint, and the nonce that only execution knows."""
    gift = deposit(900, sender=POOR, to=b"\x66" * 20, mint=7 * ETHER, value=3 * ETHER, gas=50_000)
    made = deposit(901, sender=POOR, to=b"", data=bytes.fromhex("5f5ff3"), gas=100_000)
    async with op_served(tmp_path) as one:
        await one.extend(gift, made)
        block = await one.call("eth_getBlockByNumber", "latest", True)
        receipts = await one.call("eth_getBlockReceipts", "latest")
        raws = [await one.call("debug_getRawTransaction", t["hash"]) for t in block["transactions"]]

    first, given, creating = block["transactions"]
    assert raws == ["0x" + raw.hex() for raw in (attributes_deposit(1), gift, made)]
    assert [t["type"] for t in block["transactions"]] == ["0x7e"] * 3
    assert given["hash"] == "0x" + keccak(gift).hex()
    assert (given["sourceHash"], given["from"]) == (f"0x{900:064x}", "0x" + POOR.hex())
    assert (given["mint"], given["value"], given["gas"]) == (
        hex(7 * ETHER),
        hex(3 * ETHER),
        hex(50_000),
    )
    assert (given["nonce"], creating["nonce"], creating["to"]) == ("0x0", "0x1", None)
    for shown in block["transactions"]:
        zeros = [shown[key] for key in ("gasPrice", "v", "r", "s")]
        assert (zeros, shown["depositReceiptVersion"]) == (["0x0"] * 4, "0x1")
        assert "isSystemTx" not in shown
        assert "chainId" not in shown
    assert first["input"].startswith("0x098999be")
    assert [r["depositNonce"] for r in receipts] == ["0x0", "0x0", "0x1"]
    assert [r["depositReceiptVersion"] for r in receipts] == ["0x1"] * 3
    assert receipts[2]["contractAddress"] is not None
    assert not any("l1Fee" in r for r in receipts)


@pytest.mark.parametrize("fork", ["isthmus", "jovian"])
async def test_a_receipt_says_what_its_data_cost(tmp_path: Path, fork: str) -> None:
    """Whatever the sender lost is value, gas, the L1 fee and the operator's."""
    async with op_served(tmp_path, fork) as one:
        raw = signed(0, data=bytes(range(256)) * 3, gas=100_000)
        sent = await one.call("eth_sendRawTransaction", "0x" + raw.hex())
        before = one.node.balance(RICH_ADDRESS)
        await one.extend()
        receipt = await one.call("eth_getTransactionReceipt", sent)
        lost = before - one.node.balance(RICH_ADDRESS)

    size = fees.fjord_size(fees.flz_length(raw))
    fee = fees.fjord_l1_fee(raw, BASE_FEE, BLOB_FEE, BASE_SCALAR, BLOB_SCALAR)
    expected = {
        "l1Fee": hex(fee),
        "l1GasUsed": hex(size * 16 // 10**6),
        "l1GasPrice": hex(BASE_FEE),
        "l1BaseFeeScalar": hex(BASE_SCALAR),
        "l1BlobBaseFee": hex(BLOB_FEE),
        "l1BlobBaseFeeScalar": hex(BLOB_SCALAR),
        "operatorFeeScalar": hex(OPERATOR_SCALAR),
        "operatorFeeConstant": hex(OPERATOR_CONSTANT),
    }
    if fork == "jovian":
        footprint = hex(size // 10**6 * 400)
        expected |= {"daFootprintGasScalar": hex(400), "blobGasUsed": footprint}
    assert receipt | expected == receipt
    assert "depositNonce" not in receipt
    gas, price = int(receipt["gasUsed"], 16), int(receipt["effectiveGasPrice"], 16)
    operator = fees.operator_fee(gas, OPERATOR_SCALAR, OPERATOR_CONSTANT, jovian=fork == "jovian")
    assert lost == 1 + gas * price + fee + operator


async def test_the_pool_counts_the_fees_of_the_chain(tmp_path: Path) -> None:
    """Gas and value are covered, one wei of the L1 and operator fee is not: refused."""
    async with op_served(tmp_path) as one:
        raw = signed(0)
        fee = one.node.chain.l1_cost(one.node.chain.head.header, raw, 21_000)
        rest = one.node.balance(RICH_ADDRESS) - 21_000 * 3 * 10**9
        assert fee > fees.operator_fee(21_000, OPERATOR_SCALAR, OPERATOR_CONSTANT, jovian=False)

        dear = signed(0, value=rest - fee // 2)
        with pytest.raises(Failure, match="insufficient funds"):
            await one.call("eth_sendRawTransaction", "0x" + dear.hex())
        with pytest.raises(Failure, match="type 126 not supported"):
            await one.call("eth_sendRawTransaction", "0x" + deposit(1, mint=ETHER).hex())
        whole = {"value": rest - 2 * fee}
        await one.call("eth_sendRawTransaction", "0x" + signed(0, **whole).hex())
        with pytest.raises(Failure, match="insufficient funds"):
            await one.call("eth_sendRawTransaction", "0x" + signed(1).hex())
        # what it replaces is not paid as well
        instead = signed(0, maxFeePerGas=4 * 10**9, maxPriorityFeePerGas=2 * 10**9)
        await one.call("eth_sendRawTransaction", "0x" + instead.hex())


async def test_fees_of_the_chain_add_up_over_what_waits(tmp_path: Path) -> None:
    """The second is covered with all of its own costs, not with the first one's L1 fee too."""
    async with op_served(tmp_path) as one:
        chain, rest = one.node.chain, one.node.balance(RICH_ADDRESS)
        first, second = signed(0), signed(1)
        fee = chain.l1_cost(chain.head.header, second, 21_000)
        await one.call("eth_sendRawTransaction", "0x" + first.hex())
        left = rest - 2 * 21_000 * 3 * 10**9 - 1 - fee  # of the first, and of the second its gas

        dear = signed(1, value=left - fee // 2)
        with pytest.raises(Failure, match="insufficient funds"):
            await one.call("eth_sendRawTransaction", "0x" + dear.hex())
        await one.call("eth_sendRawTransaction", "0x" + signed(1, value=left - 2 * fee).hex())


@pytest.mark.parametrize(("scalar", "constant"), [(0, 0), (5, 0), (0, 5)])
def test_operator_fees_are_shown_unless_there_are_none(scalar: int, constant: int) -> None:
    """As op-geth: either of them brings both."""
    info = L1Info(
        *("isthmus", 1, 1, 1, b"\x11" * 32, 0, b"\x22" * 20),
        operator_fee_scalar=scalar,
        operator_fee_constant=constant,
    )
    shown = L1Costs(info).fields(signed(0), Receipt(1, 21_000, 21_000, (), b""))

    assert (
        ("operatorFeeScalar" in shown)
        == ("operatorFeeConstant" in shown)
        == bool(scalar or constant)
    )


async def test_a_small_tip_is_suggested_while_there_is_room(tmp_path: Path) -> None:
    """In a full block the median of its tips, and a tenth; deposits pay none and do not count."""
    burns = {"0x" + "ee" * 20: {"balance": "0x0", "code": "0xfe"}}
    async with op_served(tmp_path, **burns) as one:
        await one.call("eth_sendRawTransaction", "0x" + signed(0).hex())
        await one.extend()
        roomy = await one.call("eth_maxPriorityFeePerGas")
        await one.call("eth_sendRawTransaction", "0x" + signed(1).hex())
        await one.extend(deposit(9, to=b"\xee" * 20, gas=14_000_000))
        full = await one.call("eth_maxPriorityFeePerGas")
        history = await one.call("eth_feeHistory", "0x1", "latest", [0, 50, 100])

    assert (int(roomy, 16), int(full, 16)) == (10**6, 11 * 10**8)
    assert history["reward"] == [[hex(10**9)] * 3]


async def test_web3_py_reads_an_op_chain(tmp_path: Path) -> None:
    """Blocks with deposits, their receipts and proofs pass its formatters."""
    async with op_served(tmp_path) as one:
        await one.extend(deposit(900, sender=POOR, to=b"\x66" * 20, mint=7, value=3, gas=50_000))

        def look() -> tuple[Any, Any, Any, Any]:
            provider = Web3.HTTPProvider(f"http://127.0.0.1:{one.port}")
            w3 = Web3(provider)
            block = w3.eth.get_block("latest", full_transactions=True)
            given: Any = block["transactions"][1]
            receipt = w3.eth.get_transaction_receipt(given["hash"])
            proof = w3.eth.get_proof(Web3.to_checksum_address(MESSAGE_PASSER), [1], "latest")
            provider._request_session_manager.session_cache.clear()
            return block, given, receipt, proof

        block, given, receipt, proof = await trio.to_thread.run_sync(look)

    assert (given["type"], given["value"], receipt["status"]) == (126, 3, 1)
    assert block["withdrawalsRoot"] == proof["storageHash"]  # Isthmus
    assert int.from_bytes(proof["storageProof"][0]["value"], "big") == 2


async def test_raw_blocks_hash_to_what_they_are(tmp_path: Path) -> None:
    """Header, transactions and receipts, deposits among them."""
    async with op_served(tmp_path) as one:
        await one.call("eth_sendRawTransaction", "0x" + signed(0).hex())
        await one.extend(deposit(5, mint=1))
        shown = await one.call("eth_getBlockByNumber", "latest", False)
        kinds = ("Header", "Block", "Receipts")
        raw = [await one.call("debug_getRaw" + kind, "latest") for kind in kinds]

    header, block, receipts = raw
    fields: Any = rlp.decode(bytes.fromhex(block[2:]))
    assert keccak(bytes.fromhex(header[2:])).hex() == shown["hash"][2:]
    assert keccak(rlp.encode(fields[0])).hex() == shown["hash"][2:]
    assert trie_root(fields[1]).hex() == shown["transactionsRoot"][2:]
    raws = [bytes.fromhex(each[2:]) for each in receipts]
    assert trie_root(raws).hex() == shown["receiptsRoot"][2:]
    assert fields[2:] == [[], []]


async def test_tags_follow_the_three_heads(tmp_path: Path) -> None:
    """latest, safe and finalized differ; EIP-1898 finds blocks that left the chain, or not."""
    async with op_served(tmp_path) as one:
        hashes = [(await one.extend())["blockHash"] for _ in range(3)]
        await one.node.update(hashes[2], safe=hashes[1], finalized=hashes[0])
        numbers = {
            tag: (await one.call("eth_getBlockByNumber", tag, False))["number"]
            for tag in ("earliest", "finalized", "safe", "latest", "pending")
        }
        await one.node.update(hashes[1], safe=hashes[1], finalized=hashes[0])
        await one.extend(deposit(9, mint=5))
        left = {"blockHash": hashes[2]}

        assert await one.call("eth_getBalance", RICH.address, left) == hex(1_000 * ETHER)
        with pytest.raises(Failure, match="not currently canonical"):
            await one.call("eth_getBalance", RICH.address, left | {"requireCanonical": True})
        with pytest.raises(Failure, match="either"):
            await one.call("eth_getBalance", RICH.address, left | {"blockNumber": "0x0"})
        with pytest.raises(Failure, match="header not found"):
            await one.call("eth_getBalance", RICH.address, {"blockHash": "0x" + "00" * 32})

    assert list(numbers.values()) == ["0x0", "0x1", "0x2", "0x3", "0x3"]


async def test_syncing_is_told_while_parents_are_missing(tmp_path: Path) -> None:
    """A payload came whose parent did not: not in sync, until the head has reached it."""
    async with op_served(tmp_path / "far") as far, op_served(tmp_path / "near") as near:
        payloads = [await far.extend() for _ in range(3)]
        assert await near.call("eth_syncing") is False

        assert (await near.node.new(payloads[2]))["status"] == "SYNCING"
        assert await near.call("eth_syncing") == {
            "startingBlock": "0x0",
            "currentBlock": "0x0",
            "highestBlock": "0x3",
        }
        for payload in payloads:
            assert (await near.node.new(payload))["status"] == "VALID"
            await near.node.update(payload["blockHash"])
        assert await near.call("eth_syncing") is False


async def test_a_reorg_brings_transactions_back_and_tells_filters(tmp_path: Path) -> None:
    """The next block holds them again; the filter heard of both."""
    async with op_served(tmp_path) as one:
        root = (await one.extend())["blockHash"]
        blocks = await one.call("eth_newBlockFilter")
        sent = await one.call("eth_sendRawTransaction", "0x" + signed(0).hex())
        first = (await one.extend())["blockHash"]
        await one.node.update(root)

        assert await one.call("eth_getTransactionReceipt", sent) is None
        assert (await one.call("eth_getTransactionByHash", sent))["blockHash"] is None
        second = (await one.extend(deposit(9, mint=5)))["blockHash"]
        assert (await one.call("eth_getTransactionReceipt", sent))["blockHash"] == second
        assert await one.call("eth_getFilterChanges", blocks) == [first, second]


async def test_the_engine_api_is_behind_its_token(tmp_path: Path) -> None:
    """On its own port alone, and with eth_* beside it."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "engine_exchangeCapabilities", "params": [[]]}
    async with op_served(tmp_path) as one:
        urls = [f"http://127.0.0.1:{port}" for port in (one.port, one.engine_port)]
        token = {"authorization": "Bearer " + jwt.token(SECRET, time.time())}

        public = (await one.client.post(urls[0], json=body, headers=token)).json()
        without = await one.client.post(urls[1], json=body)
        granted = (await one.client.post(urls[1], json=body, headers=token)).json()
        plain = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}
        beside = (await one.client.post(urls[1], json=plain, headers=token)).json()

    assert public["error"]["code"] == -32601
    assert without.status_code == 401
    assert "engine_newPayloadV4" in granted["result"]
    assert beside["result"] == hex(901)
