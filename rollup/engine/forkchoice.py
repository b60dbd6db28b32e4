"""What the Engine API decides: payloads executed and stored, heads moved, blocks built on them.

https://github.com/ethereum/execution-apis/tree/main/src/engine; OP Stack's differences as op-geth
has them (eth/catalyst): a fork choice may go back to an ancestor, attributes carry transactions.
"""

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import trio

from protocol.errors import Malformed, Refused
from rollup.codec import header as headers
from rollup.codec.payload import ExecutionPayload, PayloadAttributes, PayloadEnvelope
from rollup.codec.trie import trie_root
from rollup.engine.blocks import Heads
from rollup.engine.building import Assembly, Fields, Sealed, fields_of
from rollup.engine.chain import Chain, Move
from rollup.engine.errors import (
    INVALID_ATTRIBUTES,
    INVALID_FORKCHOICE,
    UNKNOWN_PAYLOAD,
    Failure,
)
from rollup.engine.mempool import Mempool
from rollup.engine.rules import Fork
from rollup.engine.transaction import Transaction, included
from rollup.engine.values import (
    DEPOSIT,
    EMPTY_REQUESTS,
    EMPTY_TRIE,
    EMPTY_UNCLES,
    Block,
    Header,
)

VALID, INVALID, SYNCING = "VALID", "INVALID", "SYNCING"
ZERO: Final = bytes(32)
BUILD_SECONDS_MAX: Final = 1.0  # of a 2 s block; one transaction may run over it
INVALID_KEPT_MAX: Final = 512
JOBS_KEPT_MAX: Final = 16
FILLS_WAITING_MAX: Final = 4
PAYLOAD_ID_VERSION: Final = b"\x03"


@dataclass(frozen=True, slots=True)
class Status:
    """PayloadStatusV1."""

    status: str
    latest_valid_hash: bytes | None = None
    error: str | None = None


@dataclass(slots=True)
class Job:
    """A payload being built; `turn` is held by whoever works on it."""

    assembly: Assembly
    takes_pool: bool
    deadline: float
    turn: trio.Lock = field(default_factory=trio.Lock)
    sealed: Sealed | None = None


