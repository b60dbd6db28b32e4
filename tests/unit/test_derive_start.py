"""Sync start: the table of op-node's rollup/sync/start_test.go (MIT), and the pipeline's start."""

from dataclasses import replace

import pytest

from protocol.errors import Refused, Reset
from rollup.codec.config import RollupConfig
from rollup.codec.config_parts import KECCAK_COMMITMENT, AltDa
from rollup.codec.refs import BlockId, L1BlockRef, L2BlockRef
from rollup.derive.start import NeedL1Ref, NeedL2Ref, Start, StartSearch, lookback
from tests.derive_world import make_config

WINDOW = 2


def l1_chain(names: str, number: int = 0) -> dict[int, L1BlockRef]:
    """One block a letter; `a` is the genesis."""
    return {
        number + at: L1BlockRef(
            name.encode() * 32, number + at, (names[at - 1] if at else "0").encode() * 32, 12 * at
        )
        for at, name in enumerate(names)
    }


def l2_chain(names: str, origins: str, number: int = 0) -> list[L2BlockRef]:
    """One block a letter, each with its L1 origin's letter; the first origin has this number."""
    out: list[L2BlockRef] = []
    epoch = number - 1
    for at, (name, letter) in enumerate(zip(names, origins, strict=True)):
        same = at > 0 and origins[at - 1] == letter
        epoch += not same
        sequence = out[-1].sequence_number + 1 if same else 0
        parent = (names[at - 1] if at else "0").encode() * 32
        origin = BlockId(letter.encode() * 32, epoch)
        out.append(L2BlockRef(name.encode() * 32, at, parent, at * 2, origin, sequence))
    return out


def config_for(l2: list[L2BlockRef], l1: dict[int, L1BlockRef], **changes: object) -> RollupConfig:
    config = make_config(seq_window_size=WINDOW)
    genesis = replace(
        config.genesis, l1=l1[l2[0].l1_origin.number].id, l2=l2[0].id, l2_time=l2[0].time
    )
    return replace(config, genesis=genesis, **changes)  # type: ignore[arg-type]


def search(
    config: RollupConfig,
    l1: dict[int, L1BlockRef],
    l2: list[L2BlockRef],
    safe: int = 0,
    finalized: int = 0,
    lost: list[L2BlockRef] | None = None,
) -> Start:
    by_hash = {block.hash: block for block in l2}
    named = lost or l2
    found = StartSearch(config, l2[-1], named[safe], named[finalized])
    for _ in range(1000):
        match found.step():
            case Start() as start:
                return start
            case NeedL1Ref(number=number):
                found.add(l1.get(number))
            case NeedL2Ref(hash=block_hash):
                found.add(by_hash.get(block_hash))
    raise AssertionError("the search does not end")


# L1 then, L2 on it, L1 now, finalised, safe, window: unsafe and safe that must be found, or why not
CASES = {
    "already synced": ("ab", "AB", "ab", "A", "A", 2, "BA"),
    "already synced, safe head after genesis": (
        *("abcdefghijkl", "ABCDEFGHIJKL", "abcdefghijkl", "B", "D", 2),
        "LC",
    ),
    "small reorg long chain": ("abcdefgh", "ABCDEFGH", "abcdefgx", "B", "H", 2, "GC"),
    "L1 chain ahead": ("abcdef", "ABCDE", "abcdef", "A", "D", 2, "EA"),
    "L2 chain ahead after reorg": ("abcxyz", "ABCXYZ", "abcx", "B", "X", 2, "ZB"),
    "genesis": ("a", "A", "a", "A", "A", 2, "AA"),
    "reorg one step back": ("abcdefg", "ABCDEFG", "abcdefx", "A", "E", 3, "FA"),
    "reorg two steps back, clip genesis": ("abc", "ABC", "axy", "A", "B", 2, "AA"),
    "reorg three steps back": ("abcdefgh", "ABCDEFGH", "abcdexyz", "A", "D", 2, "EA"),
    "unexpected L1 chain": ("abcdef", "ABCDEF", "xyzwio", "A", "B", 2, "starts from"),
    "offset L2 genesis": ("abcdefghi", "DEFGHI", "abcdefghi", "E", "H", 2, "IE"),
    "offset L2 genesis reorg": ("abcdefgh", "DEFGH", "abcdxyzw", "D", "D", 2, "DD"),
    "reorg past offset genesis": ("abcdefgh", "DEFGH", "abxyzwio", "D", "D", 2, "starts from"),
    "long traverse to safe head": ("abcdefgh", "ABCDEFGH", "abcdefgx", "B", "B", 1, "GB"),
    "reorg too deep": ("abcdefgh", "ABCDEFGH", "abijklmn", "B", "B", 1, "too deep"),
    # ours: what is safe begins with an epoch, and another L1 may cut one in the middle
    "finalised block gone": ("abcdefgh", "ABCDEFGH", "abijklmn", "C", "C", 2, "contradicts"),
}


