"""What L1's DataAvailabilityChallenge says of each commitment, as a state machine without I/O.

Data that nobody can show may be challenged on L1 within `challenge_window` blocks of the block
that holds its commitment; it must then be shown in the calldata of `resolve` within
`resolve_window` blocks, or the input is dropped by everybody, even by who has the data.
Source: https://specs.optimism.io/experimental/alt-da.html, op-alt-da's damgr.go and dastate.go.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from protocol.errors import Malformed, Reset
from rollup.codec.refs import L1Block, L1BlockRef
from rollup.da.contract import INPUT_BYTES_MAX, Change, change_of, is_status_event, resolved_input
from rollup.da.rest import GENERIC, KECCAK, kind_of, matches


class Status(Enum):
    """A challenge of one commitment in one L1 block; the values are the contract's."""

    UNCHALLENGED = 0
    ACTIVE = 1
    RESOLVED = 2
    EXPIRED = 3


@dataclass(frozen=True, slots=True)
class Terms:
    """What rollup.json says of alt-DA: `kind` of commitments taken, windows in L1 blocks."""

    contract: bytes  # 20; not read for generic commitments, which nobody can challenge
    challenge_window: int
    resolve_window: int
    kind: int = KECCAK


@dataclass(frozen=True, slots=True)
class Take:
    """The input: from the DA layer, or as it was shown on L1."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drop:
    """Every node skips this commitment."""

    reason: str


@dataclass(frozen=True, slots=True)
class LookAhead:
    """Only a later L1 block can tell: give `number` to `look_ahead` when it is there, ask again."""

    number: int


@dataclass(frozen=True, slots=True)
class Lost:
    """Nobody challenged in time and nobody has the data: derivation cannot go on without it."""

    reason: str


Verdict = Take | Drop | LookAhead | Lost


@dataclass(slots=True)
class _Challenge:
    key: tuple[bytes, int]
    ends: int  # the L1 block from which on it has expired
    status: Status = Status.ACTIVE
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class _Used:
    """A commitment whose data was asked for, perhaps derived from."""

    key: tuple[bytes, int]
    window_ends: int


class Challenges:
    """Challenges by (commitment, number of its L1 block), and the commitments that were used.

    Everything is kept until it is final, so memory is bounded by what L1 holds within both windows
    and the time to finality; a challenge costs its maker a bond. Commitments are encoded, without
    the transaction's version byte: kind ++ hash or certificate.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.followed = -1  # challenges are known up to this L1 block
        self.origin = -1  # commitments were used up to this L1 block
        self.finalized: int | None = None
        self._resetting = False
        self._challenges: dict[tuple[bytes, int], _Challenge] = {}
        self._running: deque[_Challenge] = deque()
        self._ended: deque[_Challenge] = deque()
        self._used: deque[_Used] = deque()
        self._settled: deque[_Used] = deque()
        self._known: set[tuple[bytes, int]] = set()

    def status(self, commitment: bytes, number: int) -> Status:
        """`number`: of the L1 block that holds the commitment."""
        found = self._challenges.get((commitment, number))
        return Status.UNCHALLENGED if found is None else found.status

    def advance(self, block: L1Block) -> None:
        """Derivation enters `block`. Call before asking for its commitments, once per block.

        `Reset` when an input that was used has since expired: derivation starts over, then calls
        `restart`, and what is known of challenges stays.
        """
        if block.ref.number > self.followed:
            self._read(block)
        if block.ref.number <= self.origin:
            return
        if self._expire_used(block.ref.number):
            self._resetting = True
            raise Reset("an input that was derived from was challenged and not shown in time")
        self.origin = block.ref.number

    def look_ahead(self, block: L1Block) -> None:
        """Read the challenges of the block that a `LookAhead` asked for."""
        if block.ref.number != self.followed + 1:
            raise Malformed(f"L1 block {block.ref.number} instead of {self.followed + 1}")
        self._read(block)

    def wanted(self, commitment: bytes, inclusion: L1BlockRef) -> bool:
        """Whether the data need to be fetched at all."""
        return not isinstance(self._excluded(commitment, inclusion), Drop)

    def judge(self, commitment: bytes, inclusion: L1BlockRef, data: bytes | None) -> Verdict:
        """What becomes of a commitment in L1 block `inclusion`.

        `data` is what the DA layer gave, already checked against the commitment; None if it does
        not have it.
        """
        excluded = self._excluded(commitment, inclusion)
        if excluded is not None:
            return excluded
        self._use(commitment, inclusion.number)
        if data is None:
            status = self.status(commitment, inclusion.number)
            if status is not Status.RESOLVED:
                return self._missing(status, inclusion.number)
            if self._terms.kind == GENERIC:
                return Lost("a generic commitment is not shown on L1, and its data are gone")
            data = self._challenges[commitment, inclusion.number].data
        if self._terms.kind == KECCAK and len(data) > INPUT_BYTES_MAX:
            return Drop(f"an input of {len(data)} bytes could not be challenged")
        return Take(data)

    def finalize(self, l1_finalized: int) -> int | None:
        """Forget what is final; the number of the last L1 block whose inputs cannot change any
        more, None while there is none. Never goes back.

        op-node takes the last commitment that became final, which waits for commitments that may
        never come; here it is all before the first one that is not final.
        """
        while self._settled and self._ends(self._settled[0]) <= l1_finalized:
            self._known.discard(self._settled.popleft().key)
        while self._ended and self._ended[0].ends <= l1_finalized:
            ended = self._ended.popleft()
            if self._challenges.get(ended.key) is ended:
                del self._challenges[ended.key]
        open_ones = {key[1] for key in self._known} | {key[1] for key in self._challenges}
        bound = min(l1_finalized, self.origin, *(number - 1 for number in open_ones))
        if bound >= 0:
            self.finalized = bound if self.finalized is None else max(bound, self.finalized)
        return self.finalized

    def restart(self, base: L1BlockRef) -> None:
        """Derivation starts over at `base`: after a `Reset` of ours with the challenges known,
        after a reorg of L1 with nothing."""
        self.origin = base.number
        self._used.clear()
        self._settled.clear()
        self._known.clear()
        if self._resetting:
            self._resetting = False
            return
        self.followed = base.number
        self._challenges.clear()
        self._running.clear()
        self._ended.clear()

    def _excluded(self, commitment: bytes, inclusion: L1BlockRef) -> Drop | None:
        if kind_of(commitment) != self._terms.kind:
            return Drop(f"a commitment of kind {commitment[:1].hex()}")
        if self.status(commitment, inclusion.number) is Status.EXPIRED:
            return Drop("challenged, and not shown in time")
        return None

    def _missing(self, status: Status, number: int) -> Verdict:
        late = self.followed > number + self._terms.challenge_window
        if status is Status.UNCHALLENGED and late:
            return Lost("the data are missing and can no longer be challenged")
        return LookAhead(self.followed + 1)

    def _use(self, commitment: bytes, number: int) -> None:
        key = commitment, number
        if key not in self._known:
            self._known.add(key)
            self._used.append(_Used(key, number + self._terms.challenge_window))

    def _ends(self, used: _Used) -> int:
        challenge = self._challenges.get(used.key)
        return used.window_ends if challenge is None else challenge.ends

    def _expire_used(self, number: int) -> bool:
        """Settle, in their order, the commitments whose windows are over; True if one is void."""
        void = False
        while self._used and self._ends(self._used[0]) <= number:
            used = self._used.popleft()
            self._settled.append(used)
            challenge = self._challenges.get(used.key)
            void |= challenge is not None and challenge.status is not Status.RESOLVED
        return void

    def _read(self, block: L1Block) -> None:
        """The events of one block, then the end of the resolve windows, which has no event."""
        if self._terms.kind == KECCAK:
            for log in block.logs:
                if log.address == self._terms.contract and is_status_event(log):
                    self._apply(block, change_of(log), log.transaction)
        while self._running and self._running[0].ends <= block.ref.number:
            challenge = self._running.popleft()
            self._ended.append(challenge)
            if challenge.status is Status.ACTIVE:
                challenge.status = Status.EXPIRED
        self.followed = block.ref.number

    def _apply(self, block: L1Block, change: Change | None, transaction: int) -> None:
        """One event; what no honest contract emits is passed over, as op-node does."""
        if change is None:
            return
        key = change.commitment, change.number
        if change.status == Status.ACTIVE.value:
            challenge = _Challenge(key, block.ref.number + self._terms.resolve_window)
            self._running.append(challenge)
            self._challenges[key] = challenge
        elif change.status == Status.RESOLVED.value and key in self._challenges:
            if not 0 <= transaction < len(block.transactions):
                raise Malformed("a log of a transaction that is not in its block")
            data = resolved_input(block.transactions[transaction].data)
            if data is not None and matches(change.commitment, data):
                self._challenges[key].status = Status.RESOLVED
                self._challenges[key].data = data
