"""Compiled code does what the table of opcodes does, on drawn programs."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from eth.exceptions import VMError
from eth.vm.message import Message

from protocol.signature import address_of
from rollup.engine import evm
from rollup.engine.building import Fields
from rollup.engine.evm import STATES
from rollup.engine.genesis import genesis, parse
from rollup.engine.rules import Fork
from rollup.engine.traces import (
    COMPILING,
    CREDIT_MAX,
    ENTRIES_MAX,
    OPCODES_MAX,
    PROGRAMS_MAX,
    TRACES_MAX,
    Programs,
)
from tests import engine_blocks
from tests.engine_blocks import Blocks
from tests.evm_draw import Programs as Drawn
from tests.evm_draw import Transactions

CHAIN_ID, START, GAS_LIMIT = 31_337, 1_700_000_000, 15_000_000
SECRETS = [bytes([number]) * 32 for number in range(1, 7)]
SENDERS = [address_of(secret) for secret in SECRETS]
CONTRACTS = [bytes([0xD0 + number]) * 20 for number in range(10)]
NEVER = 1 << 60


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    engine_blocks.interpret(hot=2)


def table() -> Any:
    return STATES[Fork.PRAGUE].computation_class.table


@pytest.mark.parametrize("seed", range(12))
def test_blocks_come_out_alike(seed: int) -> None:
    """Gas, logs, roots: all is in the hash."""
    found = []
    for hot in (NEVER, 1):
        engine_blocks.interpret(hot)
        random = Random(seed)
        drawn = Drawn(random, [*SENDERS, *CONTRACTS])
        alloc: dict[str, Any] = {"0x" + s.hex(): {"balance": hex(10**20)} for s in SENDERS}
        alloc |= {
            "0x" + c.hex(): {
                "balance": "0x5",
                "nonce": "0x1",
                "code": "0x" + drawn.program(30).hex(),
            }
            for c in CONTRACTS
        }
        blocks = Blocks(parse(genesis(CHAIN_ID, {}, START) | {"alloc": alloc}))
        transactions = Transactions(drawn, SECRETS, CHAIN_ID, CONTRACTS)
        nonces = dict.fromkeys(SENDERS, 0)
        for _ in range(6):
            header = blocks.head
            fields = Fields(
                header.timestamp + 2, b"\xc0" * 20, b"\x07" * 32, bytes(32), GAS_LIMIT, b""
            )
            assembly = blocks.assembly(fields)
            raws = [transactions.draw(nonces, header.base_fee or 0) for _ in range(8)]
            blocks.offer(assembly, raws)
            nonces |= assembly.nonces()
            block = blocks.add(assembly)
            found.append((hot == 1, block.hash, block.receipts))
    half = len(found) // 2
    assert [each[1:] for each in found[:half]] == [each[1:] for each in found[half:]]


STRAIGHT = [
    *(0x01, 0x02, 0x03, 0x04, 0x06, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19),
    *(0x1B, 0x1C, 0x30, 0x33, 0x34, 0x35, 0x36, 0x3D, 0x50, 0x50, 0x58, 0x5A, 0x5B, 0x5F, 0x59),
]
WORDS = [0, 1, 2, 31, 32, 255, 256, 1 << 255, (1 << 255) - 1, (1 << 256) - 1]


def straight(random: Random) -> bytes:
    """Opcodes that work on the stack and on little memory, with jumps ahead."""
    code = b""
    for _ in range(random.randrange(1, 40)):
        kind = random.random()
        if kind < 0.25:
            word = random.choice([*WORDS, random.randrange(1 << 256)])
            size = max(1, (word.bit_length() + 7) // 8)
            code += bytes([0x5F + size]) + word.to_bytes(size, "big")
        elif kind < 0.45:
            code += bytes([random.choice((0x80, 0x90)) + random.choice((0, 1, 2, 3, 7, 15))])
        elif kind < 0.55:
            where = bytes([0x60, random.randrange(200)])
            code += where + random.choice((b"\x51", b"\x52", b"\x60\x40\x90\x20", b"\x54"))
        elif kind < 0.65:
            skipped = random.randbytes(random.randrange(3))
            target = len(code) + 4 + len(skipped) + (random.random() < 0.1)
            code += bytes([0x61]) + target.to_bytes(2, "big")
            code += random.choice((b"\x56", b"\x57")) + skipped + b"\x5b"
        else:
            code += bytes([random.choice(STRAIGHT)])
    return code


def computed(state: Any, code: bytes, stack: list[Any], gas: int, hot: int) -> Any:
    """How it ends; what it leaves, unless that is lost."""
    engine_blocks.interpret(hot)
    state.clear_transient_storage()
    message = Message(
        gas, b"\xaa" * 20, b"\x05" * 20, 7, b"some calldata that is longer than a word", code
    )
    context = state.get_transaction_context_class()(gas_price=1, origin=b"\x05" * 20)
    new: Any = STATES[Fork.PRAGUE].computation_class
    computation = new(state, message, context)
    computation._stack.values.extend(stack)
    snapshot, error = state.snapshot(), None
    try:
        evm._run(computation, new.programs, state)
    except VMError as found:
        error = type(found)
    state.revert(snapshot)
    if error:
        return "failed"
    left = [
        w if isinstance(w, int) else int.from_bytes(w, "big") for w in computation._stack.values
    ]
    return left, computation._gas_meter.gas_remaining, bytes(computation._memory._bytes)


def test_straight_code_leaves_the_same() -> None:
    blocks = Blocks(parse(genesis(CHAIN_ID, {}, START)))
    fields = Fields(START + 2, b"\xc0" * 20, b"\x07" * 32, bytes(32), GAS_LIMIT, b"")
    state = blocks.assembly(fields).state
    ended = {"failed": 0, "whole": 0}
    for seed in range(600):
        random = Random(seed)
        code = straight(random)
        words = [random.choice([*WORDS, random.randrange(1 << 256)]) for _ in range(20)]
        stack: list[Any] = [
            word if random.random() < 0.8 else word.to_bytes(32, "big") for word in words
        ][: random.choice((0, 3, 8, 17, 20, 20, 20))]
        if random.random() < 0.15:
            stack = [5] * random.randrange(1005, 1025)
        gas = random.choice((10**6, 10**6, random.randrange(150)))

        wanted = computed(state, code, stack, gas, NEVER)
        assert computed(state, code, stack, gas, 1) == wanted, (seed, code.hex())
        ended["failed" if wanted == "failed" else "whole"] += 1
    assert min(ended.values()) > 80, ended


LOOP = bytes.fromhex("6000 5b 6001 01 80 620fffff 11 6002 57 00".replace(" ", ""))


class Computation:
    """As much of py-evm's as a trace touches."""

    def __init__(self, code: bytes) -> None:
        self.code: Any = type("Stream", (), {"_raw_code_bytes": code, "program_counter": 0})()
        self._gas_meter: Any = type("Meter", (), {"gas_remaining": 10**9})()
        self._stack: Any = type("Stack", (), {"values": []})()


