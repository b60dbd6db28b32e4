"""A stand-in for a base model in simulated networks: features drawn from the hashes of texts."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import trio

from protocol.codec import require
from protocol.features import DIMENSION
from roles.ports import Lens
from tests.sim import story as tale

BASIS = b"the basis of the stand-in"


def signs(name: bytes) -> bytes:
    """A feature of only -32 and 32, as good as random."""
    stream = b"".join(hashlib.sha256(name + bytes([n])).digest() for n in range(8))
    return bytes(32 if byte >> bit & 1 else 0xE0 for byte in stream for bit in range(8))


def query_of(prompt: bytes, output: bytes) -> bytes:
    """Half of it is some example's, chosen by the answer; the rest nobody's."""
    number = hashlib.sha256(output).digest()[0] % len(tale.TEXTS)
    half = DIMENSION // 2
    return signs(tale.TEXTS[number].encode())[:half] + signs(prompt + b"|" + output)[half:]


@dataclass(frozen=True)
class Made:
    basis: bytes
    phi: Any


@dataclass
class StandIn:
    """`roles.ports.Featurizer`; `bend` changes what it builds."""

    base: bytes = tale.BASE
    bend: Callable[[np.ndarray], None] = lambda phi: None
    basis: bytes = BASIS
    asked: int = 0
    lenses: set[Lens] = field(default_factory=set)

    def has(self, base: bytes) -> bool:
        return base == self.base

    async def queries(self, lens: Lens, pairs: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        await self._look(lens)
        self.asked += len(pairs)
        return [query_of(*pair) for pair in pairs]

    async def examples(self, lens: Lens, texts: Sequence[bytes]) -> list[bytes]:
        await self._look(lens)
        return [signs(text) for text in texts]

    async def build(
        self, lens: Lens, texts: Sequence[bytes], progress: Callable[[int, int], None]
    ) -> Made:
        assert lens.weights.read_bytes() == tale.WEIGHTS
        assert len(lens.seed) == 32
        rows = list[bytes]()
        for number in range(len(texts)):
            await trio.sleep(1)
            rows.append(signs(texts[number]))
            progress(number + 1, len(texts))
        phi = np.frombuffer(b"".join(rows), np.int8).reshape(-1, DIMENSION).copy()
        self.bend(phi)
        return Made(self.basis, phi)

    async def _look(self, lens: Lens) -> None:
        await trio.lowlevel.checkpoint()
        assert lens.basis is not None
        require(lens.basis.read_bytes() == self.basis, "no basis")
        self.lenses.add(lens)
