"""The follower: every confirmed block once, in order, and a reset when the ground moves."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.chain import RANGE_BLOCKS_MAX, Block, Follower
from contracts.rpc import LIMIT_EXCEEDED, Rejected
from protocol.errors import Malformed, Reset, Temporary

OURS = b"\xaa" * 20
TOPIC = b"\x07" * 32
FULL_BLOOM = "0x" + "ff" * 256
EMPTY_BLOOM = "0x" + "00" * 256


@dataclass
class FakeChain:
    """Blocks are names; a block's hash binds its ancestors, as in a chain."""

    names: list[str] = field(default_factory=lambda: ["genesis"])
    faults: list[Exception] = field(default_factory=list)
    logs_max: int = 10_000
    forgetful: bool = False
    """Answers range queries without logs, as a node that has not indexed yet."""
    asked: list[str] = field(default_factory=list)

    def hash(self, number: int) -> bytes:
        return keccak("/".join(self.names[: number + 1]).encode())

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        return [await self.call(method, *params) for method, params in calls]

    async def call(self, method: str, *params: Any) -> Any:
        self.asked.append(method)
        await trio.lowlevel.checkpoint()
        if self.faults:
            raise self.faults.pop()
        if method == "eth_blockNumber":
            return hex(len(self.names) - 1)
        return self.block(int(params[0], 16)) if "Block" in method else self.logs(params[0])

    def block(self, number: int) -> Any:
        if number >= len(self.names):
            return None
        return {
            "number": hex(number),
            "hash": "0x" + self.hash(number).hex(),
            "parentHash": "0x" + (self.hash(number - 1) if number else bytes(32)).hex(),
            "timestamp": hex(1_000 + 2 * number),
            "logsBloom": FULL_BLOOM if self.names[number].endswith("!") else EMPTY_BLOOM,
        }

    def logs(self, wanted: dict[str, Any]) -> list[Any]:
        assert wanted["address"] == ["0x" + OURS.hex()]
        if "blockHash" in wanted:
            numbers = [
                n
                for n in range(len(self.names))
                if "0x" + self.hash(n).hex() == wanted["blockHash"]
            ]
        else:
            numbers = list(range(int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16) + 1))
            if len(numbers) > self.logs_max:
                raise Rejected(LIMIT_EXCEEDED, "too many")
            if self.forgetful:
                return []
        return [
            {
                "address": "0x" + OURS.hex(),
                "topics": ["0x" + TOPIC.hex()],
                "data": "0x" + self.names[n].encode().hex(),
                "blockNumber": hex(n),
                "blockHash": "0x" + self.hash(n).hex(),
                "transactionHash": "0x" + "00" * 32,
                "logIndex": "0x0",
            }
            for n in numbers
            if n < len(self.names) and self.names[n].endswith("!")
        ]

    def grow(self, *names: str) -> None:
        self.names += names


async def follow(
    chain: FakeChain, confirmations: int = 1, start: int = 0, seconds: float = 30
) -> list[Block]:
    """What arrives within some virtual time."""
    seen: list[Block] = []

    async def deliver(block: Block) -> None:
        seen.append(block)

    with trio.move_on_after(seconds):
        await Follower(chain, [OURS], start, confirmations=confirmations).run(deliver)
    return seen


def names(blocks: list[Block]) -> list[str]:
    return [b"".join(log.data for log in block.logs).decode() for block in blocks]


