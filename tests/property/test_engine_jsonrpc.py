"""JSON-RPC bodies: how deep they nest is known before they are parsed."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rollup.engine.jsonrpc import DEPTH_MAX, _too_deep

TEXT = st.text(st.sampled_from('[]{}"\\a/\n'), max_size=12)
LEAVES = st.none() | st.integers() | TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 2 * DEPTH_MAX), st.booleans())
def test_the_depth_of_any_json_is_judged_right(value: Any, wraps: int, keyed: bool) -> None:
    """Whatever brackets, quotes and escapes its strings hold."""
    for _ in range(wraps):
        value = {'"[{\\': value} if keyed else [value]
    body = json.dumps(value).encode()

    assert _too_deep(body) == (depth(value) > DEPTH_MAX)
    assert _too_deep(body + b"[" * DEPTH_MAX) == (max(depth(value), DEPTH_MAX) > DEPTH_MAX)


@given(st.binary(max_size=60))
def test_any_bytes_are_judged(body: bytes) -> None:
    assert _too_deep(body) in (True, False)
