"""The bridge's plain parts: amounts, the book, how far a withdrawal is, the rhythm of outputs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.bedrock.portal import Output, Proven, Rhythm
from node.bridge.amounts import address, digest, shown, wei
from node.bridge.book import Book
from node.bridge.stages import Facts, Judgement, Stage, judge
from node.exits import WrongSettings
from node.store import Store
from protocol.parameters import OPEN

RHYTHM = Rhythm(interval=30, block_time=2, starting_block=0, starting_time=1_000, period=12)
ROOT = b"\x01" * 32
LATEST = Output(index=2, root=ROOT, time=1_190, block=90)
WAITING = Facts(
    block=91, now=1_200, rhythm=RHYTHM, latest=LATEST, proven=None, proven_output=None,
    finalized=False,
)  # fmt: skip
TO = b"\x0a" * 20


class Disk:
    """A store in memory."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}

    def scan(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        return [(k, v) for k, v in self.records.items() if k.startswith(prefix)]

    def write(self, puts: Mapping[bytes, bytes | None], *, sync: bool = False) -> None:
        assert sync
        for key, value in puts.items():
            assert value is not None
            self.records[key] = value


@given(st.integers(1, 10**30))
def test_amounts_are_read_as_they_are_shown(amount: int) -> None:
    assert wei(shown(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", OPEN), ("0.000000000000000001", 1), ("12.50", 25 * OPEN // 2), ("007", 7 * OPEN)],
)
def test_an_amount_is_in_open(text: str, amount: int) -> None:
    assert wei(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0.0", "-1", "+1", "1e3", "1.", ".5", "1,5", "1.0000000000000000001"),
        *("٣", "0x10", "9" * 41, " 1", "1 ", "nan"),
    ],
)
def test_what_is_no_amount_is_told(text: str) -> None:
    with pytest.raises(WrongSettings, match="AMOUNT"):
        wei(text)


def test_addresses_and_hashes_have_their_size() -> None:
    assert address("0x" + TO.hex()) == TO
    assert digest(ROOT.hex().upper()) == ROOT
    for text in ("", "0x", TO.hex()[1:], TO.hex() + "00", "g" * 40, "0x" + "00" * 20):
        with pytest.raises(WrongSettings, match="--to"):
            address(text)
    with pytest.raises(WrongSettings, match="HASH"):
        digest(TO.hex())


def test_the_book_survives_its_reader(tmp_path: Path) -> None:
    with Store.open(tmp_path / "book") as store:
        book = Book(store)
        first = book.add("deposit", 5, TO, 1.5)
        second = book.add("withdrawal", 6, TO, 2.5)
        book.end(first, "arrived")

    with Store.open(tmp_path / "book") as store:
        again = Book(store)

        assert again.all() == [replace(first, ended="arrived"), second]
        assert again.open("deposit") == []
        assert again.open("withdrawal") == [second]
        assert again.add("deposit", 7, TO, 3.5).number == 2


def test_the_book_keeps_the_order_beyond_one_byte() -> None:
    book = Book(Disk())

    made = [book.add("deposit", n + 1, TO, float(n)) for n in range(300)]

    assert book.all() == made


@pytest.mark.parametrize(
    ("facts", "judgement"),
    [
        (WAITING, Judgement(Stage.OUTPUT, 1_240)),  # block 120 covers block 91
        (replace(WAITING, latest=None, block=1), Judgement(Stage.OUTPUT, 1_060)),
        (replace(WAITING, block=90), Judgement(Stage.PROVABLE, 1_190)),
        (
            replace(WAITING, proven=Proven(ROOT, 1_195, 2), proven_output=LATEST),
            Judgement(Stage.PERIOD, 1_208),
        ),
        (
            replace(WAITING, proven=Proven(ROOT, 1_187, 2), proven_output=LATEST, now=1_203),
            Judgement(Stage.FINALIZABLE, 1_203),
        ),
        (
            replace(WAITING, proven=Proven(ROOT, 1_187, 2), proven_output=LATEST, now=1_202),
            Judgement(Stage.PERIOD, 1_203),
        ),
        (replace(WAITING, finalized=True), Judgement(Stage.FINALIZED, None)),
    ],
)
def test_a_withdrawal_is_as_far_as_the_portal_says(facts: Facts, judgement: Judgement) -> None:
    assert judge(facts) == judgement


@pytest.mark.parametrize("now_there", [None, replace(LATEST, root=b"\x02" * 32)])
def test_a_proof_against_a_deleted_output_does_not_count(now_there: Output | None) -> None:
    proven = Proven(ROOT, 1_195, 2)

    covered = replace(WAITING, block=90, proven=proven, proven_output=now_there)

    assert judge(covered).stage is Stage.PROVABLE
    assert judge(replace(covered, block=91)).stage is Stage.OUTPUT


@given(st.integers(1, 10_000), st.integers(1, 500), st.integers(0, 1_000))
def test_the_covering_output_is_the_first(block: int, interval: int, start: int) -> None:
    rhythm = replace(RHYTHM, interval=interval, starting_block=start)

    covering = rhythm.covering(start + block)

    assert covering >= start + block
    assert covering - interval < start + block
    assert (covering - start) % interval == 0