async def test_confirmed_blocks_arrive_once_in_order_with_their_logs(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Also those without logs, so that consumers know the time; unconfirmed ones not."""
    chain = FakeChain()
    chain.grow("a!", "b", "c!", "d!", "e")

    seen = await follow(chain, confirmations=2)

    assert [block.number for block in seen] == [0, 1, 2, 3]
    assert [block.timestamp for block in seen] == [1000, 1002, 1004, 1006]
    assert names(seen) == ["", "a!", "", "c!"]
    assert seen[1].logs[0].topics == (TOPIC,)


async def test_catching_up_takes_few_requests_and_respects_the_node_s_limits(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Ranges shrink until the node accepts them."""
    chain = FakeChain(logs_max=30)
    chain.grow(*[f"{n}!" for n in range(450)])

    seen = await follow(chain, confirmations=0, start=1)

    assert [block.number for block in seen] == list(range(1, 451))
    assert names(seen) == [f"{n}!" for n in range(450)]
    assert chain.asked.count("eth_getLogs") < 450 / (RANGE_BLOCKS_MAX / 8) + 5


async def test_another_branch_below_what_was_delivered_is_a_reset(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Nothing of the new branch is delivered by this follower."""
    chain = FakeChain()
    chain.grow("a!", "b!")
    seen: list[Block] = []

    async def deliver(block: Block) -> None:
        seen.append(block)
        if block.number == 2:
            chain.names[2:] = ["other!", "more!"]

    with trio.fail_after(60), pytest.raises(Reset):
        await Follower(chain, [OURS], 0, confirmations=0).run(deliver)

    assert names(seen) == ["", "a!", "b!"]
    assert names(await follow(chain, confirmations=0)) == ["", "a!", "other!", "more!"]


async def test_a_branch_of_the_same_length_is_a_reset_too(autojump_clock: trio.abc.Clock) -> None:
    """It brings no new block whose parent could betray it."""
    chain = FakeChain()
    chain.grow("a!", "b!")

    async def deliver(block: Block) -> None:
        if block.number == 2:
            chain.names[1:] = ["x!", "y!"]

    with trio.fail_after(60), pytest.raises(Reset):
        await Follower(chain, [OURS], 0, confirmations=0).run(deliver)


async def test_a_node_that_has_not_indexed_is_asked_by_hash(autojump_clock: trio.abc.Clock) -> None:
    """The bloom in the header says that there are logs; an empty answer is not believed."""
    chain = FakeChain(forgetful=True)
    chain.grow("a!", "b", "c!")

    assert names(await follow(chain, confirmations=0)) == ["", "a!", "", "c!"]


async def test_a_failing_node_is_polled_again_and_a_silent_one_reported(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Short failures lose no block; after two minutes the supervisor hears of it."""
    chain = FakeChain(faults=[Temporary("down"), Malformed("html"), Temporary("down")])
    chain.grow("a!")

    seen = await follow(chain, confirmations=0)
    chain.faults = [Temporary("down")] * 1000

    assert names(seen) == ["", "a!"]
    with trio.fail_after(300), pytest.raises(Temporary, match="cannot be followed: down"):
        await follow(chain, seconds=250)


async def test_what_a_consumer_raises_is_not_swallowed(autojump_clock: trio.abc.Clock) -> None:
    """Only the node's failures are polled away; and a second run goes on where it stopped."""
    chain = FakeChain()
    chain.grow("a!", "b!")
    follower = Follower(chain, [OURS], 0, confirmations=0)
    seen: list[Block] = []

    async def refuse(block: Block) -> None:
        if block.number == 1:
            raise Malformed("the consumer's own")
        seen.append(block)

    async def accept(block: Block) -> None:
        seen.append(block)

    with trio.fail_after(60), pytest.raises(Malformed, match="own"):
        await follower.run(refuse)
    with trio.move_on_after(10):
        await follower.run(accept)

    assert names(seen) == ["", "a!", "b!"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_chain_of_events_ends_in_one_branch_without_gap(draws: st.DataObject) -> None:
    """Growth, reorgs and faults drawn between requests: each follower's blocks are a prefix of one
    chain, and the last follower ends with the chain as it is."""
    chain = FakeChain()
    counter = iter(range(10_000))
    happenings = iter(
        draws.draw(
            st.lists(st.sampled_from("ggggrfn"), min_size=5, max_size=60), label="happenings"
        )
    )

    def happen() -> None:
        event = next(happenings, "n")
        if event == "g":
            chain.grow(f"{next(counter)}!")
        elif event == "f":
            chain.faults.append(Temporary("drawn"))
        elif event == "r" and len(chain.names) > 2:
            depth = min(3, len(chain.names) - 1)
            del chain.names[-depth:]
            chain.grow(*[f"{next(counter)}!" for _ in range(depth)])

    class Eventful(FakeChain):
        async def call(self, method: str, *params: Any) -> Any:
            happen()
            return await FakeChain.call(chain, method, *params)

    branches: list[list[Block]] = []

    async def deliver(block: Block) -> None:
        expected = branches[-1][-1].number + 1 if branches[-1] else 0
        assert block.number == expected
        branches[-1].append(block)

    async def main() -> None:
        with trio.move_on_after(200):
            while True:
                branches.append([])
                try:
                    await Follower(Eventful(), [OURS], 0, confirmations=2).run(deliver)
                except Reset:
                    continue

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert len(chain.names) - 2 <= len(branches[-1]) or len(chain.names) < 3
    for n, block in enumerate(branches[-1]):
        assert block.hash == chain.hash(n)
        assert names([block]) == [chain.names[n] if n else ""]
