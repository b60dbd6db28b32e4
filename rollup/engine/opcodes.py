"""The opcodes that code spends its time in, in less Python than py-evm's own; the rest is py-evm's.

Each takes the computation, pays its gas and works on the stack's list at once. Words are ints here;
py-evm's opcodes take and leave ints or bytes. An exception burns all gas of its message whichever
it is, so the order of checks does not matter.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from eth.exceptions import FullStack, InsufficientStack, InvalidJumpDestination, OutOfGas
from eth.vm.logic.invalid import InvalidOpcode

Operation = Callable[[Any], Any]

WORD_MASK: Final = 2**256 - 1
WORD_BYTES: Final = 32
STACK_MAX: Final = 1024
MEMORY_WORD, MEMORY_SQUARE = 3, 512
BASE, VERY_LOW, LOW, MID, HIGH, JUMPDEST_GAS = 2, 3, 5, 8, 10, 1
JUMPDEST, PUSH1, PUSH32, SELFDESTRUCT = 0x5B, 0x60, 0x7F, 0xFF
ANALYSES_MAX: Final = 512

_analyses: dict[bytes, bytes] = {}


def table(opcodes: Mapping[int, Any]) -> tuple[Operation, ...]:
    """256 operations for a fork's opcodes; none of ours is one that the fork lacks.

    py-evm wraps SELFDESTRUCT to warn at every execution that it is deprecated: what is inside.
    """
    known = {number: OPERATIONS.get(number, theirs) for number, theirs in opcodes.items()}
    known[SELFDESTRUCT] = getattr(known[SELFDESTRUCT], "__wrapped__", known[SELFDESTRUCT])
    return tuple(known.get(number) or InvalidOpcode(number) for number in range(256))


def jump_targets(code: bytes) -> bytes:
    """For each byte of code, 1 where a JUMPDEST stands that is not the data of a PUSH."""
    known = _analyses.get(code)
    if known is not None:
        return known
    targets, at, size = bytearray(len(code)), 0, len(code)
    while at < size:
        opcode = code[at]
        if opcode == JUMPDEST:
            targets[at] = 1
        at += opcode - PUSH1 + 2 if PUSH1 <= opcode <= PUSH32 else 1
    if len(_analyses) >= ANALYSES_MAX:
        _analyses.clear()
    found = _analyses[code] = bytes(targets)
    return found


def _pay(computation: Any, gas: int) -> list[Any]:
    """The stack, after paying."""
    meter = computation._gas_meter
    left = meter.gas_remaining - gas
    if left < 0:
        raise OutOfGas("out of gas")
    meter.gas_remaining = left
    values: list[Any] = computation._stack.values
    return values


def grow(computation: Any, end: int) -> None:
    """Make the memory reach to `end`, in whole words, and pay (yellow paper, appendix H)."""
    memory, meter = computation._memory, computation._gas_meter
    old, new = len(memory._bytes) // WORD_BYTES, (end + WORD_BYTES - 1) // WORD_BYTES
    cost = MEMORY_WORD * (new - old) + new * new // MEMORY_SQUARE - old * old // MEMORY_SQUARE
    left = meter.gas_remaining - cost
    if left < 0:
        raise OutOfGas("out of gas")
    meter.gas_remaining = left
    memory.extend(end - WORD_BYTES, WORD_BYTES)


def _two(values: list[Any]) -> tuple[int, int]:
    if len(values) < 2:
        raise InsufficientStack("wanted two stack items")
    left, right = values.pop(), values.pop()
    if left.__class__ is not int:
        left = int.from_bytes(left, "big")
    if right.__class__ is not int:
        right = int.from_bytes(right, "big")
    return left, right


def _one(values: list[Any]) -> int:
    if not values:
        raise InsufficientStack("wanted a stack item")
    value = values.pop()
    return value if value.__class__ is int else int.from_bytes(value, "big")


def _push(size: int) -> Operation:
    def push(computation: Any) -> None:
        values = _pay(computation, VERY_LOW)
        if len(values) >= STACK_MAX:
            raise FullStack("stack limit reached")
        code = computation.code
        start = code.program_counter
        end = code.program_counter = start + size
        word = code._raw_code_bytes[start:end]
        if len(word) < size:  # the code ends in its data
            word = word.ljust(size, b"\0")
        values.append(int.from_bytes(word, "big"))

    return push


def _dup(position: int) -> Operation:
    def dup(computation: Any) -> None:
        values = _pay(computation, VERY_LOW)
        if not position <= len(values) < STACK_MAX:
            raise InsufficientStack(f"no room or no item for DUP{position}")
        values.append(values[-position])

    return dup


def _swap(position: int) -> Operation:
    at = -position - 1

    def swap(computation: Any) -> None:
        values = _pay(computation, VERY_LOW)
        if len(values) <= position:
            raise InsufficientStack(f"no item for SWAP{position}")
        values[-1], values[at] = values[at], values[-1]

    return swap


def pop(computation: Any) -> None:
    values = _pay(computation, BASE)
    if not values:
        raise InsufficientStack("wanted a stack item")
    values.pop()


def jumpdest(computation: Any) -> None:
    _pay(computation, JUMPDEST_GAS)


def jump(computation: Any) -> None:
    _go(computation.code, _one(_pay(computation, MID)))


def jumpi(computation: Any) -> None:
    target, condition = _two(_pay(computation, HIGH))
    if condition:
        _go(computation.code, target)


def _go(code: Any, target: int) -> None:
    targets = jump_targets(code._raw_code_bytes)
    if target >= len(targets) or not targets[target]:
        raise InvalidJumpDestination("invalid jump destination")
    code.program_counter = target


def add(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append((left + right) & WORD_MASK)


def mul(computation: Any) -> None:
    values = _pay(computation, LOW)
    left, right = _two(values)
    values.append((left * right) & WORD_MASK)


def sub(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append((left - right) & WORD_MASK)


def div(computation: Any) -> None:
    values = _pay(computation, LOW)
    left, right = _two(values)
    values.append(left // right if right else 0)


def lt(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append(1 if left < right else 0)


def gt(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append(1 if left > right else 0)


def eq(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append(1 if left == right else 0)


def iszero(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    values.append(0 if _one(values) else 1)


def bit_and(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append(left & right)


def bit_or(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    left, right = _two(values)
    values.append(left | right)


def bit_not(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    values.append(_one(values) ^ WORD_MASK)


def shl(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    shift, value = _two(values)
    values.append((value << shift) & WORD_MASK if shift < 256 else 0)


def shr(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    shift, value = _two(values)
    values.append(value >> shift if shift < 256 else 0)


def calldataload(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    start = _one(values)
    word = computation.msg.data_as_bytes[start : start + WORD_BYTES]
    values.append(int.from_bytes(word, "big") << 8 * (WORD_BYTES - len(word)))


def mload(computation: Any) -> None:
    values = _pay(computation, VERY_LOW)
    start = _one(values)
    end = start + WORD_BYTES
    if end > len(computation._memory._bytes):
        grow(computation, end)
    values.append(int.from_bytes(computation._memory._bytes[start:end], "big"))


def mstore(computation: Any) -> None:
    start, value = _two(_pay(computation, VERY_LOW))
    end = start + WORD_BYTES
    if end > len(computation._memory._bytes):
        grow(computation, end)
    computation._memory._bytes[start:end] = value.to_bytes(WORD_BYTES, "big")


OPERATIONS: Final[Mapping[int, Operation]] = {
    0x01: add,
    0x02: mul,
    0x03: sub,
    0x04: div,
    0x10: lt,
    0x11: gt,
    0x14: eq,
    0x15: iszero,
    0x16: bit_and,
    0x17: bit_or,
    0x19: bit_not,
    0x1B: shl,
    0x1C: shr,
    0x35: calldataload,
    0x50: pop,
    0x51: mload,
    0x52: mstore,
    0x56: jump,
    0x57: jumpi,
    0x5B: jumpdest,
    **{0x5F + size: _push(size) for size in range(1, 33)},
    **{0x7F + position: _dup(position) for position in range(1, 17)},
    **{0x8F + position: _swap(position) for position in range(1, 17)},
}
