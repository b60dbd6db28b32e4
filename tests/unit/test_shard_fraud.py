"""Whatever a curator does to a shard that a judge can see, a validator finds and proves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datanet.fraud import Examined, find_shard_fraud
from protocol.court import ShardKind
from protocol.datanet import (
    Contribution,
    Document,
    Shard,
    assemble,
    decode_table,
    domain,
    shard_of,
)
from protocol.merkle import DOCUMENT, TEXT, TEXT_LEAF, ByteTree, byte_root
from protocol.openings import DocumentOpening
from protocol.refute_shards import ShardRefutation, WrongText, convicts_shard
from protocol.signature import ORDER_HALF, Domain, address_of, sign
from protocol.windows import open_text
from tests.courtroom import CONTRIBUTORS, PHRASES, TERMS, contributor_secret, shards

REGISTRY = domain(7, b"\xda" * 20)
DATANET = 1
SIGNERS: Mapping[int, bytes] = {  # 0 is the treasury
    number: address_of(contributor_secret(number)) for number in range(CONTRIBUTORS + 1)
}
ORDER = 2 * ORDER_HALF + 1  # of the curve's group
Table = tuple[Document, ...]


@dataclass(frozen=True)
class Court:
    """The chain around the last of `shards`; it is a `ShardContext`."""

    shards: Sequence[Shard]
    datanet: int = DATANET
    registry: Domain = REGISTRY

    @property
    def index(self) -> int:
        return len(self.shards) - 1

    def shard(self, index: int) -> Shard | None:
        return self.shards[index] if index < len(self.shards) else None

    def signer(self, contributor: int) -> bytes | None:
        return SIGNERS.get(contributor)


FIRST, HONEST = shards(REGISTRY)  # (text, table) of a final shard and of the one after it


def judged(text: bytes, table: Table) -> tuple[ShardRefutation | None, bool]:
    """What is found in this second shard, and whether the contract convicts."""
    shard = Examined(DATANET, 1, text, table)
    found = find_shard_fraud(shard, [FIRST[1]], REGISTRY, SIGNERS)
    posted = shard_of(text, table)
    court = Court([shard_of(*FIRST), posted])
    return found, found is not None and convicts_shard(found, posted, court)


def row(data: bytes, start: int, who: int = 1, *, by: int | None = None, net: int = 1) -> Document:
    """A document of contributor `who`, signed by `by` for Datanet `net`."""
    root = byte_root(TEXT, data)
    digest = Contribution(net, root, len(data), TERMS, who, start).digest(REGISTRY)
    signature = sign(contributor_secret(who if by is None else by), digest)
    return Document(start, len(data), who, start, root, TERMS, signature)


def book(rows: Sequence[tuple[int, bytes]]) -> tuple[bytes, Table]:
    text, starts = assemble([data for _, data in rows])
    return text, tuple(
        row(data, start, who) for (who, data), start in zip(rows, starts, strict=True)
    )


def other_s(signature: bytes) -> bytes:
    """The twin with s in the upper half, which a careless recovery takes for the same."""
    s = int.from_bytes(signature[32:64], "big")
    return signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes((55 - signature[64],))


def changed(number: int, **fields: object) -> tuple[bytes, Table]:
    text, table = HONEST
    rows = list(table)
    rows[number] = replace(rows[number], **fields)  # type: ignore[arg-type]
    return text, tuple(rows)


def empty_inside() -> tuple[bytes, Table]:
    """A signed document of no bytes, in its place."""
    text, table = book([(1, PHRASES[4]), (2, PHRASES[6])])
    middle, last = table[0].end + 1, table[1]
    moved = row(PHRASES[6], middle + 1, last.contributor)
    return text[:middle] + b"\xff" + text[middle:], (table[0], row(b"", middle, 3), moved)


def all_later() -> tuple[bytes, Table]:
    """An honest shard behind a byte that belongs to nobody."""
    text, table = book([(1, PHRASES[4]), (2, PHRASES[6])])
    return b"!" + text, tuple(replace(item, start=item.start + 1) for item in table)


TEXT_, TABLE = HONEST
DATA = [TEXT_[item.start : item.end] for item in TABLE]
SIGNATURE = TABLE[0].signature

# What is done to the shard, and what it is convicted of.
LIES: dict[str, tuple[Callable[[], tuple[bytes, Table]], ShardKind]] = {
    "the treasury's": (lambda: changed(1, contributor=0), ShardKind.UNSIGNED),
    "another's": (lambda: changed(1, contributor=1), ShardKind.UNSIGNED),
    "a stranger's": (lambda: changed(2, contributor=99), ShardKind.UNSIGNED),
    "a stranger's without signature": (
        lambda: changed(2, contributor=99, signature=bytes(65)),
        ShardKind.UNSIGNED,
    ),
    "no signature": (lambda: changed(2, signature=bytes(65)), ShardKind.UNSIGNED),
    "signed twice": (lambda: changed(0, signature=other_s(SIGNATURE)), ShardKind.UNSIGNED),
    "for another Datanet": (
        lambda: (TEXT_, (row(DATA[0], 1, TABLE[0].contributor, net=2), *TABLE[1:])),
        ShardKind.UNSIGNED,
    ),
    "by the treasury itself": (
        lambda: (TEXT_, (row(DATA[0], 1, 0), *TABLE[1:])),
        ShardKind.UNSIGNED,
    ),
    "other terms": (lambda: changed(1, terms=bytes(32)), ShardKind.UNSIGNED),
    "another text's root": (lambda: changed(1, content_root=bytes(32)), ShardKind.UNSIGNED),
    "used again": (lambda: changed(1, nonce=7), ShardKind.UNSIGNED),
    "begins late": (lambda: changed(0, start=2), ShardKind.ORDER),
    "begins before everything": (lambda: changed(0, start=0), ShardKind.ORDER),
    "a gap": (lambda: changed(1, start=TABLE[1].start + 1), ShardKind.ORDER),
    "an overlap": (lambda: changed(1, start=TABLE[1].start - 1), ShardKind.ORDER),
    "beyond everything": (lambda: changed(1, start=2**64 - 1), ShardKind.ORDER),
    "longer than all": (lambda: changed(2, length=2**64 - 1), ShardKind.ORDER),
    "an empty document": (empty_inside, ShardKind.ORDER),
    "a byte before everything": (all_later, ShardKind.ORDER),
    "nothing": (lambda: changed(1, length=0), ShardKind.ORDER),
    "hidden at the end": (lambda: (TEXT_ + b"\xffmore", TABLE), ShardKind.ORDER),
    "cut off": (lambda: (TEXT_[:-1], TABLE), ShardKind.ORDER),
    "the other way round": (lambda: (TEXT_, TABLE[::-1]), ShardKind.ORDER),
    "a document less": (lambda: (TEXT_, TABLE[:-1]), ShardKind.ORDER),
    "no separator": (lambda: (b" " + TEXT_[1:], TABLE), ShardKind.TEXT),
    "no separator inside": (
        lambda: (
            TEXT_[: TABLE[1].start - 1] + b"\n" + TEXT_[TABLE[1].start :],
            TABLE,
        ),
        ShardKind.TEXT,
    ),
    "twice in one shard": (
        lambda: book([(1, PHRASES[6]), (2, PHRASES[4]), (1, PHRASES[6])]),
        ShardKind.DUPLICATE,
    ),
    "another's text again": (
        lambda: book([(1, PHRASES[6]), (2, PHRASES[6])]),
        ShardKind.DUPLICATE,
    ),
    "what stands in an earlier shard": (
        lambda: book([(1, PHRASES[6]), (5, FIRST[0][FIRST[1][3].start : FIRST[1][3].end])]),
        ShardKind.DUPLICATE,
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_is_convicted_by_its_name(lie: str) -> None:
    make, kind = LIES[lie]
    found, convicted = judged(*make())
    assert found is not None
    assert found.KIND is kind
    assert convicted


def test_an_honest_shard_is_left_alone() -> None:
    assert judged(*HONEST) == (None, False)
    alone = Examined(DATANET, 0, *FIRST)
    assert find_shard_fraud(alone, [], REGISTRY, SIGNERS) is None


words = st.sampled_from([phrase.decode() for phrase in PHRASES])
documents = st.lists(
    st.tuples(
        st.integers(1, CONTRIBUTORS),
        st.lists(words | st.text(min_size=1, max_size=40), min_size=1, max_size=12),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda item: " ".join(item[1]),
).map(lambda rows: [(who, (" ".join(parts) + "\n!").encode()) for who, parts in rows])


@settings(max_examples=60, deadline=None)
@given(documents)
def test_no_honest_shard_is_ever_refuted(rows: list[tuple[int, bytes]]) -> None:
    assert judged(*book(rows)) == (None, False)


@settings(max_examples=120, deadline=None)
@given(documents, st.data())
def test_one_byte_of_the_table_is_enough(
    rows: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """Every field of a row is signed, or ordered, or the signature."""
    text, table = book(rows)
    wire = bytearray(b"".join(item.encode() for item in table))
    wire[data.draw(st.integers(0, len(wire) - 1))] ^= data.draw(st.integers(1, 255))

    found, convicted = judged(text, decode_table(bytes(wire)))
    assert found is not None
    assert convicted


@settings(max_examples=60, deadline=None)
@given(documents, st.data())
def test_every_separator_counts(rows: list[tuple[int, bytes]], data: st.DataObject) -> None:
    text, table = book(rows)
    place = data.draw(st.sampled_from(table)).start - 1
    torn = text[:place] + bytes([data.draw(st.integers(0, 254))]) + text[place + 1 :]

    found, convicted = judged(torn, table)
    assert found is not None
    assert found.KIND is ShardKind.TEXT
    assert convicted


@settings(max_examples=40, deadline=None)
@given(documents, st.data())
def test_other_words_are_proved_by_whoever_has_what_was_signed(
    rows: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """From the shard alone no leaf of the signed text can be opened, so nothing is claimed."""
    text, table = book(rows)
    number = data.draw(st.integers(0, len(rows) - 1))
    said, signed = rows[number][1], table[number]
    at = data.draw(st.integers(0, len(said) - 1))
    place = signed.start + at
    other = bytes([data.draw(st.integers(0, 254).filter(lambda byte: byte != said[at]))])
    wrong = text[:place] + other + text[place + 1 :]
    assert judged(wrong, table) == (None, False)

    leaf, tree = at // TEXT_LEAF, ByteTree(TEXT, said)
    start = leaf * TEXT_LEAF
    end = min(start + TEXT_LEAF, len(said))
    rows_tree = ByteTree(DOCUMENT, b"".join(item.encode() for item in table))
    opening = open_text(
        ByteTree(TEXT, wrong), wrong, signed.start + start, signed.start + end, before=False
    )
    refutation = WrongText(
        DATANET,
        1,
        DocumentOpening(number, signed.encode(), tuple(rows_tree.siblings(number))),
        leaf,
        said[start:end],
        tuple(tree.siblings(leaf)),
        opening,
    )
    posted = shard_of(wrong, table)
    assert convicts_shard(refutation, posted, Court([shard_of(*FIRST), posted]))
