"""Our opcodes beside py-evm's own: any program does the same, gas and stack and all."""

from typing import Any

from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup.engine.evm import PlainState
from rollup.engine.execution import Environment, open_state
from rollup.engine.opcodes import OPERATIONS, jump_targets
from rollup.engine.rules import Rules
from rollup.engine.values import EMPTY_TRIE
from rollup.engine.witness import Preimages

HERE, ORIGIN = b"\x11" * 20, b"\x22" * 20
OURS: Any = PlainState.computation_class


class Theirs(OURS):  # type: ignore[misc]
    """The same machine with py-evm's opcodes alone."""


KNOWN = dict(PragueComputation.opcodes)
KNOWN[0xFF] = getattr(KNOWN[0xFF], "__wrapped__", KNOWN[0xFF])  # it warns at each execution
Theirs.table = tuple(KNOWN.get(number) or InvalidOpcode(number) for number in range(256))


def run(kind: Any, code: bytes, data: bytes, gas: int) -> tuple[Any, ...]:
    environment = Environment(1, 1_000, bytes(20), bytes(32), 10**7, 7, (bytes(32),))
    state, _ = open_state(Preimages({}), EMPTY_TRIE, Rules(1), environment)
    state.set_balance(ORIGIN, 10**18)
    new_message: Any = Message
    message = new_message(gas=gas, to=HERE, sender=ORIGIN, value=3, data=data, code=code)
    context = state.get_transaction_context_class()(gas_price=9, origin=ORIGIN)
    done = kind.apply_message(state, message, context)
    stack = [
        value if isinstance(value, int) else int.from_bytes(value, "big")
        for value in done._stack.values
    ]
    failed = done.is_error and done.error.burns_gas
    return (
        done.is_error,
        failed,
        done.get_gas_remaining(),
        done.output,
        () if failed else (stack, bytes(done._memory._bytes), done.get_log_entries()),
        state.make_state_root(),
    )


WORDS = st.one_of(
    st.integers(0, 2**256 - 1),
    st.integers(0, 300),
    st.sampled_from([0, 1, 2**255, 2**256 - 1, 2**160, 31, 32, 33]),
)


def pushed(word: int) -> bytes:
    size = max(1, (word.bit_length() + 7) // 8)
    return bytes([0x5F + size]) + word.to_bytes(size, "big")


PIECES = st.one_of(
    WORDS.map(pushed),
    st.sampled_from(sorted(OPERATIONS)).map(lambda number: bytes([number])),
    # not KECCAK256 and SSTORE: titanoboa, a plugin of these tests, puts its own into py-evm
    st.sampled_from([0x30, 0x36, 0x37, 0x53, 0x54, 0x58, 0x59, 0x5A, 0x5E, 0x5F, 0xA1]).map(
        lambda number: bytes([number])
    ),
    st.sampled_from([b"\x5b", b"\x60\x00\x56", b"\x58\x60\x03\x01\x56\x5b", b"\xf3", b"\xfd"]),
)
PROGRAMS = st.lists(PIECES, max_size=40).map(b"".join)
DATA = st.binary(max_size=70)


@settings(max_examples=300, deadline=None)
@given(PROGRAMS, DATA, st.integers(0, 60_000))
def test_a_program_does_the_same_on_both(code: bytes, data: bytes, gas: int) -> None:
    """Also when it runs out of gas or stack somewhere."""
    assert run(OURS, code, data, gas) == run(Theirs, code, data, gas)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(OPERATIONS)), WORDS, WORDS, st.integers(0, 2))
def test_each_opcode_does_the_same_on_words_at_the_edges(
    number: int, first: int, second: int, least: int
) -> None:
    """Two words on the stack, with enough below for DUP16 and SWAP16."""
    code = b"\x60\x07" * (16 * least) + pushed(first) + pushed(second) + bytes([number]) + b"\x5b"

    assert run(OURS, code, b"\xfe" * 40, 200_000) == run(Theirs, code, b"\xfe" * 40, 200_000)


@given(st.binary(max_size=200))
def test_jump_targets_are_those_of_py_evm(code: bytes) -> None:
    from eth.vm.code_stream import CodeStream

    stream: Any = CodeStream(code)
    theirs = [code[n] == 0x5B and stream.is_valid_opcode(n) for n in range(len(code))]

    assert [mark == 1 for mark in jump_targets(code)] == theirs
