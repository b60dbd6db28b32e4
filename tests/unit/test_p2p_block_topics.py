"""The formats of the OP Stack's block gossip that p2p itself knows."""

import hashlib

import cramjam
import pytest
from libp2p.pubsub.pb import rpc_pb2

from p2p.block_topics import BLOCK_BYTES_MAX, block_id, block_topics, unpacked, unsigned
from p2p.payloads import decode_answer, encode_answer, protocol_name
from p2p.peers import Busy
from p2p.router import ContentCache, LargeMessageQueue
from p2p.rpc_shape import FIELDS_MAX, REST_BYTES_MAX, is_one_large_message
from protocol.errors import Malformed, Refused

TOPIC = "/optimism/10/3/blocks"


def packed(data: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(data))


def test_names() -> None:
    assert block_topics(10) == tuple(f"/optimism/10/{v}/blocks" for v in range(4))
    assert protocol_name(10) == "/opstack/req/payload_by_number/10/0"


def test_ids_are_of_the_content_however_it_is_compressed() -> None:
    """sha256(01000000 ++ size of topic u64 LE ++ topic ++ content), 20 bytes."""
    content = b"block" * 100
    literals = b"\xf4\x03" + b"".join(
        bytes([(len(p) - 1) << 2]) + p for p in (content[i : i + 50] for i in range(0, 500, 50))
    )

    head = b"\x01\x00\x00\x00" + (21).to_bytes(8, "little") + TOPIC.encode()
    assert block_id(TOPIC, packed(content)) == hashlib.sha256(head + content).digest()[:20]
    assert unpacked(literals) == content
    assert block_id(TOPIC, literals) == block_id(TOPIC, packed(content))
    bad = b"\x00\x00\x00\x00" + head[4:] + b"\xff"
    assert block_id(TOPIC, b"\xff") == hashlib.sha256(bad).digest()[:20]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 20,
        b"\xff\xff\xff\xff\x0f" + bytes(20),
        (BLOCK_BYTES_MAX + 1).to_bytes(4, "little"),
        packed(bytes(BLOCK_BYTES_MAX + 1)),
        packed(b"block" * 9)[:-1],
        packed(b"block" * 9) + b"\x00",
    ],
)
def test_no_bomb_unpacks(data: bytes) -> None:
    with pytest.raises(Malformed):
        unpacked(data)


def test_a_block_at_the_limit_unpacks() -> None:
    assert len(unpacked(packed(bytes(BLOCK_BYTES_MAX)))) == BLOCK_BYTES_MAX


def test_authorship_is_refused() -> None:
    assert unsigned(rpc_pb2.Message(data=b"x", topicIDs=[TOPIC]))
    for topics in ([], [TOPIC, TOPIC]):
        assert not unsigned(rpc_pb2.Message(data=b"x", topicIDs=topics))
    for name in ("from_id", "seqno", "signature", "key"):
        for value in (b"", b"x"):
            message = rpc_pb2.Message(data=b"x", topicIDs=[TOPIC], **{name: value})
            assert not unsigned(message)


def test_answers() -> None:
    for payload in (b"payload", bytes(300_000), bytes(range(256)) * 1000):
        data = encode_answer(1, payload)
        assert data[:5] == b"\x00\x01\x00\x00\x00"
        assert decode_answer(data) == (1, payload)
    for code, error in ((b"\x01", Refused), (b"\x02", Refused), (b"\x03", Busy)):
        with pytest.raises(error):
            decode_answer(code)


def test_no_other_bytes_are_answers() -> None:
    whole = encode_answer(1, bytes(range(256)) * 300)
    cuts = [whole[:size] for size in (0, 1, 4, 5, 9, 18, 22, 400, len(whole) - 1)]
    bombs = [encode_answer(0, bytes(BLOCK_BYTES_MAX + 1)), b"\x04", b"\xff" * 30]
    tails = [whole + b"\x00", whole + b"\x00\xff\xff\xff", whole[:5] + whole[15:]]
    flips = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (7, 15, 19, 500)]

    for data in (*cuts, *bombs, *tails, *flips):
        with pytest.raises(Malformed):
            decode_answer(data)


def test_recent_messages_without_a_sender_are_kept_apart() -> None:
    cache = ContentCache(1, 2, lambda message: message.data)
    for data in (b"a", b"b", b"a"):
        cache.put(rpc_pb2.Message(data=data, topicIDs=[TOPIC]))

    assert cache.window(TOPIC) == [b"a", b"b"]
    found = cache.get(b"b")
    assert found is not None
    assert found.data == b"b"


def test_large_messages_travel_alone_and_small_ones_together() -> None:
    queue = LargeMessageQueue(max_size=9, packed_max=1000, message_max=10_000)
    sizes = [400, 400, 400, 5000, 400]
    rpc = rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(size)) for size in sizes])

    parts = queue.split_rpc(rpc)

    assert [[len(m.data) for m in part.publish] for part in parts] == [
        [400, 400], [400], [5000], [400],
    ]  # fmt: skip
    assert queue.max_message_size == 10_000


def rpc_of(*messages: rpc_pb2.Message, **more: object) -> bytes:
    return bytes(rpc_pb2.RPC(publish=messages, **more).SerializeToString())


def test_a_large_rpc_is_one_block_and_little_else() -> None:
    block = rpc_pb2.Message(data=bytes(2_000_000), topicIDs=[TOPIC])
    small = rpc_pb2.Message(data=b"x" * 100, topicIDs=["t"])

    for rpc in (rpc_of(block), rpc_of(small, block, senderRecord=bytes(300))):
        assert is_one_large_message(rpc)
    with_seqno = rpc_pb2.Message(data=bytes(2_000_000), topicIDs=[TOPIC], seqno=bytes(8))
    assert is_one_large_message(rpc_of(with_seqno))


def test_a_large_rpc_of_tiny_things_is_none() -> None:
    many = rpc_of(*[rpc_pb2.Message()] * 600_000)
    topics = rpc_of(rpc_pb2.Message(data=b"x", topicIDs=[""] * 600_000))
    ids = rpc_pb2.ControlIHave(topicID=TOPIC, messageIDs=[b""] * 600_000)
    told = rpc_of(control=rpc_pb2.ControlMessage(ihave=[ids]))
    block = rpc_pb2.Message(data=bytes(1_500_000), topicIDs=[TOPIC])
    beside = rpc_of(block, *[rpc_pb2.Message()] * (REST_BYTES_MAX // 2))
    crowded = rpc_of(*[rpc_pb2.Message(topicIDs=["t"])] * FIELDS_MAX, block)
    whole = rpc_of(block)

    for rpc in (many, topics, told, beside, crowded, whole[:-1], b"", b"\xff" * 2_000_000):
        assert not is_one_large_message(rpc)
    for at in range(8):
        assert not is_one_large_message(whole[:at] + b"\xff" * 11 + whole[at + 11 :])
