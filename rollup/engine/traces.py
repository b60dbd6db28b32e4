"""Hot code as Python functions: straight runs of opcodes, whose stack lives in local variables.

A trace begins where code was entered often, follows jumps whose target is a constant, and ends
after `OPCODES_MAX` opcodes or at a jump elsewhere. Between two opcodes of the table it is one
segment, which pays all its gas at once and checks the stack's size once: whichever opcode of it
would fail, the message loses all its gas and all it did, so where in the segment it fails is seen
by nobody. What reads the gas or leaves the code (GAS, SSTORE, calls, returns) is the table's, and
finds stack, gas and program counter as they must be.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from eth.exceptions import FullStack, InsufficientStack, InvalidJumpDestination, OutOfGas
from eth_hash.auto import keccak

from rollup.engine.opcodes import STACK_MAX, WORD_BYTES, WORD_MASK, Operation, grow, jump_targets

ENTRIES_HOT: Final = 16
ENTRIES_MAX: Final = 1024  # counted at once, of one program
OPCODES_MAX: Final = 160
PROGRAMS_MAX: Final = 256
TRACES_MAX: Final = 2048  # of all programs, up to 20 KiB each
COMPILING: Final = 15
CREDIT_MAX: Final = 100_000
SIGN: Final = 1 << 255

STOP, SHA3, SLOAD, JUMP, JUMPI, JUMPDEST, PUSH0, POP, MLOAD, MSTORE = (
    *(0x00, 0x20, 0x54, 0x56, 0x57, 0x5B, 0x5F, 0x50, 0x51, 0x52),
)
PUSHES, DUPS, SWAPS = range(0x5F, 0x80), range(0x80, 0x90), range(0x90, 0xA0)
SHA3_GAS, SHA3_WORD_GAS, SLOAD_COLD, SLOAD_WARM = 30, 6, 2100, 100

# Of two words, of one, of none: gas, and the word that comes of them (a is the top one).
BINARY: Final = {
    0x01: (3, "({a} + {b}) & MASK"),
    0x02: (5, "({a} * {b}) & MASK"),
    0x03: (3, "({a} - {b}) & MASK"),
    0x04: (5, "{a} // {b} if {b} else 0"),
    0x06: (5, "{a} % {b} if {b} else 0"),
    0x10: (3, "1 if {a} < {b} else 0"),
    0x11: (3, "1 if {a} > {b} else 0"),
    0x12: (3, "1 if {a} ^ SIGN < {b} ^ SIGN else 0"),
    0x13: (3, "1 if {a} ^ SIGN > {b} ^ SIGN else 0"),
    0x14: (3, "1 if {a} == {b} else 0"),
    0x16: (3, "{a} & {b}"),
    0x17: (3, "{a} | {b}"),
    0x18: (3, "{a} ^ {b}"),
    0x1B: (3, "({b} << {a}) & MASK if {a} < 256 else 0"),
    0x1C: (3, "{b} >> {a} if {a} < 256 else 0"),
    SHA3: (SHA3_GAS, "sha3(c, meter, {a}, {b})"),
}
UNARY: Final = {
    0x15: (3, "0 if {a} else 1"),
    0x19: (3, "{a} ^ MASK"),
    0x35: (3, "calldata(c, {a})"),
    MLOAD: (3, "load(c, {a})"),
    SLOAD: (0, "sload(c, meter, {a})"),
}
CONTEXT: Final = {
    0x30: "int.from_bytes(c.msg.storage_address, 'big')",
    0x33: "int.from_bytes(c.msg.sender, 'big')",
    0x34: "c.msg.value",
    0x36: "len(c.msg.data)",
    0x3D: "len(c.return_data)",
}
INLINE: Final = frozenset(
    [*BINARY, *UNARY, *CONTEXT, *PUSHES, *DUPS, *SWAPS, JUMP, JUMPI, JUMPDEST, 0x58, POP, MSTORE]
)


class Programs:
    """Code as it runs under one fork's table of opcodes; any thread may ask.

    Compiling takes as long as running `COMPILING` times as many opcodes from the table, and it is
    done only as far as so many were run: whatever a stranger's code is, it is not slowed down by
    more than half.
    """

    def __init__(self, table: tuple[Operation, ...], hot: int = ENTRIES_HOT) -> None:
        self.table = table
        self.hot = hot
        self.names: dict[str, Any] = NAMES | {f"op{n}": run for n, run in enumerate(table)}
        self.credit = 0
        self._known: dict[bytes, Program] = {}
        self._traces = 0

    def get(self, code: bytes) -> "Program":
        found = self._known.get(code)
        if found is None:
            if len(self._known) >= PROGRAMS_MAX:
                self._clear()
            found = self._known[code] = Program(code, self)
        return found

    def compile(self, code: bytes, start: int) -> Operation:
        trace = Trace(code, start)
        found = trace.function(self.names)
        self.credit -= COMPILING * trace.count
        self._traces += 1
        if self._traces >= TRACES_MAX:
            self._clear()
        return found

    def _clear(self) -> None:
        """Who runs a program keeps it until the end of his message."""
        self._known, self._traces = {}, 0


class Program:
    """One contract's code; `traces` are those of its places that were entered often."""

    def __init__(self, code: bytes, programs: Programs) -> None:
        self._code = code
        self._programs = programs
        self._entries: dict[int, int] = {}
        self.traces: dict[int, Operation] = {}

    def run(self, computation: Any) -> None:
        """Opcodes from the program counter on, until a jump or a trace's length."""
        stream, code, programs, entries = (
            *(computation.code, self._code, self._programs, self._entries),
        )
        start = stream.program_counter
        if len(entries) >= ENTRIES_MAX:
            entries.clear()
        entered = entries[start] = entries.get(start, 0) + 1
        if entered >= programs.hot and programs.credit >= COMPILING * OPCODES_MAX:
            trace = self.traces[start] = programs.compile(code, start)
            trace(computation)
            return
        size, table = len(code), programs.table
        count = 0
        while count < OPCODES_MAX:
            count += 1
            counter = stream.program_counter
            stream.program_counter = counter + 1
            opcode = code[counter] if counter < size else STOP
            table[opcode](computation)
            if opcode in (JUMP, JUMPI):
                break
        if programs.credit < CREDIT_MAX:
            programs.credit += count


