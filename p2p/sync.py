"""Range sync: gossip loses messages and repairs nothing, so peers compare what they hold.

request = size u32 ++ topic ++ since u64 ++ fold[8] ++ count u16 ++ count * short id[8]
answer  = same u8 ++ count u16 ++ count * (size u32 ++ envelope)

A first request carries no ids, only their fold (the xor of all since that epoch): mostly both
sides hold the same and one byte says so. Otherwise the asker lists what it has, and gets the rest.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import trio

from p2p.gossip import Gossip, Verdict
from p2p.peers import Peers
from p2p.score import Offence
from p2p.standing import Standing
from protocol.codec import Reader, blob, require, uint
from protocol.envelope import ENVELOPE_BYTES_MAX
from protocol.errors import Malformed, NodeError

PROTOCOL = "/openledger/sync/1"
ROUND_SECONDS = 3.0
EPOCHS_BACK = 1  # what is older is about to leave every window
IDS_MAX = 4096
SHORT_BYTES = 8
TOPIC_BYTES_MAX = 256
REQUEST_BYTES_MAX = 4 + TOPIC_BYTES_MAX + 8 + SHORT_BYTES + 2 + IDS_MAX * SHORT_BYTES
ANSWER_BYTES_MAX = 1024 * 1024
ANSWER_ENVELOPES_MAX = 512
TURNS_MAX = 8  # answers in a row from one peer on one topic
ASK_SECONDS = 10.0
NOTHING = bytes(SHORT_BYTES)


@dataclass(frozen=True, slots=True)
class Question:
    """Which envelopes of `topic` since epoch `since` do you have beyond `short`?"""

    topic: str
    since: int
    fold: bytes
    short: tuple[bytes, ...]

    def encode(self) -> bytes:
        head = blob(self.topic.encode()) + uint(self.since, 8) + self.fold
        return head + uint(len(self.short), 2) + b"".join(self.short)

    @classmethod
    def decode(cls, data: bytes) -> "Question":
        reader = Reader(data)
        topic, since = reader.text(limit=TOPIC_BYTES_MAX), reader.uint(8)
        fold, count = reader.take(SHORT_BYTES), reader.uint(2)
        require(count <= IDS_MAX, f"{count} ids, limit is {IDS_MAX}")
        short = tuple(reader.take(SHORT_BYTES) for _ in range(count))
        reader.end()
        return cls(topic, since, fold, short)


def encode_answer(same: bool, envelopes: Iterable[bytes]) -> bytes:
    """As many of `envelopes` as fit."""
    parts: list[bytes] = []
    room = ANSWER_BYTES_MAX - 3
    for envelope in envelopes:
        room -= len(envelope) + 4
        if room < 0 or len(parts) == ANSWER_ENVELOPES_MAX:
            break
        parts.append(blob(envelope))
    return uint(int(same), 1) + uint(len(parts), 2) + b"".join(parts)


def decode_answer(data: bytes) -> tuple[bool, list[bytes]]:
    reader = Reader(data)
    same, count = reader.uint(1), reader.uint(2)
    require(same <= 1, "neither the same nor not")
    require(count <= ANSWER_ENVELOPES_MAX, f"{count} envelopes")
    envelopes = [reader.blob(limit=ENVELOPE_BYTES_MAX) for _ in range(count)]
    reader.end()
    return bool(same), envelopes


def fold_of(ids: Iterable[bytes]) -> bytes:
    """The xor of the short ids: one set, one value, in whatever order it came together."""
    folded = 0
    for identity in ids:
        folded ^= int.from_bytes(identity[:SHORT_BYTES], "big")
    return folded.to_bytes(SHORT_BYTES, "big")


class RangeSync:
    """Asks one random peer every few seconds, and answers those who ask."""

    def __init__(self, gossip: Gossip, peers: Peers, standing: Standing) -> None:
        self._gossip = gossip
        self._peers = peers
        self._standing = standing
        peers.serve(PROTOCOL, self.answer, request_max=REQUEST_BYTES_MAX)

    async def run(self) -> None:
        while True:
            await trio.sleep(ROUND_SECONDS * random.uniform(0.5, 1.5))
            self._gossip.redeliver()
            connected = self._peers.connected()
            if connected:
                await self.round(random.choice(connected))

    async def round(self, peer: bytes) -> None:
        """Get from `peer` what we lack on every topic; a peer that fails is left for now."""
        for topic in self._gossip.topics:
            try:
                await self._catch_up(peer, topic)
            except Malformed:
                self._standing.blame(peer, Offence.BAD_ANSWER)
                return
            except NodeError:
                self._standing.count("sync_failed")
                return

    async def answer(self, peer: bytes, request: bytes) -> bytes:
        question = Question.decode(request)
        held = self._gossip.recent.ids(question.topic, question.since)
        if fold_of(held) == question.fold:
            return encode_answer(True, [])
        if not question.short and question.fold != NOTHING:
            return encode_answer(False, [])  # he will come back with his list
        known = set(question.short)
        missing = [identity for identity in held if identity[:SHORT_BYTES] not in known]
        found = (self._gossip.recent.get(question.topic, identity) for identity in missing)
        return encode_answer(False, (data for data in found if data is not None))

    async def _catch_up(self, peer: bytes, topic: str) -> None:
        for turn in range(TURNS_MAX):
            same, envelopes = await self._ask(peer, topic, with_ids=turn > 0)
            new = 0
            for data in envelopes:
                new += self._gossip.accept(peer, topic, data) is Verdict.NEW
                await trio.lowlevel.checkpoint()
            self._standing.counts["synced"] += new
            if same or (turn and not new):
                return

    async def _ask(self, peer: bytes, topic: str, *, with_ids: bool) -> tuple[bool, list[bytes]]:
        since = max(0, self._gossip.epoch - EPOCHS_BACK)
        held = self._gossip.recent.ids(topic, since)
        listed = tuple(identity[:SHORT_BYTES] for identity in held[:IDS_MAX]) if with_ids else ()
        question = Question(topic, since, fold_of(held), listed)
        answer = await self._peers.request(
            peer, PROTOCOL, question.encode(), answer_max=ANSWER_BYTES_MAX, deadline=ASK_SECONDS
        )
        return decode_answer(answer)
