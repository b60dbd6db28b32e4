"""Searching the chain for events: by address, by topics, over a bounded range."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from eth_hash.auto import keccak

from rollup.engine.chain import Chain
from rollup.engine.errors import INVALID_PARAMS, LIMIT_EXCEEDED, Failure
from rollup.engine.formats import data, log
from rollup.engine.values import Block, Log, bloom_bits

RANGE_BLOCKS_MAX: Final = 5_000
LOGS_MAX: Final = 10_000
LOG_CHARS_MAX: Final = 32 << 20
SEARCH_SECONDS_MAX: Final = 5.0
ADDRESSES_MAX: Final = 1_000
TOPICS_MAX: Final = 4
ALTERNATIVES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Filter:
    """Empty `addresses` and an empty set of alternatives both mean: anything.

    What each alternative sets in a bloom is hashed once: a filter is asked about thousands of them.
    """

    addresses: frozenset[bytes]
    topics: tuple[frozenset[bytes], ...]
    _masks: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        wanted = filter(None, (self.addresses, *self.topics))
        masks = tuple(tuple(map(bloom_bits, alternatives)) for alternatives in wanted)
        object.__setattr__(self, "_masks", masks)

    @property
    def criteria(self) -> int:
        return len(self.addresses) + sum(map(len, self.topics))

    def may_hold(self, bloom: int) -> bool:
        """False only if no log under this bloom can match."""
        return all(any(bloom & mask == mask for mask in masks) for masks in self._masks)

    def matches(self, entry: Log) -> bool:
        if self.addresses and entry.address not in self.addresses:
            return False
        if len(self.topics) > len(entry.topics):
            return False
        pairs = zip(self.topics, entry.topics, strict=False)
        return all(not wanted or topic in wanted for wanted, topic in pairs)


def read_filter(value: dict[str, Any]) -> Filter:
    """The `address` and `topics` of an eth_getLogs object. Raises `Failure`."""
    raw = value.get("address")
    addresses = [] if raw is None else raw if isinstance(raw, list) else [raw]
    topics = value.get("topics")
    topics = [] if topics is None else topics
    if not isinstance(topics, list) or len(topics) > TOPICS_MAX:
        raise Failure(
            INVALID_PARAMS, f"invalid argument: topics must be a list of at most {TOPICS_MAX}"
        )
    if len(addresses) > ADDRESSES_MAX:
        raise Failure(INVALID_PARAMS, f"invalid argument: more than {ADDRESSES_MAX} addresses")
    return Filter(
        frozenset(data(a, 20, "address") for a in addresses), tuple(map(_alternatives, topics))
    )


def search(chain: Chain, wanted: Filter, first: int, last: int) -> list[dict[str, Any]]:
    """Logs of first..last in order; runs in a worker thread. Raises `Failure` over a bound."""
    if last - first >= RANGE_BLOCKS_MAX:
        raise Failure(
            LIMIT_EXCEEDED,
            f"range of {last - first + 1} blocks is over the limit of {RANGE_BLOCKS_MAX}",
        )
    out: list[dict[str, Any]] = []
    size = 0
    deadline = time.monotonic() + SEARCH_SECONDS_MAX
    for header in chain.blocks.headers(first, last) if first <= last else ():
        if time.monotonic() > deadline:
            raise Failure(LIMIT_EXCEEDED, "query takes too long: ask for fewer blocks")
        before = len(out)
        if header.gas_used and wanted.may_hold(int.from_bytes(header.bloom, "big")):
            block = chain.blocks.block(header.number)
            if block is not None:
                out += in_block(block, wanted)
        if len(out) > LOGS_MAX:
            raise Failure(LIMIT_EXCEEDED, f"query returned more than {LOGS_MAX} results")
        size += sum(len(found["data"]) for found in out[before:])
        if size > LOG_CHARS_MAX:
            raise Failure(LIMIT_EXCEEDED, "query returned too much data: ask for fewer blocks")
    return out


def in_block(block: Block, wanted: Filter, *, removed: bool = False) -> list[dict[str, Any]]:
    """The matching logs of one block, in order; `removed` marks those of a block that left."""
    out: list[dict[str, Any]] = []
    if not wanted.may_hold(int.from_bytes(block.header.bloom, "big")):
        return out
    n = 0
    for index, receipt in enumerate(block.receipts):
        for entry in receipt.logs:
            if wanted.matches(entry):
                found = log(entry, block, keccak(block.transactions[index]), index, n)
                out.append(found | {"removed": removed})
            n += 1
    return out


def _alternatives(topic: Any) -> frozenset[bytes]:
    if topic is None:
        return frozenset()
    values = topic if isinstance(topic, list) else [topic]
    if len(values) > ALTERNATIVES_MAX:
        raise Failure(INVALID_PARAMS, f"invalid argument: more than {ALTERNATIVES_MAX} topics")
    if None in values:  # geth: null among alternatives matches anything
        return frozenset()
    return frozenset(data(v, 32, "topic") for v in values)
