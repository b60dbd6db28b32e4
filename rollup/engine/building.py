"""One block under construction: its transactions one by one, then its header over them all."""

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from eth.exceptions import StateRootNotFound
from eth.vm.interrupt import EVMMissingData
from trie.exceptions import MissingTraversalNode, MissingTrieNode

from protocol.errors import Malformed, Refused
from rollup.codec.header import (
    decode_extra,
    encode_holocene_extra,
    encode_jovian_extra,
    next_base_fee,
)
from rollup.codec.payload import PayloadAttributes
from rollup.codec.trie import trie_root
from rollup.engine import execution, op
from rollup.engine.errors import CorruptStore
from rollup.engine.execution import Environment, NonceTooHigh, Outcome
from rollup.engine.kv import Reads
from rollup.engine.rules import Fork, Rules
from rollup.engine.transaction import Transaction, included
from rollup.engine.values import (
    DEPOSIT,
    EMPTY_REQUESTS,
    EMPTY_TRIE,
    EMPTY_UNCLES,
    Block,
    Header,
    Receipt,
    bloom,
    merge,
)

TRANSACTION_SECONDS_MAX: Final = 0.8
"""Of this thread, for one from the pool; about 4 million gas of usual code on one slow core."""
TIMESTAMP_MAX: Final = 2**63
MISSING_STATE: Final = (MissingTrieNode, MissingTraversalNode, StateRootNotFound, EVMMissingData)


