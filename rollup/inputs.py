"""What alt-DA commitments stand for, as the DA layer and L1's challenge contract say together."""

from dataclasses import dataclass

from protocol.errors import Reset, Temporary
from rollup.codec.config import RollupConfig
from rollup.codec.refs import L1Block, L1BlockRef
from rollup.da.challenges import Challenges, Drop, Lost, Take, Terms
from rollup.da.rest import GENERIC, KECCAK, Missing
from rollup.ports import DataAvailability, InvalidCertificate, L1Source


@dataclass(frozen=True, slots=True)
class Found:
    """The data of a commitment; None where every node drops it."""

    data: bytes | None


class Inputs:
    """Follows the challenges along with derivation, and reads L1 ahead of it where only a later
    block can tell what becomes of data that nobody shows."""

    def __init__(self, config: RollupConfig, l1: L1Source, da: DataAvailability) -> None:
        terms = config.alt_da
        if terms is None:
            raise ValueError("the chain has no alt-DA")
        kind = KECCAK if terms.commitment_type == "KeccakCommitment" else GENERIC
        self._challenges = Challenges(
            Terms(terms.challenge_address, terms.challenge_window, terms.resolve_window, kind)
        )
        self._l1, self._da = l1, da
        self._ahead: dict[int, bytes] = {}  # hashes of the L1 blocks read before derivation
        self._last: L1BlockRef | None = None  # the highest L1 block read

    def restart(self, base: L1BlockRef) -> None:
        self._ahead.clear()
        self._last = base
        self._challenges.restart(base)

    def enter(self, block: L1Block) -> None:
        """Derivation goes on to this L1 block. `Reset` when it is not the one that was read ahead,
        or when an input that was used has expired."""
        ahead = self._ahead.pop(block.ref.number, block.ref.hash)
        if ahead != block.ref.hash:
            raise Reset(f"L1 block {block.ref.number} changed after it was read ahead")
        self._challenges.advance(block)
        if self._last is None or block.ref.number > self._last.number:
            self._last = block.ref

    async def read(self, commitment: bytes, inclusion: L1BlockRef) -> Found | None:
        """What the commitment in this L1 block stands for; None while L1 must go on first.
        Raises `Temporary` as long as data are missing that nobody may drop."""
        data: bytes | None = None
        if self._challenges.wanted(commitment, inclusion):
            try:
                data = await self._da.get(commitment, inclusion.number)
            except InvalidCertificate:
                return Found(None)
            except Missing:
                data = None
        while True:
            verdict = self._challenges.judge(commitment, inclusion, data)
            match verdict:
                case Take(taken):
                    return Found(taken)
                case Drop():
                    return Found(None)
                case Lost(reason):
                    raise Temporary(reason)
            if not await self._look_ahead(verdict.number):
                return None

    def finalize(self, number: int) -> int | None:
        """The L1 block up to which no input can change any more when L1 is final to `number`."""
        return self._challenges.finalize(number)

    async def _look_ahead(self, number: int) -> bool:
        ref = await self._l1.ref_by_number(number)
        if ref is None:
            return False
        last = self._last
        if last is not None and last.number + 1 == number and ref.parent_hash != last.hash:
            raise Reset(f"L1 block {number} does not follow the one that was read")
        self._challenges.look_ahead(await self._l1.block(ref.hash))
        self._ahead[number] = ref.hash
        self._last = ref
        return True
