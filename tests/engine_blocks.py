"""The engine's rules without its process: blocks built from given transactions, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from protocol.errors import Malformed, Refused
from rollup.engine import execution
from rollup.engine.building import Ancestry, Assembly, Fields
from rollup.engine.evm import STATES
from rollup.engine.genesis import Genesis
from rollup.engine.traces import Programs
from rollup.engine.transaction import included
from rollup.engine.values import Block, Header


def _without_titanoboa() -> None:
    """pytest loads titanoboa, which replaces py-evm's KECCAK256 and SSTORE by ones that raise on
    too small a stack. The engine's process never has it: put back what it wraps."""
    for state in STATES.values():
        interpreter: Any = state.computation_class
        interpreter.table = tuple(
            getattr(operation, "sha3", None) or getattr(operation, "sstore", None) or operation
            for operation in interpreter.table
        )
    interpret(hot=2)


def interpret(hot: int) -> None:
    """Every code is compiled when it is entered for the `hot`th time: both ways of running it are
    seen by the tests, although they run hardly anything often."""
    for state in STATES.values():
        interpreter: Any = state.computation_class
        interpreter.programs = Programs(interpreter.table, hot)
        interpreter.programs.credit = 10**12


_without_titanoboa()


@dataclass
class Nodes:
    """Trie nodes and code by hash."""

    found: dict[bytes, bytes] = field(default_factory=dict)
    split_nodes: dict[bytes, Any] = field(default_factory=dict)

    def node(self, name: bytes) -> bytes | None:
        return self.found.get(name)


class Blocks:
    """A chain whose blocks hold what is offered and may enter."""

    def __init__(self, genesis: Genesis) -> None:
        self.nodes = Nodes()
        self.rules = genesis.rules
        root, passer, overlay = execution.genesis_state(self.nodes, genesis)
        self.nodes.found |= overlay.added
        self.headers: list[Header] = [genesis.header(root, passer)]

    @property
    def head(self) -> Header:
        return self.headers[-1]

    def assembly(self, fields: Fields, ancestors: Sequence[bytes] | None = None) -> Assembly:
        """`ancestors`: hashes that the code of the block sees, the parent's first, if others than
        this chain's."""
        hashes = ancestors or [header.hash for header in reversed(self.headers)]
        parents = dict(pairwise(hashes))
        ancestry = Ancestry(hashes[0], parents.get)
        return Assembly(self.nodes, self.rules, self.head, fields, ancestry)

    def offer(self, assembly: Assembly, raws: Sequence[bytes]) -> tuple[list[int], dict[int, str]]:
        """Which of `raws` entered, and why the others did not."""
        entered, why = [], {}
        for at, raw in enumerate(raws):
            try:
                assembly.include(included(raw, self.rules.chain_id))
            except (Refused, Malformed) as error:
                why[at] = str(error)
            else:
                entered.append(at)
        return entered, why

    def add(self, assembly: Assembly) -> Block:
        """Seal the block and make it the head."""
        sealed = assembly.seal()
        self.nodes.found |= sealed.nodes
        self.headers.append(sealed.block.header)
        return sealed.block
