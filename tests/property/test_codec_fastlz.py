"""The size that FastLZ would give, judged by a compressor that writes the bytes."""

from hypothesis import given
from hypothesis import strategies as st

from rollup.codec.fees import da_size, flz_length

texts = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from([b"a", b"ab", b"abcabc", b"\0" * 40, b"0x11"]), max_size=60).map(
        b"".join
    ),
)


def compressed(data: bytes) -> bytes:
    """FastLZ level 1 as in its C source: literals, short matches, long matches."""
    out = bytearray()
    seen: dict[int, int] = {}
    anchor, at = 0, 2
    limit, bound = len(data) - 13, len(data) - 4

    def triple(place: int) -> int:
        return int.from_bytes(data[place : place + 3], "little")

    def slot(value: int) -> int:
        return (2654435769 * value & 0xFFFFFFFF) >> 19

    def literals(run: bytes) -> None:
        for start in range(0, len(run), 32):
            part = run[start : start + 32]
            out.append(len(part) - 1)
            out.extend(part)

    def match(length: int, distance: int) -> None:
        distance -= 1
        while length > 262:
            out.extend((0xE0 | distance >> 8, 253, distance & 0xFF))
            length -= 262
        if length < 7:
            out.extend((length << 5 | distance >> 8, distance & 0xFF))
        else:
            out.extend((0xE0 | distance >> 8, length - 7, distance & 0xFF))

    while at < limit:
        found = False
        while at < limit:
            here = triple(at)
            earlier = seen.get(slot(here), 0)
            seen[slot(here)] = at
            at += 1
            if at - 1 - earlier < 8192 and here == triple(earlier):
                found = True
                break
        if not found or at >= limit:
            break
        at -= 1
        literals(data[anchor:at])
        length = 0
        while at + 3 + length < bound:  # counts the byte that differs, as its flz_cmp does
            length += 1
            if data[earlier + 2 + length] != data[at + 2 + length]:
                break
        match(length, at - earlier)
        at += length
        for _ in range(2):
            seen[slot(triple(at))] = at
            at += 1
        anchor = at
    literals(data[anchor:])
    return bytes(out)


def expanded(block: bytes) -> bytes:
    """What a FastLZ decoder makes of it."""
    out = bytearray()
    at = 0
    while at < len(block):
        kind = block[at] >> 5
        if kind == 0:
            size = (block[at] & 31) + 1
            out += block[at + 1 : at + 1 + size]
            at += 1 + size
            continue
        distance = (block[at] & 31) << 8
        size = kind + 2
        if kind == 7:
            size += block[at + 1]
            at += 1
        distance += block[at + 1] + 1
        at += 2
        for _ in range(size):
            out.append(out[-distance])
    return bytes(out)


@given(texts)
def test_the_length_is_that_of_real_output(data: bytes) -> None:
    block = compressed(data)

    assert expanded(block) == data
    assert flz_length(data) == len(block)


@given(texts)
def test_a_size_is_bounded(data: bytes) -> None:
    """Never below 100 bytes; the estimate grows with the data, at most linearly."""
    assert 100 <= da_size(data) <= 100 + len(data)
