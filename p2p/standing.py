"""The score book of this node on disk and on the clock, and what happens to who is banned."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import trio

from p2p.score import Offence, ScoreBook
from protocol.errors import Malformed

SAVE_SECONDS = 60.0  # bans are written at once, points this often


class Standing:
    """Blame goes in here from every part of p2p; `on_ban` is called once per ban.

    `path` is the file that survives restarts; None keeps it in memory (tests). A book that cannot
    be read starts empty: losing scores is better than a node that does not start.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        self.counts: Counter[str] = Counter()  # what happened how often, for the metrics
        self.on_ban: Callable[[bytes], None] = lambda peer: None
        self._path = path
        self._clock = clock
        self._book = self._load()
        self._dirty = False

    def blame(self, peer: bytes, offence: Offence) -> None:
        self.counts[f"offence:{offence.name.lower()}"] += 1
        self._dirty = True
        if self._book.punish(peer, offence, self._clock()):
            self.counts["bans"] += 1
            self.save()
            self.on_ban(peer)

    def count(self, event: str) -> None:
        self.counts[event] += 1

    def banned(self, peer: bytes) -> bool:
        return self._book.banned(peer, self._clock())

    def points(self, peer: bytes) -> float:
        return self._book.points(peer, self._clock())

    def banned_peers(self) -> list[bytes]:
        return self._book.banned_peers(self._clock())

    def save(self) -> None:
        """Atomic; at most a few hundred kilobytes. A full disk is counted: it is no reason to die,
        and blame is cast from inside libp2p, which an exception would end."""
        if self._path is None:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(self._book.encode())
            os.replace(temporary, self._path)
        except OSError:
            self.counts["score_book_unsaved"] += 1
        else:
            self._dirty = False

    async def run(self) -> None:
        """Write the points from time to time, and once more at the end."""
        try:
            while True:
                await trio.sleep(SAVE_SECONDS)
                if self._dirty:
                    self.save()
        finally:
            self.save()

    def _load(self) -> ScoreBook:
        if self._path is None or not self._path.exists():
            return ScoreBook()
        try:
            return ScoreBook.decode(self._path.read_bytes())
        except Malformed:
            self.counts["score_book_lost"] += 1
            return ScoreBook()
