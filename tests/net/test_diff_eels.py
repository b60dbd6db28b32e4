"""The engine's plain Prague against Ethereum's executable specification, on drawn blocks.

EELS needs an environment of its own, whose Python `EELS_PYTHON` names, or .venv-eels here:
    python3 -m venv .venv-eels && .venv-eels/bin/pip install ethereum-execution==2.20.0
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol.signature import address_of
from rollup.engine.building import Fields
from rollup.engine.execution import BEACON_ROOTS, BLOCK_HASHES
from rollup.engine.genesis import genesis, parse
from tests.engine_blocks import Blocks
from tests.evm_draw import PRECOMPILES, Programs, Transactions

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("EELS_PYTHON", ROOT / ".venv-eels" / "bin" / "python"))
SCRIPT = ROOT / "tests" / "eels" / "reference.py"
CHAIN_ID, START, GAS_LIMIT = 31_337, 1_700_000_000, 15_000_000
SECRETS = [bytes([number]) * 32 for number in range(1, 7)]
SENDERS = [address_of(secret) for secret in SECRETS]
COINBASE = b"\xc0" * 20
CONTRACTS = [bytes([0xD0 + number]) * 20 for number in range(10)]
EMPTY = [b"\xee" * 20, b"\xef" * 20]
# what EIP-4788 and EIP-2935 put at their addresses
BEACON_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001f"
    "ff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff"
    "015500"
)
HASHES_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff"
    "81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)

# py-evm says at each SELFDESTRUCT that it is deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:SELFDESTRUCT:DeprecationWarning")
needs_eels = pytest.mark.skipif(
    not PYTHON.exists() and not os.environ.get("CI"),
    reason=f"EELS is not installed at {PYTHON}: see the head of this file",
)


class Eels:
    """The specification in its own process."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def eels() -> Iterator[Eels]:
    process = subprocess.Popen(
        [str(PYTHON), str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Eels(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


class World:
    """One drawn chain: the same accounts on both sides, then block by block."""

    def __init__(self, seed: int, reference: Eels) -> None:
        self.random = Random(seed)
        self.reference = reference
        precompiles = [number.to_bytes(20, "big") for number in PRECOMPILES]
        self.targets = [*SENDERS, *CONTRACTS, *CONTRACTS, *EMPTY, *precompiles, COINBASE]
        self.programs = Programs(self.random, self.targets)
        self.alloc = self._accounts()
        value = genesis(CHAIN_ID, self.alloc, START)
        self.blocks = Blocks(parse(value))
        self.transactions = Transactions(self.programs, SECRETS, CHAIN_ID, CONTRACTS)
        self._agree_on_genesis()

    def _accounts(self) -> dict[bytes | str, Any]:
        alloc: dict[bytes | str, Any] = dict.fromkeys(SENDERS, 10**20)
        alloc[BEACON_ROOTS] = {"code": BEACON_CODE, "nonce": 1}
        alloc[BLOCK_HASHES] = {"code": HASHES_CODE, "nonce": 1}
        for contract in CONTRACTS:
            alloc[contract] = {
                "code": self.programs.program(25),
                "nonce": 1,
                "balance": self.random.choice((0, 10**18)),
                "storage": {slot: self.random.randrange(1, 9) for slot in range(4)},
            }
        return alloc

    def _agree_on_genesis(self) -> None:
        alloc = {}
        for address, given in self.alloc.items():
            fields = dict(given) if isinstance(given, dict) else {"balance": given}
            if "code" in fields:
                fields["code"] = fields["code"].hex()
            alloc[address.hex() if isinstance(address, bytes) else address] = fields
        answer = self.reference.ask({"chain_id": CHAIN_ID, "alloc": alloc})
        assert answer["state_root"] == self.blocks.head.state_root.hex()

    def block(self, candidates: list[bytes]) -> Any:
        """Offer the same candidates to both; what the specification says of them."""
        blocks, parent = self.blocks, self.blocks.head
        fields = Fields(
            parent.timestamp + self.random.choice((1, 4, 12)),
            COINBASE,
            self.random.randbytes(32),
            self.random.randbytes(32),
            GAS_LIMIT,
            b"",
        )
        assembly = blocks.assembly(fields)
        entered, why = blocks.offer(assembly, candidates)
        built = blocks.add(assembly)
        said = self.reference.ask(
            {
                "number": built.header.number,
                "time": fields.timestamp,
                "coinbase": COINBASE.hex(),
                "mix_hash": fields.mix_hash.hex(),
                "gas_limit": GAS_LIMIT,
                "base_fee": assembly.base_fee,
                "beacon_root": fields.beacon_root.hex(),
                "hashes": [header.hash.hex() for header in blocks.headers[:-1]][-256:],
                "transactions": [raw.hex() for raw in candidates],
            }
        )
        assert entered == said["included"], (why, said["why"])
        assert [receipt.gas_used for receipt in built.receipts] == said["gas"]
        assert built.header.transactions_root.hex() == said["transactions_root"]
        assert built.header.receipts_root.hex() == said["receipts_root"]
        assert built.header.bloom.hex() == said["bloom"]
        assert built.header.state_root.hex() == said["state_root"]
        self.targets += [receipt.created for receipt in built.receipts if receipt.created]
        return said

    def draw(self) -> list[bytes]:
        parent = self.blocks.head
        fields = Fields(parent.timestamp + 1, COINBASE, bytes(32), bytes(32), GAS_LIMIT, b"")
        state = self.blocks.assembly(fields).state
        nonces = {sender: state.get_nonce(sender) for sender in SENDERS}
        count = self.random.randint(1, 9)
        return [self.transactions.draw(nonces, parent.base_fee or 0) for _ in range(count)]


def compare(seed: int, blocks: int) -> tuple[int, int]:
    """How many transactions entered, and how many were refused, by both alike."""
    entered = refused = 0
    with eels() as reference:
        world = World(seed, reference)
        for _ in range(blocks):
            said = world.block(world.draw())
            entered += len(said["included"])
            refused += len(said["why"])
    return entered, refused


@needs_eels
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_short_draw(seed: int) -> None:
    entered, _ = compare(seed, 6)

    assert entered >= 10


@needs_eels
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_long_draw(seed: int) -> None:
    entered, refused = compare(seed, 25)

    assert entered >= 40
    assert refused > 0
