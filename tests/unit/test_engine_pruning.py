"""Old states go, kept ones stay whole, whatever happens between two steps."""

import random
from pathlib import Path
from typing import Any

import pytest

from rollup.engine.accounts import EMPTY_CODE, Account
from rollup.engine.kv import STATE_PREFIX
from rollup.engine.pruning import MARK_PREFIX, STATE_END, Pruning, prune
from rollup.engine.statetrie import EMPTY_ROOT, payload, split
from rollup.engine.values import Header
from tests.unit.optimism_world import Node, deposit, node

KEEPER = b"\xcc" * 20
# stores its first word of call data into the slot of its second
STORE = "0x5f35602035" + "55" + "00"


def accounts() -> dict[str, Any]:
    return {"0x" + KEEPER.hex(): {"balance": "0x0", "code": STORE}}


async def grow(engine: Node, count: int, draw: random.Random) -> None:
    """Blocks that write, overwrite and clear slots, and pay new and old accounts."""
    for _ in range(count):
        number = engine.chain.head.number
        words = (draw.choice([0, draw.getrandbits(250)]), draw.randrange(40))
        data = b"".join(word.to_bytes(32, "big") for word in words)
        payee = draw.randrange(30).to_bytes(20, "big")
        raws = [
            deposit(number),
            deposit(number + 10**6, to=KEEPER, data=data),
            deposit(number + 2 * 10**6, to=payee, mint=1, value=1),
        ]
        await engine.extend(transactions=["0x" + raw.hex() for raw in raws], noTxPool=True)


def whole(engine: Node, header: Header) -> int:
    """The nodes under a state root; KeyError if one is missing."""
    nodes, seen = engine.chain.trie_nodes, set()
    stack = [(header.state_root, True)]
    while stack:
        name, is_state = stack.pop()
        seen.add(name)
        items = split(nodes[name])
        if len(items) == 17:
            stack += [(item[1:], is_state) for item in items[:16] if item[0] == 0xA0]
        elif not payload(items[0])[0] & 0x20:
            stack.append((items[1][1:], is_state))
        elif is_state:
            account = Account.decode(payload(items[1]))
            if account.code_hash != EMPTY_CODE:
                assert nodes[account.code_hash]
            if account.storage_root != EMPTY_ROOT:
                stack.append((account.storage_root, False))
    return len(seen)


def size(engine: Node) -> int:
    return sum(1 for _ in engine.store.keys(STATE_PREFIX, STATE_END))


async def test_states_before_the_kept_ones_are_dropped(tmp_path: Path) -> None:
    """The last five stay, and the marks of the run do not."""
    with node(tmp_path / "data", **accounts()) as engine:
        await grow(engine, 20, random.Random(1))
        await engine.update(
            "0x" + engine.chain.head.hash.hex(),
            safe="0x" + engine.chain.head.hash.hex(),
            finalized="0x" + engine.chain.head.hash.hex(),
        )
        before = size(engine)

        await Pruning(engine.chain, 5).once()

        assert size(engine) < before
        assert not list(engine.store.keys(MARK_PREFIX, MARK_PREFIX + b"\xff" * 33))
        for number in range(21):
            header = engine.chain.blocks.header(number)
            assert header is not None
            assert engine.chain.has_state(header) == (number >= 15), number
            if number >= 15:
                assert whole(engine, header) > 3
        kept = size(engine)
        await Pruning(engine.chain, 5).once()
        assert size(engine) == kept
        await grow(engine, 3, random.Random(2))


async def test_what_is_not_finalized_keeps_its_state(tmp_path: Path) -> None:
    """Also a branch beside: a fork choice may go there."""
    with node(tmp_path / "data", **accounts()) as engine:
        await grow(engine, 4, random.Random(1))
        final = "0x" + engine.chain.head.hash.hex()
        side = await engine.build(prevRandao="0x" + "44" * 32, noTxPool=True)
        await grow(engine, 8, random.Random(2))
        head = "0x" + engine.chain.head.hash.hex()
        await engine.update(head, safe=final, finalized=final)

        await Pruning(engine.chain, 1).once()

        lost = engine.chain.blocks.header(3)
        assert lost is not None
        assert not engine.chain.has_state(lost)
        await engine.update(side["blockHash"])
        assert whole(engine, engine.chain.head.header)
        await engine.extend()


@pytest.mark.parametrize("seed", range(6))
async def test_blocks_may_come_between_two_steps(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their states are whole at the end, although they bring back nodes of dropped ones."""
    monkeypatch.setattr("rollup.engine.pruning.STEP_NODES", 3)
    draw = random.Random(seed)
    with node(tmp_path / "data", **accounts()) as engine:
        await grow(engine, 15, draw)
        chain = engine.chain
        fresh = chain.blocks.fresh = set()
        steps = prune(engine.store, chain, chain.head.number - 2, fresh)
        for _ in steps:
            if draw.random() < 0.15:
                await grow(engine, 1, draw)
        chain.blocks.fresh = None

        for number in range(13, chain.head.number + 1):
            header = chain.blocks.header(number)
            assert header is not None
            assert whole(engine, header)


@pytest.mark.parametrize("seed", range(6))
async def test_a_run_may_die_after_any_step(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept states are whole, no dropped one looks as if it were there, the next run ends it."""
    monkeypatch.setattr("rollup.engine.pruning.STEP_NODES", 3)
    draw = random.Random(seed)
    with node(tmp_path / "data", **accounts()) as engine:
        await grow(engine, 12, draw)
        low = engine.chain.head.number - 2
        steps = prune(engine.store, engine.chain, low, set())
        for _ in range(draw.randrange(1, 150)):
            next(steps, None)
    with node(tmp_path / "data", **accounts()) as engine:
        for number in range(13):
            header = engine.chain.blocks.header(number)
            assert header is not None
            assert engine.chain.has_state(header) or number < low
            if engine.chain.has_state(header):
                assert whole(engine, header)
        await grow(engine, 2, draw)
        await engine.update(*["0x" + engine.chain.head.hash.hex()] * 1)
        chain = engine.chain
        for _ in prune(engine.store, chain, chain.head.number - 1, set()):
            pass
        assert not list(engine.store.keys(MARK_PREFIX, MARK_PREFIX + b"\xff" * 33))
        assert whole(engine, chain.head.header)
