"""The score book: what earns a ban, what fades, what survives a restart."""

from pathlib import Path

import pytest

from p2p.score import BAN_SECONDS, HALF_LIFE_SECONDS, PEERS_MAX, Offence, ScoreBook
from p2p.standing import Standing
from protocol.errors import Malformed


def test_points_add_up_to_a_ban_and_bans_double() -> None:
    """Five malformed messages ban; the next ban of the same peer lasts twice as long."""
    book = ScoreBook()

    assert [book.punish(b"p", Offence.MALFORMED, 0.0) for _ in range(5)] == [False] * 4 + [True]
    assert book.banned(b"p", BAN_SECONDS - 1)
    assert not book.banned(b"p", BAN_SECONDS)
    for _ in range(5):
        book.punish(b"p", Offence.MALFORMED, BAN_SECONDS)
    assert book.banned(b"p", 3 * BAN_SECONDS - 1)
    assert not book.banned(b"p", 3 * BAN_SECONDS)


def test_guilt_halves() -> None:
    """An honest peer with a rare fault never adds up to a ban."""
    book = ScoreBook()
    book.punish(b"p", Offence.FALSE_CHUNK, 0.0)
    assert book.points(b"p", HALF_LIFE_SECONDS) == pytest.approx(25.0)
    assert not any(book.punish(b"p", Offence.MALFORMED, hour * 3600.0) for hour in range(1, 1000))


def test_every_offence_counts_by_itself() -> None:
    """No two offences are one by accident of their weight."""
    assert len(Offence) == 7
    for offence in Offence:
        book = ScoreBook()
        book.punish(b"p", offence, 0.0)
        assert book.points(b"p", 0.0) > 0


def test_memory_is_bounded_and_bans_outlast_it() -> None:
    """A swarm of new ids pushes out the least guilty, never a ban."""
    book = ScoreBook()
    for _ in range(5):
        book.punish(b"banned", Offence.MALFORMED, 0.0)
    for number in range(PEERS_MAX + 50):
        book.punish(b"n%d" % number, Offence.STALE, 1.0)

    assert len(book) == PEERS_MAX
    assert book.banned(b"banned", 2.0)


def test_book_survives_and_refuses_what_is_broken() -> None:
    """Decode inverts encode; a cut, a tail and a foreign version are `Malformed`."""
    book = ScoreBook()
    for _ in range(5):
        book.punish(b"a", Offence.MALFORMED, 10.0)
    book.punish(b"b", Offence.BROKEN_STREAM, 11.0)
    data = book.encode()

    again = ScoreBook.decode(data)
    assert again.encode() == data
    assert again.banned_peers(12.0) == [b"a"]
    for broken in [data[:-1], data + b"\x00", b"\x02" + data[1:], b""]:
        with pytest.raises(Malformed):
            ScoreBook.decode(broken)


def test_ban_is_on_disk_at_once_and_a_broken_file_is_no_obstacle(tmp_path: Path) -> None:
    """A kill right after the ban forgets nothing; a damaged book starts anew and is counted."""
    banned: list[bytes] = []
    standing = Standing(tmp_path / "scores", lambda: 100.0)
    standing.on_ban = banned.append
    for _ in range(5):
        standing.blame(b"p", Offence.MALFORMED)

    assert banned == [b"p"]
    assert Standing(tmp_path / "scores", lambda: 101.0).banned(b"p")
    (tmp_path / "scores").write_bytes(b"rubbish")
    assert Standing(tmp_path / "scores").counts["score_book_lost"] == 1
