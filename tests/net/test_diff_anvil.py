"""The engine's OP rules against revm's, as anvil has them, on drawn Isthmus blocks.

What is compared: each transaction's status and gas, and every account. The roots themselves are
equal until a creation reverts: anvil then leaves an empty account behind, which no Ethereum client
has (EIP-161). From there on both states are compared without the empty accounts of anvil's. The
contract of EIP-4788 is left out, because anvil does not call it.
"""

import gzip
import json
import os
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import httpx
import pytest

from contracts.bedrock.genesis import L2Setup, l2_genesis
from protocol.signature import address_of
from rollup.codec.deposit import DepositTransaction
from rollup.codec.header import next_base_fee
from rollup.codec.l1_info import DEPOSITOR, L1_BLOCK, L1Info
from rollup.engine import execution
from rollup.engine.building import Fields
from rollup.engine.execution import BEACON_ROOTS
from rollup.engine.genesis import Account, Genesis, parse
from rollup.engine.op import MESSAGE_PASSER
from tests.engine_blocks import Blocks, Nodes
from tests.evm_draw import PRECOMPILES, Programs, Transactions

ROOT = Path(__file__).parents[2]
ANVIL = ROOT / "tests/npm/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
CHAIN_ID, START, GAS_LIMIT = 901, 1_700_000_000, 15_000_000
VAULT = bytes.fromhex("4200000000000000000000000000000000000011")
SECRETS = [bytes([number]) * 32 for number in range(1, 7)]
SENDERS = [address_of(secret) for secret in SECRETS]
CONTRACTS = [bytes([0xD0 + number]) * 20 for number in range(8)]
BLS = range(0x0B, 0x12)

# py-evm says at each SELFDESTRUCT that it is deprecated.
pytestmark = [
    pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning"),
    pytest.mark.skipif(
        not ANVIL.exists() and not os.environ.get("CI"), reason="npm ci --prefix tests/npm"
    ),
]