@pytest.mark.parametrize("name", CASES)
def test_heads_are_found(name: str) -> None:
    """Unsafe: the highest block whose origins L1 does not contradict. Safe: where a whole window of
    origins above it is known to hold."""
    old, names, new, finalized, safe, window, wanted = CASES[name]
    l1 = l1_chain(old)
    l2 = l2_chain(names, names.lower(), old.index(names[0].lower()))
    config = config_for(l2, l1, seq_window_size=window)
    at = {letter: number for number, letter in enumerate(names)}

    if len(wanted) > 2:
        with pytest.raises(Refused, match=wanted):
            search(config, l1_chain(new), l2, at[safe], at[finalized])
        return
    start = search(config, l1_chain(new), l2, at[safe], at[finalized])
    assert "".join(chr(ref.hash[0]) for ref in (start.unsafe, start.safe)) == wanted
    assert start.finalized == l2[at[finalized]]


@pytest.mark.parametrize(
    ("origins", "wanted"), [("aabbccddeeffgg", "NF"), ("aabbccddeeffxx", "LD")]
)
def test_a_safe_head_ends_an_epoch(origins: str, wanted: str) -> None:
    l1 = l1_chain("abcdefg")
    l2 = l2_chain("ABCDEFGHIJKLMN", origins)

    start = search(config_for(l2, l1), l1, l2, safe=9)

    assert "".join(chr(ref.hash[0]) for ref in (start.unsafe, start.safe)) == wanted


def test_finalised_blocks_are_the_floor() -> None:
    l1 = l1_chain("abcdefgh")
    l2 = l2_chain("ABCDEFGH", "abcdefgh")
    config = config_for(l2, l1)

    start = search(config, l1, l2, safe=6, finalized=5)
    assert (start.safe, start.finalized) == (l2[5], l2[5])
    with pytest.raises(Refused, match="contradicts the finalised"):
        search(config, l1_chain("abxyz"), l2[:5], safe=3, finalized=3)


def test_an_engine_that_lost_blocks_starts_from_what_it_has() -> None:
    l1 = l1_chain("abcdef")
    l2 = l2_chain("ABCDEF", "abcdef")

    start = search(config_for(l2, l1), l1, l2[:3], safe=4, finalized=4, lost=l2)

    assert (start.unsafe, start.safe, start.finalized) == (l2[2], l2[2], l2[2])


def test_blocks_that_were_only_safe_do_not_become_final_when_the_engine_loses_the_next() -> None:
    l1 = l1_chain("abcdefgh")
    l2 = l2_chain("ABCDEFGH", "abcdefgh")

    start = search(config_for(l2, l1), l1, l2[:6], safe=7, finalized=1, lost=l2)

    assert (start.unsafe, start.finalized) == (l2[5], l2[1])
    assert start.safe.number < 5


def test_another_chain_is_refused() -> None:
    l1 = l1_chain("abc")
    l2 = l2_chain("ABC", "abc")
    config = config_for(l2, l1)

    with pytest.raises(Refused, match="genesis"):
        search(config, l1, l2_chain("XBC", "abc"))
    with pytest.raises(Refused, match="starts from"):
        search(config, l1_chain("xbc"), l2)
    with pytest.raises(Refused, match="does not follow the origin"):
        search(config, l1, [*l2[:2], replace(l2[2], sequence_number=3)])
    with pytest.raises(Refused, match="lacks L2 block"):
        search(config, l1, [l2[0], l2[2]])


def test_the_pipeline_starts_a_channel_timeout_before_the_safe_head() -> None:
    """Fifty L1 blocks since Granite, or the genesis; a block in between will not do."""
    names = [chr(0x100 + at) for at in range(70)]
    l1 = {
        at: L1BlockRef(bytes([at]) * 32, at, bytes([max(0, at - 1)]) * 32, at * 12)
        for at in range(len(names))
    }
    l2 = [
        L2BlockRef(bytes([128 + at]) * 32, at, bytes([127 + at]) * 32, at * 2, l1[at].id, 0)
        for at in range(len(names))
    ]
    config = config_for(l2, l1)

    assert search(config, l1, l2[:61], safe=60, finalized=60).pipeline == l2[10]
    assert search(config, l1, l2[:41], safe=40, finalized=40).pipeline == l2[0]


def test_l1_that_moves_during_the_search_resets() -> None:
    l1 = l1_chain("abcde")
    l2 = l2_chain("ABCDE", "abcde")
    found = StartSearch(config_for(l2, l1), l2[4], l2[4], l2[4])
    assert found.step() == NeedL1Ref(4)
    found.add(l1[4])
    assert found.step() == NeedL1Ref(4)

    with pytest.raises(Reset):
        found.add(None)


def test_alt_da_looks_back_over_its_windows() -> None:
    config = make_config(seq_window_size=100)

    assert lookback(config) == 100
    windows = AltDa(bytes(20), KECCAK_COMMITMENT, 90, 60)
    assert lookback(replace(config, alt_da=windows)) == 150
    assert lookback(replace(config, alt_da=replace(windows, challenge_window=1))) == 100
