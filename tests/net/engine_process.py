"""The engine as a child process, on a free port, with a rich account."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from eth_account import Account
from eth_account.signers.local import LocalAccount

from rollup.engine.genesis import genesis
from rollup.engine.jwt import token
from tests.unit import optimism_world

CHAIN_ID = 31_337
START = 1_700_000_000
RICH: LocalAccount = Account.from_key("0x" + "ac" * 32)
PATIENCE = 60.0
# emits LOG1(topic 1) with the word 42 and returns it
RUNTIME = bytes.fromhex("602a5f52600160205fa160205ff3")
INITCODE = bytes.fromhex("6d") + RUNTIME + bytes.fromhex("5f52600e6012f3")


@dataclass
class Engine:
    """Speaks JSON-RPC without a client library, so that tests can say anything."""

    process: "subprocess.Popen[str]"
    port: int
    client: httpx.Client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.client.post(self.url, json=request).json()

    def __call__(self, method: str, *params: Any) -> Any:
        answer = self.answer(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def build(self) -> Any:
        head = self("eth_getBlockByNumber", "latest", False)
        return self("openledger_buildBlock", hex(int(head["timestamp"], 16) + 2))

    def send(self, nonce: int, **fields: Any) -> str:
        signed = transaction(nonce, **fields)
        return str(self("eth_sendRawTransaction", "0x" + signed.hex()))


def transaction(nonce: int, **fields: Any) -> bytes:
    values = {
        "type": 2,
        "chainId": CHAIN_ID,
        "nonce": nonce,
        "value": 0,
        "gas": 300_000,
        "maxFeePerGas": 3 * 10**9,
        "maxPriorityFeePerGas": 10**9,
        **fields,
    }
    return bytes(RICH.sign_transaction(values).raw_transaction)


def arguments(directory: Path, port: int = 0, timestamp: int = START) -> list[str]:
    """The command line; writes the genesis file beside the data directory."""
    path = directory / f"genesis-{timestamp}.json"
    path.write_text(json.dumps(genesis(CHAIN_ID, {RICH.address: 10**24}, timestamp)))
    command = [sys.executable, "-m", "rollup.engine", "--data", str(directory / "data")]
    return [*command, "--port", str(port), "--genesis", str(path)]


def ends(command: list[str]) -> tuple[int, str]:
    """Exit code and standard error of a process that must end by itself."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stderr


SECRET = "0x" + "5a" * 32


@dataclass
class Rollup(Engine):
    """An engine with OP rules, whose Engine API this drives; all calls go to that port."""

    @property
    def client_headers(self) -> dict[str, str]:
        secret = bytes.fromhex(SECRET[2:])
        return {"authorization": "Bearer " + token(secret, time.time())}

    def answer(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = self.client_headers
        return self.client.post(self.url, json=request, headers=headers).json()

    def head(self) -> Any:
        return self("eth_getBlockByNumber", "latest", False)

    def update(self, head: str, attributes: Any = None) -> Any:
        zero = "0x" + "00" * 32
        state = {"headBlockHash": head, "safeBlockHash": zero, "finalizedBlockHash": zero}
        return self("engine_forkchoiceUpdatedV3", state, attributes)

    def payload(self, parent: Any, randao: int = 0) -> Any:
        """A payload on a block, stored but not the head."""
        number = int(parent["number"], 16) + 1
        attributes = {
            "timestamp": hex(int(parent["timestamp"], 16) + 2),
            "prevRandao": "0x" + randao.to_bytes(32, "big").hex(),
            "suggestedFeeRecipient": "0x4200000000000000000000000000000000000011",
            "withdrawals": [],
            "parentBeaconBlockRoot": "0x" + "33" * 32,
            "transactions": ["0x" + optimism_world.deposit(number).hex()],
            "noTxPool": False,
            "gasLimit": hex(15_000_000),
            "eip1559Params": "0x000000fa00000006",
        }
        begun = self.update(parent["hash"], attributes)
        payload = self("engine_getPayloadV4", begun["payloadId"])["executionPayload"]
        status = self("engine_newPayloadV4", payload, [], "0x" + "33" * 32, [])
        assert status["status"] == "VALID", status
        return payload


@contextmanager
def rollup(directory: Path, *options: str) -> Iterator[Rollup]:
    """An OP Stack engine on an Isthmus genesis."""
    genesis_file, secret = directory / "rollup.json", directory / "jwt.hex"
    genesis_file.write_text(json.dumps(optimism_world.genesis_json()))
    secret.write_text(SECRET)
    command = [sys.executable, "-m", "rollup.engine", "--data", str(directory / "data")]
    command += ["--port", "0", "--engine-port", "0", "--genesis", str(genesis_file)]
    command += ["--jwt", str(secret), "--parent-pid", str(os.getpid()), *options]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
    ):
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["engine_port"]
            yield Rollup(process, port, client)
        finally:
            process.kill()
            process.wait()


@contextmanager
def engine(directory: Path, *options: str) -> Iterator[Engine]:
    command = [*arguments(directory), "--parent-pid", str(os.getpid()), *options]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        httpx.Client(timeout=PATIENCE, trust_env=False) as client,
    ):
        try:
            assert process.stdout is not None
            port = json.loads(process.stdout.readline())["port"]
            yield Engine(process, port, client)
        finally:
            process.kill()
            process.wait()
