"""web3.py, unchanged, against a running engine: deploy, call, logs, receipts, fees, errors."""

from collections.abc import Iterator
from typing import Any

import pytest
from web3 import Web3
from web3.exceptions import (
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3RPCError,
)

from tests.net.engine_process import CHAIN_ID, INITCODE, RICH, RUNTIME, START, Engine, engine

PAYEE = b"\x99" * 20
# reverts with Error("no")
REVERTS = bytes.fromhex(
    "7f08c379a0" + "00" * 28 + "5f526020600452600260245261" + b"no".hex() + "60f01b60445260645ffd"
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine(tmp_path_factory.mktemp("engine"), "--allow-rollback") as process:
        yield process


@pytest.fixture(scope="module")
def w3(running: Engine) -> Iterator[Web3]:
    provider = Web3.HTTPProvider(running.url)
    yield Web3(provider)
    provider._request_session_manager.session_cache.clear()


@pytest.fixture(scope="module")
def contract(running: Engine) -> str:
    running.send(0, data=INITCODE)
    block = running.build()
    receipt = running("eth_getTransactionReceipt", block["transactions"][0]["hash"])
    return Web3.to_checksum_address(receipt["contractAddress"])


def nonce(w3: Web3) -> int:
    return w3.eth.get_transaction_count(RICH.address, "pending")


def test_the_chain_introduces_itself(w3: Web3) -> None:
    """What every client asks first."""
    first = w3.eth.get_block(0)

    assert w3.eth.chain_id == CHAIN_ID
    assert w3.net.version == str(CHAIN_ID)
    assert w3.client_version.startswith("OpenLedger/")
    assert w3.eth.syncing is False
    assert (first["number"], first["timestamp"], first["gasLimit"]) == (0, START, 15_000_000)


def test_a_contract_is_deployed_called_and_heard(w3: Web3, running: Engine, contract: str) -> None:
    """Code, call, estimate, transaction, receipt and logs agree with each other."""
    sent = w3.eth.send_raw_transaction(
        RICH.sign_transaction(
            {
                "chainId": CHAIN_ID,
                "to": contract,
                "nonce": nonce(w3),
                "gas": w3.eth.estimate_gas({"from": RICH.address, "to": contract}),
                "maxFeePerGas": 2 * w3.eth.gas_price,
                "maxPriorityFeePerGas": w3.eth.max_priority_fee,
                "value": 0,
            }
        ).raw_transaction
    )
    waiting = w3.eth.get_transaction(sent)
    running.build()
    receipt = w3.eth.wait_for_transaction_receipt(sent, timeout=5)
    block = w3.eth.get_block(receipt["blockHash"], full_transactions=True)
    logs = w3.eth.get_logs({"fromBlock": 0, "address": contract, "topics": [None]})

    assert waiting.get("blockHash") is None
    assert bytes(w3.eth.get_code(contract)) == RUNTIME
    assert int.from_bytes(w3.eth.call({"to": contract}), "big") == 42
    assert receipt["status"] == 1
    assert block["transactions"][0]["hash"] == sent  # type: ignore[index,typeddict-item]
    assert logs == receipt["logs"]
    assert logs[0]["topics"][0] == (1).to_bytes(32, "big")
    assert w3.eth.get_logs({"fromBlock": 0, "topics": ["0x" + "22" * 32]}) == []
    assert running("eth_getBlockReceipts", hex(receipt["blockNumber"]))[0]["gasUsed"] == hex(
        receipt["gasUsed"]
    )


def test_a_legacy_and_an_access_list_transaction_are_taken(w3: Web3, running: Engine) -> None:
    """Old wallets sign type 0, some tools type 1."""
    old = {"to": PAYEE, "value": 1, "gas": 21_000, "gasPrice": 10**10}
    common = {**old, "chainId": CHAIN_ID}
    first = RICH.sign_transaction({**common, "nonce": nonce(w3)})
    listed = {**common, "nonce": nonce(w3) + 1, "gas": 60_000, "type": 1}
    listed["accessList"] = [{"address": "0x" + "33" * 20, "storageKeys": ["0x" + "00" * 32]}]
    second = RICH.sign_transaction(listed)

    hashes = [w3.eth.send_raw_transaction(tx.raw_transaction) for tx in (first, second)]
    running.build()

    receipts = [w3.eth.get_transaction_receipt(h) for h in hashes]
    assert [r["gasUsed"] for r in receipts] == [21_000, 21_000 + 2_400 + 1_900]
    assert [w3.eth.get_transaction(h)["type"] for h in hashes] == [0, 1]
    assert w3.eth.get_balance(Web3.to_checksum_address("0x" + PAYEE.hex())) == 2


def test_fee_history_has_one_base_fee_more_than_blocks(w3: Web3, contract: str) -> None:
    """The next block's base fee comes with it; rewards at each percentile."""
    history = w3.eth.fee_history(2, "latest", [0, 50, 100])

    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1
    assert all(len(rewards) == 3 for rewards in history["reward"])
    assert history["baseFeePerGas"][-1] < 10**9


def test_a_revert_carries_its_reason(w3: Web3, running: Engine) -> None:
    """In eth_call and in eth_estimateGas, as error code 3 with the data."""
    running.send(nonce(w3), data=b"\x60%c\x80\x60\x0a\x5f\x39\x5f\xf3\x00" % len(REVERTS) + REVERTS)
    block = running.build()
    address = w3.eth.get_transaction_receipt(block["transactions"][0]["hash"])["contractAddress"]
    assert address is not None

    with pytest.raises(ContractLogicError, match="no"):
        w3.eth.call({"to": address})
    with pytest.raises(ContractLogicError, match="no"):
        w3.eth.estimate_gas({"to": address})
    error = running.answer("eth_call", {"to": address}, "latest")["error"]
    assert (error["code"], error["message"]) == (3, "execution reverted: no")
    assert error["data"].startswith("0x08c379a0")


def test_the_past_can_be_asked(w3: Web3, running: Engine, contract: str) -> None:
    """Every block's state stays readable by number, by hash and by tag."""
    assert w3.eth.get_balance(RICH.address, 0) == 10**24
    assert w3.eth.get_code(contract, 0) == b""
    assert w3.eth.get_balance(RICH.address, "earliest") == 10**24
    assert w3.eth.get_storage_at(contract, 0) == bytes(32)
    by_hash = {"blockHash": running("eth_getBlockByNumber", "0x0", False)["hash"]}
    assert running("eth_getBalance", RICH.address, by_hash) == hex(10**24)


def test_what_is_not_there_is_said_in_the_usual_words(w3: Web3, running: Engine) -> None:
    """web3.py recognises each and raises its own error."""
    stale = _transfer(0)
    with pytest.raises(BlockNotFound):
        w3.eth.get_block(10**6)
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction("0x" + "11" * 32)
    with pytest.raises(Web3RPCError, match="nonce too low"):
        w3.eth.send_raw_transaction(stale)
    with pytest.raises(Web3RPCError, match="insufficient funds"):
        w3.eth.send_raw_transaction(_transfer(nonce(w3), value=10**30))
    with pytest.raises(Web3RPCError, match="insufficient funds"):
        w3.eth.call({"from": "0x" + "98" * 20, "to": RICH.address, "value": 1})


def test_a_waiting_transaction_is_replaced_for_ten_percent_more(w3: Web3, running: Engine) -> None:
    """Less is refused; the replaced one never appears."""
    n = nonce(w3)
    first = w3.eth.send_raw_transaction(_transfer(n))

    with pytest.raises(Web3RPCError, match="underpriced"):
        w3.eth.send_raw_transaction(_transfer(n, maxFeePerGas=3 * 10**9 + 1))
    second = w3.eth.send_raw_transaction(
        _transfer(n, maxFeePerGas=4 * 10**9, maxPriorityFeePerGas=2 * 10**9)
    )
    running.build()

    assert w3.eth.get_transaction_receipt(second)["status"] == 1
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction(first)


def test_a_call_may_be_made_on_another_state(w3: Web3, contract: str) -> None:
    """Balance, code, nonce and storage as the caller wants them, for this call alone."""
    loads = "0x5f545f5260205ff3"  # returns slot 0
    balance = "0x475f5260205ff3"  # returns its own balance
    call: Any = {"to": contract}

    def word(override: Any) -> int:
        return int.from_bytes(w3.eth.call(call, "latest", {contract: override}), "big")

    assert word({"code": loads}) == 0
    assert word({"code": loads, "stateDiff": {"0x" + "00" * 32: "0x" + "00" * 31 + "07"}}) == 7
    assert word({"code": loads, "state": {"0x" + "00" * 32: "0x" + "00" * 31 + "08"}}) == 8
    assert word({"code": balance, "balance": "0x63"}) == 99
    rich = {"0x" + "98" * 20: {"balance": hex(10**20)}}
    spend: Any = {"from": "0x" + "98" * 20, "to": contract, "value": 10**19}
    assert int.from_bytes(w3.eth.call(spend, "latest", rich), "big") == 42  # type: ignore[arg-type]
    assert w3.eth.estimate_gas(spend, "latest", rich) > 21_000  # type: ignore[arg-type]
    assert int.from_bytes(w3.eth.call(call), "big") == 42
    with pytest.raises(Web3RPCError, match="both state and stateDiff"):
        word({"state": {}, "stateDiff": {}})


def test_state_that_is_wiped_holds_only_what_is_given(w3: Web3, running: Engine) -> None:
    """`state` takes the rest of an account's storage away, `stateDiff` does not."""
    stores = "600760015560086002555f5ff3"  # slots 1 and 2, and no code
    running.send(nonce(w3), data=bytes.fromhex(stores))
    made = running.build()["transactions"][0]["hash"]
    address = w3.eth.get_transaction_receipt(made)["contractAddress"]
    both = "0x6001546002540160005260206000f3"  # returns their sum
    one = {"0x" + "00" * 31 + "01": "0x" + "00" * 31 + "01"}
    assert address is not None

    sums = [
        int.from_bytes(w3.eth.call({"to": address}, "latest", {address: each}), "big")
        for each in ({"code": both}, {"code": both, "stateDiff": one}, {"code": both, "state": one})
    ]

    assert sums == [15, 9, 1]


def test_an_access_list_names_what_the_call_touches(w3: Web3, running: Engine) -> None:
    """Slots read and accounts looked at; the sender, the recipient and precompiles only by slots.

    With the list in it the same call costs what was said.
    """
    # SLOAD(5), BALANCE(0x99..), CALL to the identity precompile
    code = bytes.fromhex("600554" + "73" + "99" * 20 + "31" + "5f5f5f5f5f60045af1" + "00")
    initcode = b"\x60%c\x80\x60\x0a\x5f\x39\x5f\xf3\x00" % len(code) + code
    running.send(nonce(w3), data=initcode)
    address = running("eth_getTransactionReceipt", running.build()["transactions"][0]["hash"])[
        "contractAddress"
    ]

    call: dict[str, Any] = {"from": RICH.address, "to": address}
    found = running("eth_createAccessList", call, "latest")
    entries = [(each["address"], each["storageKeys"]) for each in found["accessList"]]
    expected = [(address, ["0x" + "00" * 31 + "05"]), ("0x" + "99" * 20, [])]
    assert sorted(entries) == sorted(expected)
    sent = running.send(
        nonce(w3), to=bytes.fromhex(address[2:]), accessList=found["accessList"], gas=100_000
    )
    running.build()
    assert running("eth_getTransactionReceipt", sent)["gasUsed"] == found["gasUsed"]


def test_filters_follow_the_chain(w3: Web3, running: Engine, contract: str) -> None:
    """web3.py's own filter objects, for logs, blocks and pending transactions."""
    logs = w3.eth.filter({"address": contract})  # type: ignore[arg-type,typeddict-item]
    blocks, pending = w3.eth.filter("latest"), w3.eth.filter("pending")
    sent = running.send(nonce(w3), to=bytes.fromhex(contract[2:]))
    block = running.build()

    assert [log["transactionHash"].to_0x_hex() for log in logs.get_new_entries()] == [sent]
    assert [h.to_0x_hex() for h in blocks.get_new_entries()] == [block["hash"]]  # type: ignore[attr-defined]
    assert [h.to_0x_hex() for h in pending.get_new_entries()] == [sent]  # type: ignore[attr-defined]
    assert logs.get_new_entries() == []
    assert w3.eth.uninstall_filter(logs.filter_id)  # type: ignore[arg-type]
    with pytest.raises(Web3RPCError, match="filter not found"):
        logs.get_new_entries()


def test_proofs_and_raw_forms_come_through(w3: Web3, running: Engine, contract: str) -> None:
    """get_proof, raw transactions, transactions of a block by its hash, and what waits."""
    sent = running.send(nonce(w3), to=PAYEE, gas=21_000, value=1)
    inspected = running("txpool_inspect")["pending"]
    content = running("txpool_content")["pending"]
    block = running.build()
    proof = w3.eth.get_proof(contract, [0], "latest")  # type: ignore[arg-type]
    raw = w3.eth.get_raw_transaction(sent)  # type: ignore[arg-type]

    assert proof["nonce"] == 1
    assert [int.from_bytes(s["value"], "big") for s in proof["storageProof"]] == [0]
    assert Web3.keccak(raw).to_0x_hex() == sent
    assert w3.eth.get_raw_transaction_by_block(block["hash"], 0) == raw  # type: ignore[attr-defined]
    assert w3.eth.get_block_transaction_count(block["hash"]) == 1
    (waiting,) = content[RICH.address.lower()].values()
    assert (waiting["hash"], waiting["blockHash"]) == (sent, None)
    assert "1 wei + 21000 gas" in next(iter(inspected[RICH.address.lower()].values()))
    assert running("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_a_fee_that_cannot_enter_soon_is_refused(w3: Web3, running: Engine) -> None:
    """Below half of the next base fee; a little below waits."""
    base_fee = w3.eth.fee_history(1, "latest")["baseFeePerGas"][-1]
    low = {"maxPriorityFeePerGas": 1}

    with pytest.raises(Web3RPCError, match="underpriced"):
        w3.eth.send_raw_transaction(_transfer(nonce(w3), maxFeePerGas=base_fee // 2 - 1, **low))
    waiting = w3.eth.send_raw_transaction(
        _transfer(nonce(w3), maxFeePerGas=base_fee * 9 // 10, **low)
    )
    assert w3.eth.get_transaction(waiting).get("blockHash") is None
    running.send(w3.eth.get_transaction(waiting)["nonce"], to=PAYEE, maxPriorityFeePerGas=10**8)
    running.build()


def test_a_rollback_forgets_later_blocks_and_the_chain_goes_on(w3: Web3, running: Engine) -> None:
    """Only with the flag; for tests of reorgs."""
    before = w3.eth.get_block("latest")
    sent = w3.eth.send_raw_transaction(_transfer(nonce(w3)))
    gone = running.build()

    running("openledger_rollback", hex(before["number"]))

    assert w3.eth.block_number == before["number"]
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction_receipt(sent)
    other = running.build()
    assert other["number"] == gone["number"]
    assert other["hash"] != gone["hash"]
    assert other["parentHash"] == before["hash"].to_0x_hex()


def _transfer(n: int, **fields: int) -> bytes:
    from tests.net.engine_process import transaction

    return transaction(n, to=PAYEE, gas=21_000, **{"value": 1, **fields})
