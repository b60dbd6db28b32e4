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
from tests.evm_draw import PRECOMPILES, Programs, authorization, precompile_input, signed

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
        self.nonces = dict.fromkeys(SENDERS, 0)
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
        state = self.blocks.assembly(Fields(
            self.blocks.head.timestamp + 1, COINBASE, bytes(32), bytes(32), GAS_LIMIT, b""
        )).state  # fmt: skip
        self.nonces = {sender: state.get_nonce(sender) for sender in SENDERS}
        return [self.transaction() for _ in range(self.random.randint(1, 9))]

    def transaction(self) -> bytes:
        random = self.random
        which = random.randrange(len(SECRETS))
        sender, kind = SENDERS[which], random.choice((0, 1, 2, 2, 2, 4))
        to = b"" if kind != 4 and random.random() < 0.2 else random.choice(self.targets)
        number = int.from_bytes(to, "big")
        if not to:
            data = self.programs.initcode(12)
        elif number in PRECOMPILES:
            data = precompile_input(random, number)
        else:
            data = random.randbytes(random.choice((0, 0, 4, 36, 100)))
        fee = self.blocks.head.base_fee or 0
        wrong = random.random()
        fields: dict[str, Any] = {
            # EELS 2.20.0 takes typed transactions of any chain; geth and we do not.
            "chain_id": CHAIN_ID + (wrong < 0.01 and kind == 0),
            "nonce": self.nonces[sender] + (0.01 < wrong < 0.03) - (0.03 < wrong < 0.04),
            "tip": random.choice((0, 1, 10**9)),
            "fee": 0 if 0.04 < wrong < 0.06 else 2 * fee + random.randrange(3 * 10**9),
            "gas": random.choice((21_000, 60_000, 100_000, 300_000, 1_000_000, 3_000_000)),
            "to": to,
            "value": 10**30 if 0.06 < wrong < 0.08 else random.choice((0, 0, 1, 10**15)),
            "data": data,
        }
        fields["nonce"] = max(0, fields["nonce"])
        if kind:
            fields["access"] = [
                (random.choice(self.targets), [random.randrange(8).to_bytes(32, "big")] * count)
                for count in random.choices((0, 1, 2), k=random.randrange(3))
            ]
        if kind == 4:
            fields["authorizations"] = [self.authorization() for _ in range(random.randrange(3))]
        self.nonces[sender] += wrong < 0.01 or wrong > 0.08
        return signed(SECRETS[which], kind, **fields)

    def authorization(self) -> list[object]:
        random = self.random
        which = random.randrange(len(SECRETS))
        nonce = self.nonces[SENDERS[which]] + random.choice((0, 0, 0, 1))
        chain_id = random.choice((0, CHAIN_ID, CHAIN_ID, 7))
        to = random.choice((*CONTRACTS, *CONTRACTS, bytes(20), *SENDERS))
        return authorization(SECRETS[which], chain_id, to, nonce)


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

    assert entered > 10


@needs_eels
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 130))
def test_a_long_draw(seed: int) -> None:
    entered, refused = compare(seed, 25)

    assert entered > 60
    assert refused > 0
