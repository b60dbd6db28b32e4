"""The two servers that are measured: our engine through its Engine API, and anvil."""

import gzip
import json
import os
import secrets
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, Self

import httpx

from benchmarks.rollup.chain import GAS_LIMIT
from benchmarks.rollup.workload import CHAIN_ID
from rollup.codec.payload import ExecutionPayload, PayloadAttributes
from rollup.engine import execution
from rollup.engine.execution import BLOCK_HASHES
from rollup.engine.genesis import Account, load
from rollup.engine.jwt import token

ROOT = Path(__file__).parents[2]
ANVIL = ROOT / "tests/npm/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
BATCH = 100


@dataclass(frozen=True, slots=True)
class Block:
    """One block as a client got it: seconds of its parts, and what it holds.

    `build` is until the block can be read, `settle` what comes after it (only ours: the block is
    handed back, stored and made the head, as a sequencer does it).
    """

    submit: float
    build: float
    settle: float
    transactions: int
    gas: int

    @property
    def seconds(self) -> float:
        return self.submit + self.build + self.settle


class Peer(Protocol):
    def block(self, raws: list[bytes], attributes: PayloadAttributes) -> Block: ...
    def cpu(self) -> float: ...
    def resident(self) -> int: ...
    def close(self) -> None: ...


class Server:
    """A child process that says on its output where it listens."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.client = httpx.Client(timeout=120)
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def line(self, start: str) -> str:
        """The first line that starts so. What comes after is thrown away, or a full pipe would
        stop a server that tells of every transaction."""
        assert self.process.stdout is not None
        found = next(line for line in self.process.stdout if line.startswith(start))
        Thread(target=deque, args=(self.process.stdout, 0), daemon=True).start()
        return found

    def cpu(self) -> float:
        """Seconds of the process so far."""
        return time.clock_gettime(~self.process.pid << 3 | 2)  # clock_getcpuclockid(3)

    def resident(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()

    def call(self, method: str, *params: Any, url: str = "", **headers: str) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.client.post(url or self.url, json=request, headers=headers).json()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def submit(self, raws: list[bytes]) -> float:
        began = time.perf_counter()
        for at in range(0, len(raws), BATCH):
            requests = [
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "eth_sendRawTransaction",
                    "params": ["0x" + raw.hex()],
                }
                for number, raw in enumerate(raws[at : at + BATCH])
            ]
            answers = self.client.post(self.url, json=requests).json()
            refused = [answer["error"] for answer in answers if "error" in answer]
            if refused:
                raise RuntimeError(f"{len(refused)} transactions were refused: {refused[0]}")
        return time.perf_counter() - began


class Engine(Server):
    """Our engine, built and moved as a sequencer does it."""

    def __init__(self, folder: Path, name: str) -> None:
        self._data, self._secret = folder / name, secrets.token_bytes(32)
        jwt = folder / f"{name}.jwt"
        jwt.write_text(self._secret.hex())
        command = [sys.executable, "-m", "rollup.engine", "--data", str(self._data)]
        command += ["--genesis", str(folder / "genesis.json"), "--port", "0"]
        super().__init__([*command, "--engine-port", "0", "--jwt", str(jwt)])
        ports = json.loads(self.line("{"))
        self.url = f"http://127.0.0.1:{ports['port']}"
        self._engine = f"http://127.0.0.1:{ports['engine_port']}"
        self.genesis = load(folder / "genesis.json")
        self.head = bytes.fromhex(self.call("eth_getBlockByNumber", "0x0", False)["hash"][2:])
        self.last: ExecutionPayload

    def block(self, raws: list[bytes], attributes: PayloadAttributes) -> Block:
        submitted = self.submit(raws) if raws else 0.0
        began = time.perf_counter()
        state = self._state(self.head)
        asked = self._ask("engine_forkchoiceUpdatedV3", state, attributes.to_json())
        found = self._ask("engine_getPayloadV4", asked["payloadId"])["executionPayload"]
        built = time.perf_counter()
        root = "0x" + attributes.parent_beacon_block_root.hex()
        assert self._ask("engine_newPayloadV4", found, [], root, [])["status"] == "VALID"
        self.head = bytes.fromhex(found["blockHash"][2:])
        self._ask("engine_forkchoiceUpdatedV3", self._state(self.head), None)
        imported = time.perf_counter()
        self.last = ExecutionPayload.from_json(found)
        count = len(self.last.transactions) - len(attributes.transactions)
        return Block(submitted, built - began, imported - built, count, self.last.gas_used)

    def disk(self) -> int:
        """Bytes in the data directory."""
        return sum(file.stat().st_size for file in self._data.rglob("*") if file.is_file())

    def _ask(self, method: str, *params: Any) -> Any:
        bearer = "Bearer " + token(self._secret, int(time.time()))
        return self.call(method, *params, url=self._engine, authorization=bearer)

    def _state(self, head: bytes) -> dict[str, str]:
        return {
            "headBlockHash": "0x" + head.hex(),
            "safeBlockHash": "0x" + bytes(32).hex(),
            "finalizedBlockHash": "0x" + bytes(32).hex(),
        }


class Anvil(Server):
    """Anvil with revm's OP rules, mining what `ours` has just mined, with its base fee: anvil's own
    would follow Ethereum's formula."""

    def __init__(self, folder: Path, ours: Engine) -> None:
        options = ["--no-mining", "--order", "fifo", "--disable-default-create2-deployer"]
        options += ["--accounts", "1", "--balance", "0", "--chain-id", str(CHAIN_ID)]
        options += ["-n", "optimism", "--hardfork", "isthmus", "--gas-limit", str(GAS_LIMIT)]
        options += ["--init", str(folder / "genesis.json"), "--port", "0"]
        super().__init__([str(ANVIL), *options])
        self.url = "http://" + self.line("Listening on ").removeprefix("Listening on ").strip()
        self._ours = ours

    def block(self, raws: list[bytes], attributes: PayloadAttributes) -> Block:
        self.call("anvil_setCoinbase", "0x" + attributes.fee_recipient.hex())
        self.call("anvil_setNextBlockBaseFeePerGas", hex(self._ours.last.base_fee_per_gas))
        self.call("evm_setNextBlockTimestamp", attributes.timestamp)
        submitted = self.submit([*attributes.transactions, *raws])
        began = time.perf_counter()
        self.call("evm_mine")
        head = self.call("eth_getBlockByNumber", "latest", False)
        built = time.perf_counter() - began
        count = len(head["transactions"]) - len(attributes.transactions)
        return Block(submitted, built, 0.0, count, int(head["gasUsed"], 16))


class _Nodes:
    """A state that is built and thrown away."""

    split_nodes: dict[bytes, Any] = {}  # noqa: RUF012

    def node(self, name: bytes) -> None:
        return None


def same_state(ours: Engine, anvil: Anvil) -> bool:
    """Whether both have the same accounts, but for what anvil adds to the genesis by itself."""
    dump = json.loads(gzip.decompress(_hex(anvil.call("anvil_dumpState"))))["accounts"]
    accounts = []
    for name, fields in dump.items():
        address, code = _hex(name), _hex(fields["code"])
        nonce, balance = _number(fields["nonce"]), _number(fields["balance"])
        slots = {_number(k): _number(v) for k, v in fields["storage"].items()}
        if address != BLOCK_HASHES and (nonce or balance or code):
            kept = tuple((slot, value) for slot, value in sorted(slots.items()) if value)
            accounts.append((address, Account(balance, nonce, code, kept)))
    whole = replace(ours.genesis, alloc=tuple(accounts))
    return execution.genesis_state(_Nodes(), whole)[0] == ours.last.state_root


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)