class Trace:
    """Writes the source of one trace.

    `_stack` names the words above those that the segment found and left alone; `x3` is the third
    from the top of what it found, of which `_found` are in play.
    """

    def __init__(self, code: bytes, start: int) -> None:
        self._code = code
        self._at = start
        self._targets = jump_targets(code)
        self._lines = ["def trace(c, targets):"]
        self._lines.append(" meter, s, code = c._gas_meter, c._stack.values, c.code")
        self._names = 0
        self.count = 0
        self._begin()

    def function(self, names: dict[str, Any]) -> Operation:
        self._write()
        made: dict[str, Any] = {}
        exec("\n".join(self._lines), names, made)  # made of our own words and of numbers alone
        return partial(made["trace"], targets=self._targets)

    def _write(self) -> None:
        while self.count < OPCODES_MAX:
            self.count += 1
            opcode = self._code[self._at] if self._at < len(self._code) else STOP
            if opcode not in INLINE:
                self._end()
                self._lines.append(f" code.program_counter = {self._at + 1}")
                self._lines.append(f" op{opcode}(c)")
                self._begin()
                self._at += 1
            elif self._inline(opcode):
                return
        self._end()
        self._lines.append(f" code.program_counter = {self._at}")

    # segments

    def _begin(self) -> None:
        self._body: list[str] = []
        self._stack: list[str] = []
        self._found = self._high = self._gas = 0
        self._loaded: set[str] = set()
        self._numbers: set[str] = set()

    def _end(self) -> None:
        """The checks of the segment, what it does, and its words back on the stack."""
        stack, found = self._stack, self._found
        same = 0
        while same < min(found, len(stack)) and stack[same] == f"x{found - same}":
            same += 1
        words, gone = stack[same:], found - same
        for word in words:
            self._load(word)
        lines = self._lines
        if self._gas:
            lines.append(f" left = meter.gas_remaining - {self._gas}")
            lines.append(" if left < 0: raise OutOfGas('out of gas')")
            lines.append(" meter.gas_remaining = left")
        if found:
            lines.append(f" if len(s) < {found}: raise InsufficientStack('stack underflow')")
        if self._high > 0:
            lines.append(
                f" if len(s) > {STACK_MAX - self._high}: raise FullStack('stack overflow')"
            )
        lines += self._body
        if gone and words:
            lines.append(f" s[-{gone}:] = ({', '.join(words)},)")
        elif gone:
            lines.append(f" del s[-{gone}:]")
        elif words:
            lines.append(f" s += ({', '.join(words)},)")

    def _reach(self, depth: int) -> None:
        """Take so many words of the stack into play."""
        missing = depth - len(self._stack)
        if missing > 0:
            more = range(self._found + missing, self._found, -1)
            self._stack[:0] = [f"x{position}" for position in more]
            self._found += missing

    def _load(self, word: str) -> None:
        if word[0] == "x" and word not in self._loaded:
            self._loaded.add(word)
            self._body.append(f" {word} = s[-{word[1:]}]")

    def _pop(self) -> str:
        """The top word, as a number."""
        self._reach(1)
        word = self._stack.pop()
        self._load(word)
        if word[0] == "x" and word not in self._numbers:
            self._numbers.add(word)
            self._body.append(
                f" if {word}.__class__ is not int: {word} = int.from_bytes({word}, 'big')"
            )
        return word

    def _push(self, word: str) -> None:
        self._stack.append(word)
        self._high = max(self._high, len(self._stack) - self._found)

    def _push_value(self, expression: str) -> None:
        self._names += 1
        self._body.append(f" v{self._names} = {expression}")
        self._push(f"v{self._names}")

    # opcodes

    def _inline(self, opcode: int) -> bool:
        """Whether the trace ends with this opcode."""
        self._at += 1
        if opcode in PUSHES:
            size = opcode - PUSH0
            word = self._code[self._at : self._at + size].ljust(size, b"\0")
            self._at += size
            self._gas += 3 if size else 2
            self._push(str(int.from_bytes(word, "big")))
        elif opcode in DUPS:
            depth = opcode - DUPS.start + 1
            self._gas += 3
            self._reach(depth)
            self._push(self._stack[-depth])
        elif opcode in SWAPS:
            depth = opcode - SWAPS.start + 2
            self._gas += 3
            self._reach(depth)
            stack = self._stack
            stack[-1], stack[-depth] = stack[-depth], stack[-1]
        elif opcode in (JUMP, JUMPI):
            return self._jump() if opcode == JUMP else self._branch()
        else:
            self._compute(opcode)
        return False

    def _compute(self, opcode: int) -> None:
        if opcode in BINARY:
            gas, form = BINARY[opcode]
            a, b = self._pop(), self._pop()
            self._push_value(form.format(a=a, b=b))
        elif opcode in UNARY:
            gas, form = UNARY[opcode]
            self._push_value(form.format(a=self._pop()))
        elif opcode in CONTEXT:
            gas = 2
            self._push_value(CONTEXT[opcode])
        elif opcode == MSTORE:
            gas = 3
            a, b = self._pop(), self._pop()
            self._body.append(f" store(c, {a}, {b})")
        elif opcode == POP:
            gas = 2
            self._reach(1)
            self._stack.pop()
        elif opcode == JUMPDEST:
            gas = 1
        else:  # PC
            gas = 2
            self._push(str(self._at - 1))
        self._gas += gas

    def _jump(self) -> bool:
        target = self._pop()
        self._gas += 8
        if self._is_known(target):
            self._at = int(target)
            return False
        self._end()
        self._lines += self._go(target)
        return True

    def _branch(self) -> bool:
        target, condition = self._pop(), self._pop()
        self._gas += 10
        self._end()
        self._lines.append(f" if {condition}:")
        self._lines += [" " + line for line in self._go(target)]
        self._begin()
        return False

    def _is_known(self, target: str) -> bool:
        """Whether it is a constant, and a place to jump to."""
        return (
            target.isdigit() and int(target) < len(self._code) and bool(self._targets[int(target)])
        )

    def _go(self, target: str) -> Iterator[str]:
        if not self._is_known(target):
            yield f" if {target} >= {len(self._code)} or not targets[{target}]: raise Invalid(FAR)"
        yield f" code.program_counter = {target}"
        yield " return"


