"""Kill -9 of an OP Stack engine at drawn moments, while its heads go forward, back and aside."""

import random
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.net.engine_process import Rollup, rollup
from tests.unit.optimism_world import RICH_ADDRESS, signed

PAYEE = b"\x88" * 20
PAYER = "0x" + RICH_ADDRESS.hex()


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_engine_has_its_head_and_its_state(tmp_path: Path, seed: int) -> None:
    """The head is the last that was acknowledged, or the one asked for when it died; and every
    block above the fork is whole, so the chain goes on from it."""
    draw = random.Random(seed)
    told = Told()
    for _ in range(2):
        with rollup(tmp_path) as running:
            told.acknowledged = told.asked = running.head()["hash"]
            killer = threading.Timer(draw.uniform(0.05, 1.0), running.process.kill)
            killer.start()
            try:
                while True:
                    drive(running, draw, told)
            except (httpx.TransportError, ValueError):
                killer.join()
        with rollup(tmp_path) as running:
            check(running, told)


class Told:
    """The head that the engine confirmed last, and the one it was asked for last."""

    acknowledged = asked = ""


def drive(running: Rollup, draw: random.Random, told: Told) -> None:
    """A few blocks forward, now and then on another branch, now and then back."""
    head = running.head()
    number = int(head["number"], 16)
    if draw.random() < 0.2 and number > 3:
        back = hex(number - draw.randrange(1, 3))
        head = running("eth_getBlockByNumber", back, False)
        told.asked = head["hash"]  # building on it makes it the head
    nonce = int(running("eth_getTransactionCount", PAYER, "latest"), 16)
    running.answer("eth_sendRawTransaction", "0x" + signed(nonce, to=PAYEE).hex())
    payload = running.payload(head, draw.getrandbits(200))
    told.acknowledged = told.asked
    told.asked = payload["blockHash"]
    running.update(payload["blockHash"])
    told.acknowledged = told.asked


def check(running: Rollup, told: Told) -> None:
    head: Any = running.head()
    assert head["hash"] in (told.acknowledged, told.asked)
    number = int(head["number"], 16)
    paid = 0
    parent = None
    for height in range(number + 1):
        block = running("eth_getBlockByNumber", hex(height), True)
        assert parent is None or block["parentHash"] == parent
        parent = block["hash"]
        paid += sum(
            tx["to"] == "0x" + PAYEE.hex() and tx["type"] == "0x2" for tx in block["transactions"]
        )
        for transaction in block["transactions"]:
            receipt = running("eth_getTransactionReceipt", transaction["hash"])
            assert receipt["blockHash"] == block["hash"]
    assert int(running("eth_getBalance", "0x" + PAYEE.hex(), "latest"), 16) == paid
    assert int(running("eth_getTransactionCount", PAYER, "latest"), 16) == paid
    payload = running.payload(head, 7)
    running.update(payload["blockHash"])
    assert running.head()["hash"] == payload["blockHash"]
    told.acknowledged = told.asked = payload["blockHash"]


def test_the_engine_port_wants_its_token(tmp_path: Path) -> None:
    """Without it 401 and no word about the chain; the public port knows no engine_ method."""
    with rollup(tmp_path) as running:
        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "engine_exchangeCapabilities",
            "params": [[]],
        }
        assert running.client.post(running.url, json=request).status_code == 401
        assert "engine_newPayloadV4" in running("engine_exchangeCapabilities", [])
