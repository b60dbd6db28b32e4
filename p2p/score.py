"""Who misbehaved how much, as a pure value with time as a parameter.

libp2p wipes its own scores when a peer disconnects, so a liar would be new each time he dials.
"""

import math
from dataclasses import dataclass
from enum import Enum

from protocol.errors import Malformed

PEERS_MAX = 4096  # remembered; the least guilty unbanned peer is forgotten first
PEER_ID_BYTES_MAX = 64
HALF_LIFE_SECONDS = 1800.0  # old guilt halves every half hour
BAN_POINTS = 100.0
BAN_SECONDS = 3600.0  # the first ban; each further one doubles
BANS_DOUBLED_MAX = 8  # so that the longest is about ten days
VERSION = 1


class Offence(Enum):
    """What a peer can be blamed for."""

    STALE = "an epoch outside the window"  # a wrong clock, or old news
    UNREGISTERED = "an unregistered sender"  # perhaps our own chain lags
    FLOOD = "over the rate"
    BROKEN_STREAM = "a stream that raised"
    BAD_ANSWER = "an answer over its bound or out of format"
    MALFORMED = "bytes that no honest node forwards"
    FALSE_CHUNK = "a chunk that does not belong to its root"


POINTS = {
    Offence.STALE: 1.0,
    Offence.UNREGISTERED: 1.0,
    Offence.FLOOD: 0.25,
    Offence.BROKEN_STREAM: 5.0,
    Offence.BAD_ANSWER: 20.0,
    Offence.MALFORMED: 20.0,
    Offence.FALSE_CHUNK: 50.0,
}


@dataclass(slots=True)
class _Record:
    points: float
    at: float
    bans: int
    until: float


class ScoreBook:
    """Points and bans by peer id. A banned peer may neither connect nor speak."""

    def __init__(self) -> None:
        self._records: dict[bytes, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def punish(self, peer: bytes, offence: Offence, now: float) -> bool:
        """Add the points of one offence; True if that is what bans the peer."""
        record = self._records.setdefault(peer, _Record(0.0, now, 0, 0.0))
        record.points = _decayed(record, now) + POINTS[offence]
        record.at = max(now, record.at)
        banned = record.points >= BAN_POINTS and record.until <= now
        if banned:
            record.until = now + BAN_SECONDS * 2 ** min(record.bans, BANS_DOUBLED_MAX)
            record.bans += 1
            record.points = 0.0
        if len(self._records) > PEERS_MAX:
            self._forget_one(now)
        return banned

    def banned(self, peer: bytes, now: float) -> bool:
        record = self._records.get(peer)
        return record is not None and record.until > now

    def points(self, peer: bytes, now: float) -> float:
        record = self._records.get(peer)
        return 0.0 if record is None else _decayed(record, now)

    def banned_peers(self, now: float) -> list[bytes]:
        return sorted(peer for peer, record in self._records.items() if record.until > now)

    def encode(self) -> bytes:
        """version u8 ++ records by peer: size u8 ++ peer ++ milli-points u32 ++ at u64 ++ bans u16
        ++ until u64 (times in whole seconds)."""
        parts = [bytes([VERSION])]
        for peer, record in sorted(self._records.items()):
            milli = min(int(record.points * 1000), 2**32 - 1)
            parts.append(bytes([len(peer)]) + peer + milli.to_bytes(4, "big"))
            parts.append(int(record.at).to_bytes(8, "big"))
            parts.append(min(record.bans, 2**16 - 1).to_bytes(2, "big"))
            parts.append(int(record.until).to_bytes(8, "big"))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> "ScoreBook":
        book = cls()
        if data[:1] != bytes([VERSION]):
            raise Malformed("a score book of an unknown version")
        at, last = 1, b""
        while at < len(data):
            size = data[at]
            end = at + 1 + size + 22
            peer, rest = data[at + 1 : at + 1 + size], data[at + 1 + size : end]
            if end > len(data) or not 0 < size <= PEER_ID_BYTES_MAX or peer <= last:
                raise Malformed("a broken score book")
            book._records[peer] = _Record(
                int.from_bytes(rest[:4], "big") / 1000,
                float(int.from_bytes(rest[4:12], "big")),
                int.from_bytes(rest[12:14], "big"),
                float(int.from_bytes(rest[14:22], "big")),
            )
            at, last = end, peer
        if len(book) > PEERS_MAX:
            raise Malformed("a score book over its bound")
        return book

    def _forget_one(self, now: float) -> None:
        def weight(peer: bytes) -> tuple[bool, float, float]:
            record = self._records[peer]
            return record.until > now, _decayed(record, now), record.at

        del self._records[min(self._records, key=weight)]


def _decayed(record: _Record, now: float) -> float:
    return record.points * math.exp2(-max(0.0, now - record.at) / HALF_LIFE_SECONDS)
