"""A curator takes a document of his Datanet down: by one opening of its table."""

import pytest

from protocol import events as e
from protocol.calls import TakeDown
from protocol.datanet import Document, assemble, shard_of
from protocol.errors import Refused, Temporary
from protocol.merkle import TEXT, byte_root
from roles.curator import Curator
from tests.unit.test_demands import ME, OTHER, Desk

TEXTS = [b"a" * 600, b"b" * 10, b"c" * 300]
DATA, STARTS = assemble(TEXTS)
ROWS = [
    Document(start, len(text), 1, 0, byte_root(TEXT, text), bytes(32), bytes(65))
    for start, text in zip(STARTS, TEXTS, strict=True)
]
SHARD = shard_of(DATA, ROWS)


def desk_of(curator: bytes = ME, *, final: bool = True) -> Desk:
    desk = Desk()
    desk.at(
        10,
        e.DatanetCreated(1, curator, "texts"),
        e.ShardPublished(
            1, 0, curator, SHARD.text_root, SHARD.document_root, SHARD.text_size, 3, 9, 7
        ),
        *([e.ShardFinalized(1, 0)] if final else []),
    )
    desk.bodies[SHARD.document_root] = b"".join(row.encode() for row in ROWS)
    return desk


async def test_the_call_opens_the_document() -> None:
    desk = desk_of()
    for _ in range(2):
        await Curator().take_down(desk.ports, 1, 0, 1)
    (call,) = desk.calls
    assert isinstance(call, TakeDown)
    assert (call.datanet, call.shard, call.document.index) == (1, 0, 1)
    assert call.document.opened(SHARD) == ROWS[1]


@pytest.mark.parametrize("place", [(0, 3), (1, 0), (-1, 0), (0, -1)])
async def test_there_must_be_such_a_document(place: tuple[int, int]) -> None:
    desk = desk_of()
    with pytest.raises(Refused):
        await Curator().take_down(desk.ports, 1, *place)
    with pytest.raises(Refused):
        await Curator().take_down(desk_of(final=False).ports, 1, 0, 0)
    assert not desk.calls


async def test_only_in_his_own_datanet_and_with_the_table_at_hand() -> None:
    other = desk_of(OTHER)
    with pytest.raises(Refused):
        await Curator().take_down(other.ports, 1, 0, 0)
    desk = desk_of()
    desk.bodies.clear()
    with pytest.raises(Temporary):
        await Curator().take_down(desk.ports, 1, 0, 0)
    assert not other.calls + desk.calls
