"""Which gossiped blocks are taken: the table of op-node's gossip_test.go, and the rules beside."""

import dataclasses

import cramjam
import pytest

from protocol.signature import address_of
from rollup.codec.gossip import encode_gossip, payload_bytes, sign, signing_hash
from rollup.codec.gossip_rules import (
    BLOCKS_PER_HEIGHT_MAX,
    HEIGHTS_MAX,
    Judgement,
    Ruling,
    SeenBlocks,
    judge,
)
from rollup.codec.payload import ExecutionPayload, PayloadEnvelope
from rollup.codec.ssz import encode_payload

SECRET, OTHER = b"\x01" * 32, b"\x02" * 32
SIGNER = address_of(SECRET)
CHAIN, NOW = 100, 1_700_000_000


def payload(version: int, **fields: object) -> ExecutionPayload:
    zero = bytes(32)
    plain = ExecutionPayload(
        zero, bytes(20), zero, zero, bytes(256), zero, 7, 30_000_000, 0, NOW, b"", 1, zero,
        (b"\x7e\xc0", b"\x02transaction"),
        0 if version >= 3 else None,
        0 if version >= 3 else None,
        b"\x98" * 32 if version == 4 else None,
        version >= 2,
    )  # fmt: skip
    return dataclasses.replace(plain, **fields)  # type: ignore[arg-type]


def envelope(version: int, **fields: object) -> PayloadEnvelope:
    root = b"\x12" * 32 if version >= 3 else None
    block = payload(version, **fields)
    block = dataclasses.replace(block, block_hash=block.compute_hash(root))
    return PayloadEnvelope(block, root)


def message(block: PayloadEnvelope, secret: bytes = SECRET, chain: int = CHAIN) -> bytes:
    return encode_gossip(block, sign(secret, signing_hash(chain, payload_bytes(block))))


def ruling(data: bytes, version: int = 4, **more: object) -> Ruling:
    settings: dict[str, object] = {"chain_id": CHAIN, "signer": SIGNER, "now": NOW, **more}
    return judge(data, version, **settings).ruling  # type: ignore[arg-type]


class Jovian:
    def is_active(self, fork: str, time: int) -> bool:
        return fork == "jovian" and time >= NOW


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_sound_block_is_taken(version: int) -> None:
    block = envelope(version)
    judged = judge(message(block), version, chain_id=CHAIN, signer=SIGNER, now=NOW)

    assert judged == Judgement(Ruling.ACCEPT, "", block)


@pytest.mark.parametrize(
    ("version", "topic"), [(v, t) for v in range(1, 5) for t in range(1, 5) if v != t]
)
def test_a_block_of_another_version_is_not(version: int, topic: int) -> None:
    """V3RejectExecutionPayload, V2NonZeroBlobProperties, V4RejectNoWithdrawalRoot and others."""
    assert ruling(message(envelope(version)), topic) is Ruling.REJECT


def test_withdrawals_are_refused() -> None:
    """V2NonZeroWithdrawals: one withdrawal of 44 bytes behind the transactions."""
    block = envelope(2)
    signed = encode_payload(block.payload) + bytes(44)
    data = cramjam.snappy.compress_raw(sign(SECRET, signing_hash(CHAIN, signed)) + signed)

    assert ruling(bytes(data), 2) is Ruling.REJECT


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("name", ["blob_gas_used", "excess_blob_gas"])
def test_blob_gas_must_be_zero(version: int, name: str) -> None:
    assert ruling(message(envelope(version, **{name: 1})), version) is Ruling.REJECT


def test_jovian_puts_the_footprint_of_data_there() -> None:
    assert ruling(message(envelope(4, blob_gas_used=9)), forks=Jovian()) is Ruling.ACCEPT
    assert ruling(message(envelope(4, excess_blob_gas=9)), forks=Jovian()) is Ruling.REJECT
    early = message(envelope(4, blob_gas_used=9, timestamp=NOW - 1))
    assert ruling(early, forks=Jovian()) is Ruling.REJECT


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-61, Ruling.STALE), (-60, Ruling.ACCEPT), (5, Ruling.ACCEPT), (6, Ruling.STALE)],
)
def test_the_window_of_time(seconds: int, expected: Ruling) -> None:
    assert ruling(message(envelope(4, timestamp=NOW + seconds))) is expected


def test_signatures() -> None:
    """Valid, WrongSigner, InvalidSignature, NoSequencer of TestVerifyBlockSignature."""
    block = envelope(4)
    assert ruling(message(block, OTHER)) is Ruling.REJECT
    assert ruling(message(block, chain=CHAIN + 1)) is Ruling.REJECT
    assert ruling(encode_gossip(block, bytes(65))) is Ruling.REJECT
    assert ruling(encode_gossip(block, b"\xff" * 65)) is Ruling.REJECT
    assert ruling(message(block), signer=None) is Ruling.IGNORE
    assert ruling(message(block, OTHER), signer=None) is Ruling.IGNORE


def test_a_wrong_hash_is_refused() -> None:
    block = envelope(4)
    false = dataclasses.replace(block.payload, state_root=b"\x01" * 32)

    assert ruling(message(PayloadEnvelope(false, block.parent_beacon_block_root))) is Ruling.REJECT
    assert ruling(message(PayloadEnvelope(block.payload, b"\x13" * 32))) is Ruling.REJECT


def test_no_bytes_raise() -> None:
    whole = message(envelope(4))
    plain = bytes(cramjam.snappy.decompress_raw(whole))
    short = [plain[:size] for size in (*range(70), 97, 98, 300, len(plain) - 1)]
    signed = [plain[65:cut] for cut in (66, 97, 98, 600, len(plain) - 1)]
    resigned = [sign(SECRET, signing_hash(CHAIN, part)) + part for part in signed]
    flips = [plain[:at] + bytes([plain[at] ^ 4]) + plain[at + 1 :] for at in range(len(plain))]

    for data in (*short, *resigned, *flips):
        assert ruling(bytes(cramjam.snappy.compress_raw(data))) is Ruling.REJECT
    for size in range(0, len(whole), 7):
        assert ruling(whole[:size]) is Ruling.REJECT
    assert ruling(bytes(cramjam.snappy.compress_raw(bytes(10 * 2**20 + 1)))) is Ruling.REJECT


def test_as_many_blocks_of_one_height_as_op_node_takes() -> None:
    """It takes one beyond the five of the specification, then refuses even those that it has."""
    seen = SeenBlocks()
    blocks = [payload(4, block_hash=bytes([n]) * 32) for n in range(BLOCKS_PER_HEIGHT_MAX + 2)]

    assert [seen.admit(block) for block in blocks[:5]] == [None] * 5
    again = seen.admit(blocks[0])
    assert again is not None
    assert again.ruling is Ruling.IGNORE
    assert seen.admit(blocks[5]) is None
    for block in (blocks[6], blocks[0]):
        refused = seen.admit(block)
        assert refused is not None
        assert refused.ruling is Ruling.REJECT
    assert seen.admit(payload(4, block_number=8, block_hash=bytes(32))) is None


def test_heights_are_forgotten() -> None:
    seen = SeenBlocks()
    for number in range(HEIGHTS_MAX + 1):
        assert seen.admit(payload(4, block_number=number)) is None

    assert seen.admit(payload(4, block_number=0)) is None
    assert seen.admit(payload(4, block_number=HEIGHTS_MAX)) is not None
