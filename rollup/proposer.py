"""The proposer: claims on L1 what the L2's state is, to an output oracle or as dispute games."""

from dataclasses import dataclass
from typing import Final, NoReturn, Protocol

import trio
from eth_hash.auto import keccak

from protocol.codec import require
from protocol.errors import Malformed, Refused, Reset, Temporary
from rollup.codec.hexadecimal import data, from_bytes
from rollup.driver import Driver
from rollup.ports import Call, Clock, Engine, L1Sender

POLL_SECONDS: Final = 12.0
RETRY_SECONDS_FIRST: Final = 4.0
RETRY_SECONDS_MAX: Final = 300.0
ATTEMPTS_MAX: Final = 1000  # at one output, over all starts
WORD: Final = 32


@dataclass(frozen=True, slots=True)
class Oracle:
    """An L2OutputOracle: it says itself which block is next."""

    address: bytes


@dataclass(frozen=True, slots=True)
class Games:
    """A DisputeGameFactory: a game at each multiple of `interval` L2 blocks."""

    address: bytes
    game_type: int
    interval: int


@dataclass(slots=True)
class Tally:
    """For metrics."""

    proposed: int = 0  # intended since the start
    last: int | None = None  # the block of the last proposal that L1 confirmed
    problem: str | None = None


class _Target(Protocol):
    """How one kind of contract takes outputs."""

    async def due(self, head: int) -> int | None: ...

    async def call(self, number: int, root: bytes) -> tuple[bytes, int] | None: ...


class Proposer:
    """Proposes blocks that are final, or with `on_safe` safe. An output is intended by a key of its
    own, so that none is proposed twice; only one that L1 refused or forgot is tried again."""

    def __init__(
        self,
        *,
        driver: Driver,
        engine: Engine,
        l1: Call,
        sender: L1Sender,
        clock: Clock,
        target: Oracle | Games,
        on_safe: bool = False,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self.tally = Tally()
        self._driver, self._engine, self._sender = driver, engine, sender
        self._clock = clock
        self._address = target.address
        self._target: _Target = (
            _OracleTarget(l1, driver, target)
            if isinstance(target, Oracle)
            else _GamesTarget(l1, target)
        )
        self._on_safe = on_safe
        self._poll_seconds = poll_seconds
        self._sent: tuple[str, int] | None = None  # the last intent, of which block

    async def run(self) -> NoReturn:
        """Until cancelled; whatever fails outside is tried again."""
        delay = RETRY_SECONDS_FIRST
        while True:
            try:
                await self.step()
                self.tally.problem, delay = None, RETRY_SECONDS_FIRST
                await self._clock.sleep(self._poll_seconds)
            except (Temporary, Malformed, Reset) as error:
                self.tally.problem = str(error)
                await trio.sleep(delay)
                delay = min(2 * delay, RETRY_SECONDS_MAX)

    async def step(self) -> None:
        """Propose what is due, once."""
        self._confirm()
        heads = self._driver.chain.heads
        head = heads.safe if self._on_safe else heads.finalized
        number = await self._target.due(head.number)
        if number is None:
            return
        root = await self._engine.output_root(number)
        stem = f"output/{self._address.hex()}/{number}/{root.hex()}"
        attempt = self._attempt(stem)
        if attempt is None:
            return  # under way
        if await self._target.due(head.number) != number:
            return  # it came through while we looked
        call = await self._target.call(number, root)
        if call is None:
            self.tally.last = number
            return
        self._sender.intend(f"{stem}/{attempt}", self._address, call[0], call[1])
        self._sent = f"{stem}/{attempt}", number
        self.tally.proposed += 1

    def _confirm(self) -> None:
        """Note what became of the last proposal, once that is known."""
        outcome = None if self._sent is None else self._sender.result(self._sent[0])
        if self._sent is not None and outcome is not None:
            if outcome.succeeded:
                self.tally.last = self._sent[1]
            self._sent = None

    def _attempt(self, stem: str) -> int | None:
        """The number of the next attempt; None while one is under way."""
        for attempt in range(ATTEMPTS_MAX):
            try:
                outcome = self._sender.result(f"{stem}/{attempt}")
            except Refused:
                return attempt
            if outcome is None:
                return None
            if not outcome.succeeded:
                self.tally.problem = f"L1 refused a proposal: {outcome.reason}"
        raise Refused(f"L1 refused {ATTEMPTS_MAX} proposals of one output")


class _OracleTarget:
    def __init__(self, l1: Call, driver: Driver, oracle: Oracle) -> None:
        self._l1, self._driver, self._address = l1, driver, oracle.address

    async def due(self, head: int) -> int | None:
        """The contract takes no block from L1's future, and `eth_call` is at L1's newest time."""
        number = await _read(self._l1, self._address, "nextBlockNumber()")
        latest = self._driver.l1_view.latest
        time = self._driver.config.block_time_at(number)
        return number if number <= head and latest is not None and time < latest.time else None

    async def call(self, number: int, root: bytes) -> tuple[bytes, int] | None:
        """Bound to an L1 block that was derived from: after a reorg of L1 it fails."""
        processed = self._driver.l1_view.processed
        if processed is None or processed.number == 0:
            raise Temporary("no L1 block to bind a proposal to")
        before = processed.number - 1  # its own hash cannot be seen from within a block
        return _call(
            "proposeL2Output(bytes32,uint256,bytes32,uint256)",
            root,
            _word(number),
            processed.parent_hash,
            _word(before),
        ), 0


class _GamesTarget:
    def __init__(self, l1: Call, games: Games) -> None:
        self._l1, self._games = l1, games
        self._done = 0

    async def due(self, head: int) -> int | None:
        number = head - head % self._games.interval
        return number if number > self._done else None

    async def call(self, number: int, root: bytes) -> tuple[bytes, int] | None:
        """None when the game is there already, whoever made it."""
        game_type = _word(self._games.game_type)
        # (uint32 type, bytes32 root, bytes extra data): the extra data are the block's number
        arguments = game_type, root, _word(3 * WORD), _word(WORD), _word(number)
        address = self._games.address
        game = await _read(self._l1, address, "games(uint32,bytes32,bytes)", *arguments)
        if game != 0:
            self._done = number
            return None
        bond = await _read(self._l1, address, "initBonds(uint32)", game_type)
        return _call("create(uint32,bytes32,bytes)", *arguments), bond


async def _read(l1: Call, address: bytes, signature: str, *words: bytes) -> int:
    """The first word that a view function returns."""
    call = {"to": from_bytes(address), "data": from_bytes(_call(signature, *words))}
    try:
        answer = data(await l1.call("eth_call", call, "latest"), name="eth_call")
    except Refused as error:
        raise Temporary(f"L1 refuses {signature}: {error}") from error
    require(len(answer) >= WORD, f"{signature} returned {len(answer)} bytes")
    return int.from_bytes(answer[:WORD], "big")


def _call(signature: str, *words: bytes) -> bytes:
    """Calldata of arguments that are whole words already."""
    return keccak(signature.encode())[:4] + b"".join(words)


def _word(value: int) -> bytes:
    return value.to_bytes(WORD, "big")
