"""Which gossiped blocks a node takes: the rules of op-node's gossip.go, in its order.

https://specs.optimism.io/protocol/rollup-node-p2p.html#block-validation
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Final

from protocol.codec import require
from protocol.errors import Malformed
from rollup.codec.gossip import (
    GOSSIP_BYTES_MAX,
    GOSSIP_BYTES_MIN,
    ROOT_BYTES,
    SIGNATURE_BYTES,
    Forks,
    decompress_snappy,
    recover_signer,
    signing_hash,
)
from rollup.codec.payload import ExecutionPayload, PayloadEnvelope
from rollup.codec.ssz import decode_payload

PAST_SECONDS: Final = 60
FUTURE_SECONDS: Final = 5
HEIGHTS_MAX: Final = 1000  # remembered; the one longest without a block goes first
BLOCKS_PER_HEIGHT_MAX: Final = 5  # a sequencer that signs more than one beyond is not followed


class Ruling(Enum):
    """op-node's three results; its REJECT for reasons of time is told apart, because a peer with a
    wrong clock forges nothing."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    STALE = "reject: of another time"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A ruling with its reason; the block where it was accepted."""

    ruling: Ruling
    reason: str = ""
    envelope: PayloadEnvelope | None = None


class SeenBlocks:
    """Which blocks of each height were accepted, over all topics, in bounded memory."""

    def __init__(self) -> None:
        self._heights: OrderedDict[int, list[bytes]] = OrderedDict()

    def admit(self, payload: ExecutionPayload) -> Judgement | None:
        """None if the block is new, and then it is remembered."""
        hashes = self._heights.setdefault(payload.block_number, [])
        self._heights.move_to_end(payload.block_number)
        if len(self._heights) > HEIGHTS_MAX:
            self._heights.popitem(last=False)
        if len(hashes) > BLOCKS_PER_HEIGHT_MAX:
            return Judgement(Ruling.REJECT, f"{len(hashes)} blocks at height already")
        if payload.block_hash in hashes:
            return Judgement(Ruling.IGNORE, "seen before")
        hashes.append(payload.block_hash)
        return None


def judge(
    message: bytes,
    version: int,
    *,
    chain_id: int,
    signer: bytes | None,
    now: int,
    forks: Forks | None = None,
) -> Judgement:
    """What `message` from the topic of `version` (1 to 4) is, but for having been seen before.

    `signer`: the unsafe block signer of the SystemConfig, None while it is unknown or zero;
    `now` in Unix seconds; `forks` says whether Jovian uses the blob gas field, None: it does not.
    """
    try:
        plain = decompress_snappy(message, GOSSIP_BYTES_MAX)
        require(len(plain) >= GOSSIP_BYTES_MIN, f"a block of {len(plain)} bytes")
        signature, signed = plain[:SIGNATURE_BYTES], plain[SIGNATURE_BYTES:]
        if signer is None:
            return Judgement(Ruling.IGNORE, "the unsafe block signer is not known")
        # Before the block is decoded: only the sequencer can make us do that work.
        author = recover_signer(signing_hash(chain_id, signed), signature)
        require(author == signer, f"signed by 0x{author.hex()}")
        root = signed[:ROOT_BYTES] if version >= 3 else None
        payload = decode_payload(signed[len(root or b"") :], version)
    except Malformed as error:
        return Judgement(Ruling.REJECT, str(error))
    return _judge_block(PayloadEnvelope(payload, root), now, forks)


def _judge_block(envelope: PayloadEnvelope, now: int, forks: Forks | None) -> Judgement:
    """The rules of the content. That withdrawals are empty, and all fields of a version are there
    and no others, is the format itself here."""
    payload = envelope.payload
    if payload.timestamp < now - PAST_SECONDS:
        return Judgement(Ruling.STALE, f"{now - payload.timestamp} s old")
    if payload.timestamp > now + FUTURE_SECONDS:
        return Judgement(Ruling.STALE, f"{payload.timestamp - now} s ahead")
    if not envelope.hash_fits():
        return Judgement(Ruling.REJECT, "its hash is another")
    jovian = forks is not None and forks.is_active("jovian", payload.timestamp)
    if payload.blob_gas_used and not jovian:  # since Jovian the footprint of its data
        return Judgement(Ruling.REJECT, "it uses blob gas")
    if payload.excess_blob_gas:
        return Judgement(Ruling.REJECT, "it has excess blob gas")
    return Judgement(Ruling.ACCEPT, envelope=envelope)