@dataclass
class Anvil:
    client: httpx.Client

    def __call__(self, method: str, *params: Any) -> Any:
        answer = self.said(method, *params)
        assert "error" not in answer, answer
        return answer["result"]

    def said(self, method: str, *params: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return self.client.post("/", json=request).json()


@contextmanager
def anvil(genesis: Any, folder: Path) -> Iterator[Anvil]:
    file = folder / "anvil.json"
    file.write_text(json.dumps(genesis))
    options = ["--no-mining", "--order", "fifo", "--disable-default-create2-deployer"]
    options += ["--accounts", "1", "--balance", "0", "--chain-id", str(CHAIN_ID), "--port", "0"]
    options += ["-n", "optimism", "--hardfork", "isthmus", "--gas-limit", str(GAS_LIMIT)]
    process = subprocess.Popen(
        [str(ANVIL), *options, "--init", str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    # Anvil tells of every transaction: nobody reads it, but a full pipe would stop it.
    reader = Thread(target=deque, args=(process.stdout, 0), daemon=True)
    try:
        line = next(line for line in process.stdout if line.startswith("Listening on "))
        reader.start()
        url = "http://" + line.removeprefix("Listening on ").strip()
        with httpx.Client(base_url=url, timeout=60) as client:
            yield Anvil(client)
    finally:
        process.kill()
        process.wait()
        if reader.is_alive():
            reader.join()
        process.stdout.close()


@dataclass
class World:
    """The same chain in both, block by block."""

    random: Random
    reference: Anvil
    blocks: Blocks
    programs: Programs
    transactions: Transactions
    raws: dict[bytes, bytes] = field(default_factory=dict)
    ancestors: list[bytes] = field(default_factory=list)
    pure: bool = True  # no creation has failed yet, as far as anvil's root tells
    counts: dict[str, int] = field(default_factory=lambda: {"in": 0, "good": 0, "deposits": 0})

    def block(self) -> None:
        header = self.blocks.head
        number, time = header.number + 1, header.timestamp + 2
        base_fee = next_base_fee(header, self.blocks.rules, time)
        self.reference("anvil_setNextBlockBaseFeePerGas", hex(base_fee))
        self.reference("evm_setNextBlockTimestamp", time)
        for raw in self.draw(number, time, base_fee):
            answer = self.reference.said("eth_sendRawTransaction", "0x" + raw.hex())
            if "result" in answer:
                self.raws[_hex(answer["result"])] = raw
        self.reference("evm_mine")
        self.follow(self.reference("eth_getBlockByNumber", "latest", False), base_fee)

    def follow(self, theirs: Any, base_fee: int) -> None:
        """Execute what anvil has put into its block, and compare."""
        raws = [self.raws[_hex(each)] for each in theirs["transactions"]]
        fields = Fields(
            int(theirs["timestamp"], 16),
            _hex(theirs["miner"]),
            _hex(theirs["mixHash"]),
            _hex(theirs.get("parentBeaconBlockRoot") or "0x" + "00" * 32),
            int(theirs["gasLimit"], 16),
            self.blocks.head.extra_data,
        )
        assert int(theirs["baseFeePerGas"], 16) == base_fee
        self.ancestors.insert(0, _hex(theirs["parentHash"]))
        assembly = self.blocks.assembly(fields, self.ancestors)
        assembly.force(raws)
        ours = self.blocks.add(assembly)
        for at, receipt in enumerate(ours.receipts):
            said = self.reference("eth_getTransactionReceipt", theirs["transactions"][at])
            found = receipt.status, receipt.gas_used
            assert found == (int(said["status"], 16), int(said["gasUsed"], 16)), raws[at].hex()
            assert len(receipt.logs) == len(said["logs"])
            self.counts["in"] += 1
            self.counts["good"] += receipt.status
            self.counts["deposits"] += raws[at][0] == 0x7E
            if receipt.created:
                self.programs.targets.append(receipt.created)
        self.pure = self.pure and ours.header.state_root == _hex(theirs["stateRoot"])
        if not self.pure:
            assert self.root_without_empties() == ours.header.state_root

    def root_without_empties(self) -> bytes:
        """The root of anvil's accounts, but for those that EIP-161 does not let exist."""
        dump = json.loads(gzip.decompress(_hex(self.reference("anvil_dumpState"))))
        accounts, empties = [], 0
        for address, fields in dump["accounts"].items():
            nonce, balance = _number(fields["nonce"]), _number(fields["balance"])
            storage = {_number(k): _number(v) for k, v in fields["storage"].items()}
            code = _hex(fields["code"])
            if nonce or balance or code:
                kept = tuple((k, v) for k, v in sorted(storage.items()) if v)
                accounts.append((_hex(address), Account(balance, nonce, code, kept)))
            else:
                empties += 1
        assert empties, "the roots differ without an empty account"
        genesis = Genesis(self.blocks.rules, START, GAS_LIMIT, 1, VAULT, tuple(accounts))
        return execution.genesis_state(Nodes(), genesis)[0]

    def draw(self, number: int, time: int, base_fee: int) -> list[bytes]:
        """The L1 attributes first, then deposits and transactions in any order."""
        nonces = {
            sender: int(
                self.reference("eth_getTransactionCount", "0x" + sender.hex(), "latest"), 16
            )
            for sender in SENDERS
        }
        count = self.random.randint(1, 8)
        drawn = [
            self.deposit(number * 100 + at)
            if self.random.random() < 0.3
            else self.transactions.draw(nonces, base_fee)
            for at in range(count)
        ]
        return [self.attributes(number, time), *drawn]

    def attributes(self, number: int, time: int) -> bytes:
        random = self.random
        info = L1Info(
            *("isthmus", number, time, random.randrange(1, 10**11), random.randbytes(32), 0),
            random.randbytes(20),
            blob_base_fee=random.choice((1, 10**9)),
            base_fee_scalar=random.randrange(5_000),
            blob_base_fee_scalar=random.randrange(10**6),
            operator_fee_scalar=random.choice((0, 250, 10**6)),
            operator_fee_constant=random.choice((0, 777)),
        )
        source = (2**200 + number).to_bytes(32, "big")
        fields = (source, DEPOSITOR, L1_BLOCK, 0, 0, 1_000_000, False, info.encode())
        return DepositTransaction(*fields).encode()

    def deposit(self, number: int) -> bytes:
        random = self.random
        sender = random.choice([*SENDERS, random.randbytes(20), bytes(20)])
        to = b"" if random.random() < 0.25 else random.choice(self.programs.targets)
        return DepositTransaction(
            number.to_bytes(32, "big"),
            sender,
            to,
            random.choice((0, 0, 10**18)),
            random.choice((0, 0, 5 * 10**17, 10**30)),
            random.choice((21_000, 100_000, 400_000)),
            False,
            self.programs.initcode(8) if not to else random.randbytes(random.choice((0, 40))),
        ).encode()


@contextmanager
def opened(seed: int, folder: Path) -> Iterator[World]:
    random = Random(seed)
    # Calls to the BLS precompiles are left to the vectors and to EELS: anvil's OP list has them as
    # py-evm does, but for the limits of Isthmus, which have tests of their own.
    precompiles = [n.to_bytes(20, "big") for n in PRECOMPILES if n not in BLS]
    targets = [*SENDERS, *CONTRACTS, *CONTRACTS, *precompiles, MESSAGE_PASSER, L1_BLOCK, VAULT]
    programs = Programs(random, targets)
    genesis = l2_genesis(
        L2Setup(
            l1={name: bytes([1]) * 20 for name in _l1_names()},
            owner=SENDERS[0],
            fee_recipient=SENDERS[1],
            timestamp=START,
            chain_id=CHAIN_ID,
            gas_limit=GAS_LIMIT,
        )
    )
    del genesis["alloc"]["0x" + BEACON_ROOTS.hex()]
    for sender in SENDERS:
        genesis["alloc"]["0x" + sender.hex()] = {"balance": hex(10**20)}
    for contract in CONTRACTS:
        code = programs.program(20)
        genesis["alloc"]["0x" + contract.hex()] = {
            "code": "0x" + code.hex(),
            "nonce": "0x1",
            "balance": hex(random.choice((0, 10**18))),
        }
    with anvil(genesis, folder) as reference:
        transactions = Transactions(programs, SECRETS, CHAIN_ID, CONTRACTS)
        world = World(random, reference, Blocks(parse(genesis)), programs, transactions)
        reference("anvil_setCoinbase", "0x" + VAULT.hex())
        yield world


def _l1_names() -> list[str]:
    return [
        *("L1CrossDomainMessenger", "L1StandardBridge", "L1CrossDomainMessengerProxy"),
        *("L1StandardBridgeProxy", "OptimismPortal", "SystemConfig", "L1ERC721Bridge"),
    ]


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _number(value: Any) -> int:
    return int(value, 16) if isinstance(value, str) else int(value)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_short_draw(seed: int, tmp_path: Path) -> None:
    with opened(seed, tmp_path) as world:
        for _ in range(8):
            world.block()

        assert world.counts["deposits"] >= 8
        assert world.counts["in"] >= 20
        assert world.counts["good"] >= 8


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_a_long_draw(seed: int, tmp_path: Path) -> None:
    with opened(seed, tmp_path) as world:
        for _ in range(40):
            world.block()

        assert world.counts["in"] >= 80