def _sha3(computation: Any, meter: Any, start: int, size: int) -> int:
    end = start + size
    if size and end > len(computation._memory._bytes):
        grow(computation, end)
    left = meter.gas_remaining - SHA3_WORD_GAS * ((size + 31) // 32)
    if left < 0:
        raise OutOfGas("out of gas")
    meter.gas_remaining = left
    return int.from_bytes(keccak(bytes(computation._memory._bytes[start:end])), "big")


def _sload(computation: Any, meter: Any, slot: int) -> int:
    """EIP-2929: the first time in a transaction costs more."""
    accounts, address = computation.state._account_db, computation.msg.storage_address
    if accounts.is_storage_warm(address, slot):
        left = meter.gas_remaining - SLOAD_WARM
    else:
        left = meter.gas_remaining - SLOAD_COLD
        accounts.mark_storage_warm(address, slot)
    if left < 0:
        raise OutOfGas("out of gas")
    meter.gas_remaining = left
    value: int = accounts.get_storage(address, slot)
    return value


def _calldata(computation: Any, start: int) -> int:
    word = computation.msg.data_as_bytes[start : start + WORD_BYTES]
    return int.from_bytes(word, "big") << 8 * (WORD_BYTES - len(word))


def _load(computation: Any, start: int) -> int:
    end = start + WORD_BYTES
    if end > len(computation._memory._bytes):
        grow(computation, end)
    return int.from_bytes(computation._memory._bytes[start:end], "big")


def _store(computation: Any, start: int, value: int) -> None:
    end = start + WORD_BYTES
    if end > len(computation._memory._bytes):
        grow(computation, end)
    computation._memory._bytes[start:end] = value.to_bytes(WORD_BYTES, "big")


NAMES: Final[dict[str, Any]] = {
    "MASK": WORD_MASK,
    "SIGN": SIGN,
    "FAR": "invalid jump destination",
    "sha3": _sha3,
    "sload": _sload,
    "calldata": _calldata,
    "load": _load,
    "store": _store,
    "OutOfGas": OutOfGas,
    "FullStack": FullStack,
    "InsufficientStack": InsufficientStack,
    "Invalid": InvalidJumpDestination,
}
