"""The Engine API: heads that move, payloads that are built, judged and remembered."""

from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rollup.engine.chain import Chain
from rollup.engine.errors import CorruptStore, Failure
from rollup.engine.forkchoice import Forkchoice
from rollup.engine.kv import KeyValues
from tests.unit.optimism_world import (
    RICH_ADDRESS,
    ZERO,
    Node,
    deposit,
    genesis,
    node,
    signed,
)

UNKNOWN = "0x" + "ab" * 32


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Node]:
    with node(tmp_path / "data") as running:
        yield running


def head(engine: Node) -> str:
    return "0x" + engine.chain.head.hash.hex()


async def test_a_block_is_built_stored_and_made_the_head(engine: Node) -> None:
    """Three calls, each with its own effect and none of the next one's."""
    engine.pooled(signed(0), signed(1))
    start = head(engine)

    payload_id = await engine.begin()
    envelope = await engine.get(payload_id)
    payload = envelope["executionPayload"]

    assert head(engine) == start
    assert len(payload["transactions"]) == 3
    assert envelope["executionRequests"] == []
    assert envelope["parentBeaconBlockRoot"] == "0x" + "33" * 32
    assert await engine.get(payload_id) == envelope
    assert (await engine.new(payload))["latestValidHash"] == payload["blockHash"]
    assert head(engine) == start
    assert (await engine.update(payload["blockHash"]))["payloadId"] is None
    assert head(engine) == payload["blockHash"]
    assert len(engine.pool) == 0
    assert engine.chain.safe.number == 0


