"""The batched trie has the roots of py-trie after any history, and proves nothing it should not."""

from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from rollup.engine.statetrie import EMPTY_ROOT, Nodes, Writer, get

# Keys that share long beginnings, as hashes almost never do: short alphabets, few of them.
KEYS = st.integers(0, 3**6 - 1).map(
    lambda n: bytes([(n // 3**i % 3) * 0x11 if i < 4 else (n // 3**i % 3) for i in range(6)])
)
VALUES = st.one_of(st.none(), st.binary(min_size=1, max_size=70))
ROUNDS = st.lists(st.dictionaries(KEYS, VALUES, max_size=12), max_size=8)


@given(ROUNDS)
@settings(max_examples=400, deadline=None)
@example(  # a branch below an extension shrinks to a leaf in the round that splits the extension
    [
        {bytes.fromhex("220000000000"): b"\0", bytes.fromhex("220022000002"): b"\0"},
        {bytes.fromhex("000000000000"): b"\0", bytes.fromhex("220022000002"): None},
    ]
)
def test_every_root_is_that_of_py_trie(rounds: list[dict[bytes, bytes | None]]) -> None:
    other, store, root = HexaryTrie({}), dict[bytes, bytes](), EMPTY_ROOT
    nodes, expected = Nodes(store.__getitem__), dict[bytes, bytes]()
    for changes in rounds:
        writer = Writer(nodes)
        root = writer.update(root, changes)
        store |= writer.added
        for key, value in changes.items():
            if value is None:
                del other[key]
                expected.pop(key, None)
            else:
                other[key] = expected[key] = value

        assert root == other.root_hash
        assert all(get(nodes, root, key) == expected.get(key) for key in {*expected, *changes})


@given(st.dictionaries(st.binary(min_size=1, max_size=9).map(keccak), st.binary(min_size=1)))
def test_deleting_everything_leaves_nothing(entries: dict[bytes, bytes]) -> None:
    store = dict[bytes, bytes]()
    writer = Writer(Nodes(store.__getitem__))
    full = writer.update(EMPTY_ROOT, entries)
    store |= writer.added

    assert Writer(Nodes(store.__getitem__)).update(full, dict.fromkeys(entries)) == EMPTY_ROOT


def test_a_missing_node_is_told() -> None:
    writer = Writer(Nodes({}.__getitem__))
    root = writer.update(EMPTY_ROOT, {keccak(b"%d" % n): b"value" * 9 for n in range(50)})
    for at in (root, *list(writer.added)[:3]):
        kept = {key: node for key, node in writer.added.items() if key != at}
        missed = 0
        for n in range(50):
            try:
                get(Nodes(kept.__getitem__), root, keccak(b"%d" % n))
            except KeyError:
                missed += 1
        assert missed


class Seen(dict[bytes, bytes]):
    """A store that remembers what was read of it."""

    def __init__(self, entries: dict[bytes, bytes]) -> None:
        super().__init__(entries)
        self.read: set[bytes] = set()

    def __getitem__(self, key: bytes) -> bytes:
        self.read.add(key)
        return super().__getitem__(key)


@given(st.dictionaries(KEYS, st.binary(min_size=1, max_size=70), max_size=30), ROUNDS)
@settings(max_examples=300)
def test_no_node_is_read_that_py_trie_does_not_need(
    before: dict[bytes, bytes], rounds: list[dict[bytes, bytes | None]]
) -> None:
    """A witness holds what others' tries need to read, and nothing more."""
    writer = Writer(Nodes({}.__getitem__))
    root = writer.update(EMPTY_ROOT, before)
    for changes in rounds[:1]:
        theirs = Seen(writer.added)
        other, ours = HexaryTrie(theirs, root), Seen(writer.added)
        for key, value in changes.items():
            if value is None:
                del other[key]
            else:
                other[key] = value
        Writer(Nodes(ours.__getitem__)).update(root, changes)

        assert ours.read <= theirs.read