class Picker(Protocol):
    """The waiting transactions in the order in which they may enter."""

    def peek(self) -> Transaction | None: ...
    def advance(self) -> None: ...
    def skip_sender(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Fields:
    """What the header of a new block says before anything was executed."""

    timestamp: int
    coinbase: bytes
    mix_hash: bytes
    beacon_root: bytes
    gas_limit: int
    extra_data: bytes


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block with the trie nodes and code that it adds; nothing of it is on disk."""

    block: Block
    nodes: dict[bytes, bytes]


class Ancestry(Iterable[bytes]):
    """Hashes of a block's ancestors, the parent's first, each looked up when it is first asked."""

    def __init__(self, parent_hash: bytes, parent_of: Callable[[bytes], bytes | None]) -> None:
        self._known = [parent_hash]
        self._parent_of = parent_of

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        while True:
            if at == len(self._known):
                parent = self._parent_of(self._known[-1])
                if parent is None:
                    return
                self._known.append(parent)
            yield self._known[at]
            at += 1


def fields_of(attributes: PayloadAttributes, rules: Rules) -> Fields:
    """Raises `Malformed` when the attributes are not those of the fork at their time.

    https://specs.optimism.io/protocol/holocene/exec-engine.html#eip-1559-parameters-in-payloadattributesv3
    """
    fork = rules.fork(attributes.timestamp)
    params, floor = attributes.eip1559_params, attributes.min_base_fee
    if (floor is not None) != (fork == Fork.JOVIAN):
        raise Malformed("minBaseFee belongs to Jovian, and only to Jovian")
    if (params is not None) != (fork != Fork.PRAGUE):
        raise Malformed("eip1559Params belong to Holocene, and to what comes after")
    extra = b"" if params is None else _extra(params, floor, rules)
    if not attributes.timestamp < TIMESTAMP_MAX or attributes.gas_limit == 0:
        raise Malformed("timestamp or gas limit out of range")
    return Fields(
        attributes.timestamp,
        attributes.fee_recipient,
        attributes.prev_randao,
        attributes.parent_beacon_block_root,
        attributes.gas_limit,
        extra,
    )


def _extra(params: bytes, floor: int | None, rules: Rules) -> bytes:
    """Zeros in the attributes mean the chain's own constants, which then stand in the header."""
    denominator, elasticity, _ = decode_extra(b"\0" + params)
    if not denominator:
        denominator, elasticity = rules.canyon_eip1559
    if floor is None:
        return encode_holocene_extra(denominator, elasticity)
    return encode_jovian_extra(denominator, elasticity, floor)


class Assembly:
    """Raises `Refused` for a transaction that may not enter, with the state as before it; whoever
    feeds forced transactions gives the block up then."""

    def __init__(
        self,
        below: Reads,
        rules: Rules,
        parent: Header,
        fields: Fields,
        ancestors: Iterable[bytes],
    ) -> None:
        if not parent.timestamp < fields.timestamp:
            raise Refused(
                f"block timestamp {fields.timestamp} is not after its parent's {parent.timestamp}"
            )
        self.rules, self.fields, self.parent = rules, fields, parent
        self.parent_hash = next(iter(ancestors))
        self.fork = rules.fork(fields.timestamp)
        self.base_fee = next_base_fee(parent, rules, fields.timestamp)
        self.gas_used = 0
        self.footprint = 0
        self.transactions: list[bytes] = []
        self.dropped: list[bytes] = []
        self._senders: list[bytes] = []
        self._receipts: list[Receipt] = []
        self._types: list[int] = []
        self._inside: set[bytes] = set()
        self._scalar: int | None = None
        environment = Environment(
            parent.number + 1,
            fields.timestamp,
            fields.coinbase,
            fields.mix_hash,
            fields.gas_limit,
            self.base_fee,
            ancestors,
        )
        self.state, self._overlay = execution.open_state(
            below, parent.state_root, rules, environment
        )
        execution.begin(self.state, self.parent_hash, fields.beacon_root)

    def force(self, raws: Sequence[bytes]) -> None:
        """Raises `Refused` or `Malformed` at the first transaction that makes the block invalid."""
        for raw in raws:
            if raw[:1] == bytes([DEPOSIT]):
                if not self.rules.optimism:
                    raise Malformed("a deposit on a chain that has none")
                self._deposit(raw)
            else:
                self.include(included(raw, self.rules.chain_id))

    def include(self, transaction: Transaction) -> None:
        if transaction.gas > self.fields.gas_limit - self.gas_used:
            raise Refused("gas limit reached")
        counted = self._counted(transaction.raw)
        execution.check(self.state, transaction)
        outcome = execution.apply(self.state, transaction)
        self.footprint += counted
        self._inside.add(transaction.hash)
        self._add(transaction.raw, transaction.type_id, transaction.sender, outcome)

    def fill(self, picker: Picker, deadline: float) -> None:
        """Take from the pool until it is empty or `deadline` (monotonic) has passed."""
        while (transaction := picker.peek()) is not None and time.monotonic() < deadline:
            if transaction.hash in self._inside:  # an earlier call took it
                picker.advance()
                continue
            if transaction.gas > self.fields.gas_limit - self.gas_used:
                picker.skip_sender()
                continue
            refusal = self._try(transaction)
            if refusal is None:
                picker.advance()
                continue
            if not isinstance(refusal, NonceTooHigh | Full):
                self.dropped.append(transaction.hash)
            picker.skip_sender()

    def nonces(self) -> dict[bytes, int]:
        """The next nonce of each sender in this block; before `seal`."""
        signers = [s for s, kind in zip(self._senders, self._types, strict=True) if kind != DEPOSIT]
        return {sender: self.state.get_nonce(sender) for sender in set(signers)}

    def pause(self) -> tuple[bytes, dict[bytes, bytes]]:
        """The state root between two transactions, and the nodes made so far."""
        root = self.state.make_state_root()
        self.state.persist()
        return bytes(root), dict(self._overlay.added)

    def seal(self) -> Sealed:
        """Nothing may be added any more.  Raises `Malformed` for a Jovian block without L1
        attributes."""
        if self.fork >= Fork.JOVIAN and self._scalar is None:
            op.footprint_scalar(self.transactions)
        root = self.state.make_state_root()
        withdrawals = EMPTY_TRIE
        if self.fork >= Fork.ISTHMUS:
            withdrawals = execution.storage_root(self.state, op.MESSAGE_PASSER)
        self.state.persist()
        blooms = [bloom(receipt.logs) for receipt in self._receipts]
        encoded = [
            receipt.encode(kind, each)
            for receipt, kind, each in zip(self._receipts, self._types, blooms, strict=True)
        ]
        header = Header(
            parent_hash=self.parent_hash,
            uncles_hash=EMPTY_UNCLES,
            coinbase=self.fields.coinbase,
            state_root=root,
            transactions_root=trie_root(self.transactions),
            receipts_root=trie_root(encoded),
            bloom=merge(blooms),
            difficulty=0,
            number=self.parent.number + 1,
            gas_limit=self.fields.gas_limit,
            gas_used=self.gas_used,
            timestamp=self.fields.timestamp,
            extra_data=self.fields.extra_data,
            mix_hash=self.fields.mix_hash,
            nonce=bytes(8),
            base_fee=self.base_fee,
            withdrawals_root=withdrawals,
            blob_gas_used=self.footprint,
            excess_blob_gas=0,
            parent_beacon_block_root=self.fields.beacon_root,
            requests_hash=None if self.fork == Fork.HOLOCENE else EMPTY_REQUESTS,
        )
        return Sealed(self._block(header), self._overlay.added)

    def _block(self, header: Header) -> Block:
        return Block(
            header,
            header.hash,
            tuple(self.transactions),
            tuple(self._senders),
            tuple(self._receipts),
            len(header.encode()) + sum(map(len, self.transactions)),
        )

    def _try(self, transaction: Transaction) -> Exception | None:
        """Include one transaction, or say why not with the state as before.

        An unforeseen exception of the interpreter drops this one transaction: ending the process
        would let anybody stop the chain by sending it again.
        """
        snapshot = self.state.snapshot()
        self.state.clock = time.thread_time
        self.state.deadline = time.thread_time() + TRANSACTION_SECONDS_MAX
        try:
            self.include(transaction)
        except Refused as refusal:
            self.state.revert(snapshot)
            return refusal
        except (*MISSING_STATE, CorruptStore):
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            self.state.revert(snapshot)
            return error
        finally:
            self.state.deadline = None
        return None

    def _deposit(self, raw: bytes) -> None:
        deposit = op.read_deposit(raw)
        if deposit.gas > self.fields.gas_limit - self.gas_used:
            raise Refused("gas limit reached by a deposit")
        self._add(raw, DEPOSIT, deposit.sender, execution.apply_deposit(self.state, deposit))

    def _counted(self, raw: bytes) -> int:
        """The data-availability footprint of a transaction, if there is room for it."""
        if self.fork < Fork.JOVIAN:
            return 0
        if self._scalar is None:
            self._scalar = op.footprint_scalar([*self.transactions, raw])
        counted = op.footprint(raw, self._scalar)
        if self.footprint + counted > self.fields.gas_limit:
            raise Full("data availability footprint limit reached")
        return counted

    def _add(self, raw: bytes, kind: int, sender: bytes, outcome: Outcome) -> None:
        self.gas_used += outcome.gas_used
        self.transactions.append(raw)
        self._senders.append(sender)
        self._types.append(kind)
        self._receipts.append(
            Receipt(
                outcome.status,
                outcome.gas_used,
                self.gas_used,
                outcome.logs,
                outcome.created,
                outcome.deposit_nonce,
                outcome.l1_fee,
            )
        )


class Full(Refused):
    """The transaction is good, but the block has no room for it."""