async def test_a_payload_that_was_built_here_is_not_executed_again(
    engine: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that is stored already."""
    payload = (await engine.get(await engine.begin()))["executionPayload"]
    monkeypatch.setattr(Forkchoice, "_execute", None)

    for _ in range(2):
        assert (await engine.new(payload))["status"] == "VALID"


async def test_another_engine_comes_to_the_same_block(engine: Node, tmp_path: Path) -> None:
    """From the payload alone."""
    engine.pooled(signed(0), signed(1, to=None, data=b"\x60\x01\x60\x02\x55", gas=100_000))
    first = await engine.extend()
    second = await engine.extend()

    with node(tmp_path / "other") as other:
        for payload in (first, second):
            assert (await other.new(payload))["status"] == "VALID"
        answer = await other.update(second["blockHash"], safe=first["blockHash"])
        assert answer["payloadStatus"]["status"] == "VALID"
        assert other.chain.head.receipts == engine.chain.head.receipts
        assert other.chain.safe.number == 1


async def test_heads_go_to_a_sibling_and_back_and_to_an_ancestor(engine: Node) -> None:
    """Numbers, transactions and the pool follow each time."""
    (transaction,) = engine.pooled(signed(0))
    left = await engine.extend()
    left_two = await engine.extend()
    assert engine.chain.blocks.place(transaction.hash) is not None

    start = "0x" + (engine.chain.blocks.hash_of(0) or b"").hex()
    right = await engine.build(start, prevRandao="0x" + "44" * 32, noTxPool=True)
    assert head(engine) == start  # the fork choice for building on it went back
    assert len(engine.pool) == 1
    assert engine.chain.blocks.place(transaction.hash) is None
    assert engine.chain.blocks.block(2) is None

    await engine.update(right["blockHash"])
    assert engine.chain.blocks.hash_of(1) == bytes.fromhex(right["blockHash"][2:])
    await engine.update(left_two["blockHash"])
    assert engine.chain.blocks.hash_of(1) == bytes.fromhex(left["blockHash"][2:])
    assert engine.chain.blocks.place(transaction.hash) is not None
    assert len(engine.pool) == 0


async def test_what_is_unknown_is_syncing(engine: Node) -> None:
    """A head without its block, and a payload without its parent."""
    payload = await engine.build()

    assert (await engine.update(UNKNOWN))["payloadStatus"]["status"] == "SYNCING"
    with pytest.raises(Failure) as caught:
        await engine.get("0x0300000000000000")
    assert caught.value.code == -38001
    orphan = payload | {"parentHash": UNKNOWN}
    answer = await engine.new(orphan | {"blockHash": UNKNOWN})
    assert answer["status"] == "INVALID"  # it has another hash
    claimed = answer["validationError"].split()[-1]
    assert (await engine.new(orphan | {"blockHash": "0x" + claimed}))["status"] == "SYNCING"
    assert engine.chain.target == 1
    await engine.update(payload["blockHash"])
    assert engine.chain.target == 0


async def ask(method: Any, params: list[Any]) -> Any:
    result = method(*params)
    return await result if isinstance(result, Awaitable) else result


async def forged(engine: Node, payload: Any, **changes: Any) -> Any:
    """The payload with its changes, under the hash that it has then."""
    changed = payload | changes
    answer = await engine.new(changed | {"blockHash": UNKNOWN})
    return changed | {"blockHash": "0x" + answer["validationError"].split()[-1]}


@pytest.mark.parametrize(
    "changes",
    [
        {"stateRoot": UNKNOWN},
        {"receiptsRoot": UNKNOWN},
        {"gasUsed": "0x5"},
        {"baseFeePerGas": "0x5"},
        {"blockNumber": "0x5"},
        {"timestamp": "0x5"},
        {"withdrawalsRoot": UNKNOWN},
        {"extraData": "0x000000000000000000"},
        {"extraData": "0x01000000fa000000060000000000000000"},
        {"blobGasUsed": "0x5"},
        {"transactions": []},
        {"transactions": ["0x02"]},
        {"transactions": ["0x" + deposit(5, gas=10**8).hex()]},
    ],
    ids=str,
)
async def test_a_wrong_payload_is_invalid_and_so_are_its_children(
    engine: Node, changes: Any
) -> None:
    """Told with the last good ancestor, and remembered."""
    payload = (await engine.get(await engine.begin()))["executionPayload"]
    bad = await forged(engine, payload, **changes)

    first = await engine.new(bad)
    again = await engine.new(bad)
    child = await engine.new(
        await forged(engine, payload, parentHash=bad["blockHash"], blockNumber="0x2")
    )

    assert first["status"] == again["status"] == child["status"] == "INVALID"
    assert first["latestValidHash"] == child["latestValidHash"] == head(engine)
    assert first["validationError"]
    answer = await engine.update(bad["blockHash"])
    assert answer["payloadStatus"]["status"] == "INVALID"
    assert (await engine.new(payload))["status"] == "VALID"


async def test_safe_and_finalized_must_be_ancestors(engine: Node) -> None:
    """-38002, and nothing moves."""
    first = await engine.extend()
    second = await engine.extend()
    await engine.update(second["blockHash"], safe=second["blockHash"], finalized=first["blockHash"])
    assert (engine.chain.safe.number, engine.chain.finalized.number) == (2, 1)

    for wrong in ({"safe": UNKNOWN}, {"finalized": UNKNOWN}):
        with pytest.raises(Failure) as caught:
            await engine.update(first["blockHash"], **wrong)
        assert caught.value.code == -38002
    with pytest.raises(Failure):
        await engine.update(first["blockHash"], safe=second["blockHash"])
    assert head(engine) == second["blockHash"]

    await engine.update(first["blockHash"], safe=first["blockHash"], finalized=first["blockHash"])
    assert (engine.chain.head.number, engine.chain.safe.number) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": "0x1"},
        {"eip1559Params": None},
        {"eip1559Params": "0x0000000000000006"},
        {"minBaseFee": 5},
        {"gasLimit": "0x0"},
        {"gasLimit": None},
        {"parentBeaconBlockRoot": None},
        {"withdrawals": [{}]},
        {"transactions": ["0x02"]},
        {"transactions": ["0x" + signed(7).hex()]},
        {"transactions": ["0x" + deposit(5, gas=10**8).hex()]},
    ],
    ids=str,
)
async def test_bad_attributes_are_told_after_the_heads_have_moved(
    engine: Node, changes: Any
) -> None:
    """-38003; a transaction that cannot be forced into the block is one of them."""
    payload = await engine.build()

    block = engine.chain.blocks.by_hash(bytes.fromhex(payload["blockHash"][2:]))
    with pytest.raises(Failure) as caught:
        await engine.update(payload["blockHash"], engine.attributes(block, **changes))

    assert caught.value.code == -38003
    assert head(engine) == payload["blockHash"]


async def test_each_method_belongs_to_its_fork(engine: Node, tmp_path: Path) -> None:
    """-38005 for the other version, in both directions."""
    payload_id = await engine.begin()
    payload = (await engine.get(payload_id))["executionPayload"]
    older = {key: value for key, value in payload.items() if key != "withdrawalsRoot"}
    with pytest.raises(Failure) as caught:
        await engine.calls["engine_getPayloadV3"](payload_id)
    assert caught.value.code == -38005
    with pytest.raises(Failure) as caught:
        await engine.calls["engine_newPayloadV3"](older, [], ZERO)
    assert caught.value.code == -38005

    with node(tmp_path / "holocene", "holocene") as before:
        built = await before.extend()
        assert "withdrawalsRoot" not in built
        with pytest.raises(Failure) as caught:
            await before.calls["engine_newPayloadV4"](payload, [], ZERO, [])
        assert caught.value.code == -38005


async def test_parameters_of_another_shape_are_refused(engine: Node) -> None:
    """-32602, never an accident."""
    calls = engine.calls
    wrong: list[tuple[str, list[Any]]] = [
        ("engine_exchangeCapabilities", [5]),
        ("engine_forkchoiceUpdatedV3", [[], None]),
        ("engine_forkchoiceUpdatedV3", [{"headBlockHash": 5}, None]),
        ("engine_getPayloadV4", ["0x00"]),
        ("engine_newPayloadV4", [{}, [], ZERO, []]),
        ("engine_newPayloadV4", [5, [], ZERO, []]),
        ("engine_newPayloadV4", [{}, [ZERO], ZERO, []]),
        ("engine_newPayloadV4", [{}, [], ZERO, None]),
    ]
    for name, params in wrong:
        with pytest.raises(Failure) as caught:
            await ask(calls[name], params)
        assert caught.value.code == -32602, name
    assert "engine_newPayloadV4" in calls["engine_exchangeCapabilities"]([])


async def test_the_same_attributes_are_the_same_payload(engine: Node) -> None:
    """And the first answer stays, whatever the pool gets later."""
    first = await engine.begin()
    again = await engine.begin()
    other = await engine.begin(prevRandao="0x" + "55" * 32)
    before = await engine.get(first)
    engine.pooled(signed(0))

    assert first == again != other
    assert await engine.get(first) == before
    assert len((await engine.get(other))["executionPayload"]["transactions"]) == 2
    assert len(engine.pool) == 1


async def test_without_the_pool_only_forced_transactions_enter(engine: Node) -> None:
    engine.pooled(signed(0))
    payload = await engine.extend(noTxPool=True)

    assert len(payload["transactions"]) == 1
    assert len(engine.pool) == 1


async def test_a_transaction_that_takes_too_long_costs_its_sender_the_place_in_the_pool(
    engine: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block goes on without it; forced on the engine, the same one runs to its end."""
    monkeypatch.setattr("rollup.engine.building.TRANSACTION_SECONDS_MAX", 0.001)
    endless = b"\x5b\x5f\x56"  # JUMPDEST PUSH0 JUMP
    engine.pooled(signed(0, to=None, data=endless, gas=8_000_000))

    payload = await engine.extend()
    assert len(payload["transactions"]) == 1
    assert len(engine.pool) == 0

    raw = "0x" + signed(0, to=None, data=endless, gas=8_000_000).hex()
    forced = [*engine.attributes()["transactions"], raw]
    assert len((await engine.extend(transactions=forced))["transactions"]) == 2
    assert engine.chain.head.receipts[1].status == 0
    assert engine.chain.head.receipts[1].gas_used == 8_000_000


async def test_whoever_listens_hears_each_block_once(engine: Node) -> None:
    """Also the blocks of another branch; a listener who falls behind loses his channel."""
    heard = engine.chain.subscribe()
    first = await engine.extend()
    right = await engine.build(
        "0x" + (engine.chain.blocks.hash_of(0) or b"").hex(),
        noTxPool=True,
        prevRandao="0x" + "44" * 32,
    )
    await engine.update(right["blockHash"])

    hashes = ["0x" + heard.receive_nowait().hash.hex() for _ in range(2)]
    assert hashes == [first["blockHash"], right["blockHash"]]


async def test_the_heads_survive_a_restart(tmp_path: Path) -> None:
    """All three; a store of another genesis is refused, the same one written otherwise is not."""
    with node(tmp_path / "data") as engine:
        first = await engine.extend()
        second = await engine.extend()
        third = await engine.extend()
        await engine.update(
            third["blockHash"], safe=second["blockHash"], finalized=first["blockHash"]
        )
    with node(tmp_path / "data") as engine:
        chain = engine.chain
        assert (chain.head.number, chain.safe.number, chain.finalized.number) == (3, 2, 1)
        assert chain.state(chain.head.header).get_nonce(RICH_ADDRESS) == 0
        assert (await engine.extend())["blockNumber"] == "0x4"
    store = KeyValues(tmp_path / "data")
    with pytest.raises(CorruptStore, match="another genesis"):
        Chain(store, genesis("jovian"))
    store.close()


async def test_a_slow_precompile_is_not_even_begun(engine: Node) -> None:
    """A block would wait for seconds, and no clock is looked at inside of four hundred pairings."""
    engine.pooled(signed(0, to=bytes(19) + b"\x08", value=0, data=bytes(192 * 400), gas=14_000_000))

    payload = await engine.extend()

    assert len(payload["transactions"]) == 1
    assert len(engine.pool) == 0