class Forkchoice:
    """One writer at a time; execution runs in worker threads beside the event loop."""

    def __init__(self, chain: Chain, pool: Mempool) -> None:
        self._chain = chain
        self._pool = pool
        self._invalid: OrderedDict[bytes, tuple[bytes, str]] = OrderedDict()
        self._jobs: OrderedDict[bytes, Job] = OrderedDict()
        self.listeners: list[Callable[[], None]] = []
        """Called in the event loop after the head has moved."""
        self._to_fill, self._filling = trio.open_memory_channel[Job](FILLS_WAITING_MAX)

    async def run(self) -> None:
        """Fill the payloads that were begun, until cancelled."""
        async for job in self._filling:
            async with job.turn:
                await self._fill(job)

    # payloads

    async def new_payload(self, envelope: PayloadEnvelope) -> Status:
        async with self._chain.turn:
            with trio.CancelScope(shield=True):  # a thread that writes is waited for
                return await trio.to_thread.run_sync(self._import, envelope)

    def _import(self, envelope: PayloadEnvelope) -> Status:
        payload, chain = envelope.payload, self._chain
        try:
            header = header_of(envelope, chain.rules.fork(payload.timestamp))
        except Malformed as error:
            return Status(INVALID, None, str(error))
        if header.hash != payload.block_hash:
            return Status(INVALID, None, f"blockhash mismatch: the block has {header.hash.hex()}")
        known = chain.blocks.header_of(header.hash)
        if known is not None and (chain.has_state(known) or chain.blocks.is_canonical(header.hash)):
            return Status(VALID, header.hash)
        refused = self._refused(header.hash, header.parent_hash)
        if refused is not None:
            return refused
        parent = chain.blocks.by_hash(header.parent_hash)
        if parent is None or not chain.has_state(parent.header):
            chain.target = max(chain.target, header.number)
            return Status(SYNCING)
        sealed = chain.kept(header.hash)
        if sealed is None:
            try:
                sealed = self._execute(parent, header, payload.transactions)
            except (Malformed, Refused) as error:
                self._remember_invalid(header.hash, parent.hash, str(error))
                return Status(INVALID, parent.hash, str(error))
        chain.insert(sealed)
        return Status(VALID, header.hash)

    def _execute(self, parent: Block, header: Header, raws: Iterable[bytes]) -> Sealed:
        """Raises `Malformed` or `Refused`, saying what is wrong with the block."""
        check_extra(header, self._chain.rules.fork(header.timestamp))
        fields = Fields(
            header.timestamp,
            header.coinbase,
            header.mix_hash,
            header.parent_beacon_block_root or ZERO,
            header.gas_limit,
            header.extra_data,
        )
        assembly = self._chain.assemble(parent, fields)
        assembly.force(tuple(raws))
        sealed = assembly.seal()
        if sealed.block.hash != header.hash:
            raise Malformed(difference(header, sealed.block.header))
        return sealed

    def _refused(self, block_hash: bytes, parent_hash: bytes) -> Status | None:
        """INVALID for a block that was, or whose parent was."""
        for name in (block_hash, parent_hash):
            found = self._invalid.get(name)
            if found is not None:
                self._remember_invalid(block_hash, *found)
                return Status(INVALID, *found)
        return None

    def _remember_invalid(self, block_hash: bytes, latest_valid: bytes, error: str) -> None:
        self._invalid[block_hash] = (latest_valid, error)
        while len(self._invalid) > INVALID_KEPT_MAX:
            self._invalid.popitem(last=False)

    # heads

    async def update(
        self, wanted: Heads, attributes: PayloadAttributes | None
    ) -> tuple[Status, bytes | None]:
        """Move the heads, then begin to build on the new one if asked to.  Raises `Failure`."""
        async with self._chain.turn:
            refused = self._refused(wanted.head, wanted.head)
            if refused is not None:
                return refused, None
            head = self._chain.blocks.by_hash(wanted.head)
            if head is None or not self._chain.has_state(head.header):
                return Status(SYNCING), None
            await self._move(head, wanted)
            if attributes is None:
                return Status(VALID, head.hash), None
            return Status(VALID, head.hash), await self._begin(head, attributes)

    async def _move(self, head: Block, wanted: Heads) -> None:
        chain = self._chain
        try:
            with trio.CancelScope(shield=True):  # what is on disk must also become the head
                heads, move = await trio.to_thread.run_sync(self._moved, wanted)
                safe, finalized = (
                    chain.blocks.by_hash(each) for each in (heads.safe, heads.finalized)
                )
                chain.adopt(head, safe, finalized, move)
        except Refused as error:
            raise Failure(INVALID_FORKCHOICE, f"invalid forkchoice state: {error}") from error
        if move.come or move.gone:
            self._settle(head, move)
            for listener in self.listeners:
                listener()

    def _moved(self, wanted: Heads) -> tuple[Heads, Move]:
        """Zero hashes say nothing of safe and finalized: those stay, as far as the head allows."""
        chain = self._chain
        heads = Heads(wanted.head, *self._known(wanted))
        try:
            return heads, chain.move(heads)
        except Refused:
            if ZERO not in (wanted.safe, wanted.finalized):
                raise
            first = chain.blocks.hash_of(chain.genesis.number) or ZERO
            kept = (first if each == ZERO else each for each in (wanted.safe, wanted.finalized))
            heads = Heads(wanted.head, *kept)
            return heads, chain.move(heads)

    def _known(self, wanted: Heads) -> tuple[bytes, bytes]:
        safe = self._chain.safe.hash if wanted.safe == ZERO else wanted.safe
        finalized = self._chain.finalized.hash if wanted.finalized == ZERO else wanted.finalized
        return safe, finalized

    def _settle(self, head: Block, move: Move) -> None:
        """Tell the pool what is in the chain now, and give back what is no longer."""
        state = self._chain.state(head.header)
        senders = {
            sender
            for block in move.come
            for sender, raw in zip(block.senders, block.transactions, strict=True)
            if raw[0] != DEPOSIT
        }
        senders |= set(self._pool.senders()) if move.gone else set()
        self._pool.settle({sender: state.get_nonce(sender) for sender in senders}, ())
        if move.gone:
            self._pool.readmit(self._lost(move), state.get_nonce)

    def _lost(self, move: Move) -> list[Transaction]:
        found = []
        for block in move.gone:
            for raw, sender in zip(block.transactions, block.senders, strict=True):
                if raw[0] != DEPOSIT:
                    with contextlib.suppress(Malformed):
                        found.append(included(raw, self._chain.rules.chain_id, sender))
        return found

    # building

    async def _begin(self, head: Block, attributes: PayloadAttributes) -> bytes:
        payload_id = id_of(head.hash, attributes)
        if payload_id in self._jobs:
            return payload_id
        deadline = time.monotonic() + BUILD_SECONDS_MAX
        try:
            fields = fields_of(attributes, self._chain.rules)
            assembly = await trio.to_thread.run_sync(
                self._assemble, head, fields, attributes.transactions
            )
        except (Malformed, Refused) as error:
            raise Failure(INVALID_ATTRIBUTES, f"invalid payload attributes: {error}") from error
        job = self._jobs[payload_id] = Job(assembly, not attributes.no_tx_pool, deadline)
        while len(self._jobs) > JOBS_KEPT_MAX:
            self._jobs.popitem(last=False)
        if job.takes_pool:
            with contextlib.suppress(trio.WouldBlock):  # then it is filled when it is asked for
                self._to_fill.send_nowait(job)
        return payload_id

    def _assemble(self, head: Block, fields: Fields, raws: tuple[bytes, ...]) -> Assembly:
        assembly = self._chain.assemble(head, fields)
        assembly.force(raws)
        return assembly

    async def get_payload(self, payload_id: bytes) -> Block:
        """The block; the first call seals it with what the pool holds then.  Raises `Failure`."""
        job = self._jobs.get(payload_id)
        if job is None:
            raise Failure(UNKNOWN_PAYLOAD, "unknown payload")
        async with job.turn:
            if job.sealed is None:
                await self._fill(job)
                with trio.CancelScope(shield=True):
                    job.sealed = await trio.to_thread.run_sync(job.assembly.seal)
                self._chain.keep(job.sealed)
                self._pool.settle({}, job.assembly.dropped)
        return job.sealed.block

    async def _fill(self, job: Job) -> None:
        if not job.takes_pool or job.sealed is not None or not len(self._pool):
            return
        picker = self._pool.picker(job.assembly.base_fee)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(job.assembly.fill, picker, job.deadline)