def steps(programs: Programs, code: bytes, count: int) -> Computation:
    program, computation = programs.get(code), Computation(code)
    for _ in range(count):
        program.traces.get(computation.code.program_counter, program.run)(computation)
    return computation


def test_nothing_is_compiled_before_as_much_was_interpreted() -> None:
    programs = Programs(table(), hot=1)

    steps(programs, LOOP, 100)
    assert not programs.get(LOOP).traces
    assert 0 < programs.credit < COMPILING * OPCODES_MAX
    steps(programs, LOOP, 300)
    assert programs.get(LOOP).traces
    assert 0 <= programs.credit < COMPILING * OPCODES_MAX
    programs = Programs(table(), hot=NEVER)
    steps(programs, LOOP, CREDIT_MAX // 2)
    assert programs.credit < CREDIT_MAX + OPCODES_MAX


def test_what_is_kept_is_bounded() -> None:
    programs = Programs(table(), hot=NEVER)
    for number in range(PROGRAMS_MAX * 2):
        programs.get(b"\x5b" + number.to_bytes(2, "big"))
    assert len(programs._known) <= PROGRAMS_MAX

    many = b"\x5b" * 3 * ENTRIES_MAX
    program = programs.get(many)
    for at in range(ENTRIES_MAX * 2):
        computation = Computation(many)
        computation.code.program_counter = at
        program.run(computation)
    assert len(program._entries) <= ENTRIES_MAX

    eager = Programs(table(), hot=1)
    eager.credit = 10**12
    for start in range(TRACES_MAX + 1):
        eager.compile(many, start)
    assert eager._traces <= TRACES_MAX