def id_of(parent_hash: bytes, attributes: PayloadAttributes) -> bytes:
    """The same for the same block to build; the first byte is the version of the attributes."""
    digest = sha256(parent_hash + repr(attributes).encode()).digest()
    return PAYLOAD_ID_VERSION + digest[:7]


def header_of(envelope: PayloadEnvelope, fork: Fork) -> Header:
    """The header of a payload on a chain that has `fork` then.  Raises `Malformed`."""
    payload = envelope.payload
    isthmus = fork >= Fork.ISTHMUS
    if (payload.withdrawals_root is not None) != isthmus:
        raise Malformed("withdrawalsRoot belongs to Isthmus, and to what comes after")
    return Header(
        parent_hash=payload.parent_hash,
        uncles_hash=EMPTY_UNCLES,
        coinbase=payload.fee_recipient,
        state_root=payload.state_root,
        transactions_root=trie_root(payload.transactions),
        receipts_root=payload.receipts_root,
        bloom=payload.logs_bloom,
        difficulty=0,
        number=payload.block_number,
        gas_limit=payload.gas_limit,
        gas_used=payload.gas_used,
        timestamp=payload.timestamp,
        extra_data=payload.extra_data,
        mix_hash=payload.prev_randao,
        nonce=bytes(8),
        base_fee=payload.base_fee_per_gas,
        withdrawals_root=payload.withdrawals_root if isthmus else EMPTY_TRIE,
        blob_gas_used=payload.blob_gas_used,
        excess_blob_gas=payload.excess_blob_gas,
        parent_beacon_block_root=envelope.parent_beacon_block_root,
        requests_hash=None if fork == Fork.HOLOCENE else EMPTY_REQUESTS,
    )


def payload_of(block: Block, fork: Fork) -> PayloadEnvelope:
    """The inverse of `header_of`, for a block of this chain."""
    header = block.header
    payload = ExecutionPayload(
        header.parent_hash,
        header.coinbase,
        header.state_root,
        header.receipts_root,
        header.bloom,
        header.mix_hash,
        header.number,
        header.gas_limit,
        header.gas_used,
        header.timestamp,
        header.extra_data,
        header.base_fee or 0,
        block.hash,
        block.transactions,
        header.blob_gas_used,
        header.excess_blob_gas,
        header.withdrawals_root if fork >= Fork.ISTHMUS else None,
    )
    return PayloadEnvelope(payload, header.parent_beacon_block_root)


def check_extra(header: Header, fork: Fork) -> None:
    """Raises `Malformed` unless extraData has the form of its fork, with parameters that count."""
    if fork == Fork.PRAGUE:
        if len(header.extra_data) > 32:
            raise Malformed("extraData is over 32 bytes")
        return
    denominator, elasticity, floor = headers.decode_extra(header.extra_data)
    if not denominator or not elasticity:
        raise Malformed("extraData with a zero denominator or elasticity")
    if (floor is not None) != (fork == Fork.JOVIAN):
        raise Malformed("extraData is of another fork")


def difference(claimed: Header, found: Header) -> str:
    """Which fields of a block are not what executing it gives."""
    names = [
        name for name, _, _ in headers.LAYOUT if getattr(claimed, name) != getattr(found, name)
    ]
    shown: list[Any] = [
        f"{name}: the block says {_short(getattr(claimed, name))}, "
        f"its execution {_short(getattr(found, name))}"
        for name in names
    ]
    return "; ".join(shown)


def _short(value: Any) -> str:
    return value.hex()[:64] if isinstance(value, bytes) else str(value)
