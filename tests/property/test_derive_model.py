"""Drawn worlds: whatever the batcher and strangers write, derivation gives the sequencer's chain up
to the first block that never arrived in order."""

from dataclasses import dataclass, field, replace
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import Reset
from rollup.codec.frame import encode_frames
from rollup.codec.refs import L1Block, L1Log, L1Transaction
from tests.derive_world import (
    IMPOSTOR,
    Node,
    Sequencer,
    channel,
    config_log,
    deposit_log,
    inbox,
    l1_child,
    l1_genesis,
    l2_transaction,
    make_config,
)

GAS_LIMIT: Final = 2  # kinds of ConfigUpdate
OPERATOR_FEE: Final = 5


@dataclass(slots=True)
class Batcher:
    """Writes channels of drawn ranges of the true chain, and knows which of it must count."""

    truth: Sequencer
    draw: st.DrawFn
    safe: int = 0  # the number that derivation must reach
    queue: list[L1Transaction] = field(default_factory=list)
    channels: int = 0

    def write(self) -> None:
        """One more channel into the queue; it may be lost, late, doubled or cut in odd ways."""
        draw, head = self.draw, self.truth.head.number
        batches: list[bytes] = []
        at = draw(st.integers(max(1, self.safe - 2), self.safe + 1), label="first block")
        reached, broken = self.safe, False
        for _ in range(draw(st.integers(1, 3), label="batches")):
            first = draw(st.sampled_from([at, at, at, max(1, at - 2), at + 1]), label="first")
            if first > head:
                break
            last = draw(st.integers(first, head), label="last")
            if draw(st.booleans(), label="span"):
                batches.append(self.truth.span(first, last))
            else:
                batches.extend(self.truth.singular(first, last))
            broken = broken or first > reached + 1  # a gap drops the rest of the channel
            reached = max(reached, 0 if broken else last)
            at = last + 1
        if batches and self._send(batches):
            self.safe = reached

    def _send(self, batches: list[bytes]) -> bool:
        """Whether the channel arrives whole and in order."""
        draw = self.draw
        self.channels += 1
        size = draw(st.sampled_from([40, 100, 1000]), label="frame size")
        algorithm = draw(st.sampled_from(["zlib", "brotli"]), label="compression")
        frames = channel(batches, b"%d" % self.channels, size, algorithm)
        fault = draw(
            st.sampled_from(["none"] * 6 + ["lost", "swapped", "unreadable"]), label="fault"
        )
        whole = fault == "none"
        at = draw(st.integers(0, len(frames) - 1), label="where")
        if fault == "lost":
            del frames[at]
        elif fault == "swapped":
            frames[at], frames[at - 1] = frames[at - 1], frames[at]
            whole = len(frames) == 1
        elif fault == "unreadable":
            frames[0] = replace(frames[0], data=b"\x02" + frames[0].data[1:])
        while frames:
            count = draw(st.integers(1, len(frames)), label="frames in a transaction")
            chunk, frames = frames[:count], frames[count:]
            self.queue.append(inbox(encode_frames(chunk)))
            if fault == "none" and chunk[0].number > 0 and draw(st.booleans(), label="again"):
                self.queue.append(self.queue[-1])  # frames that were there already
        return whole

    def noise(self) -> L1Transaction:
        """What nobody must take for the batcher's word."""
        draw, head = self.draw, self.truth.head.number
        frames = channel([self.truth.span(1, head)] if head else [b""], b"noise", 10_000)
        data = draw(st.sampled_from([encode_frames(frames), b"\x01abc", b"\x00", b"\x02"]))
        stranger = draw(st.booleans())
        if stranger or len(data) > 4:
            return inbox(data, IMPOSTOR) if stranger else inbox(data, to=b"\x00" * 20)
        return inbox(data)


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """The truth, an L1 that carries it in part, the number of its last block that must arrive."""

    truth: Sequencer
    l1: list[L1Block]
    number: int


@st.composite
def worlds(draw: st.DrawFn, block_times: tuple[int, ...] = (2, 2, 2, 400)) -> World:
    block_time = draw(st.sampled_from(block_times), label="block time")
    config = make_config(block_time=block_time)
    truth = Sequencer(config)
    batcher = Batcher(truth, draw)
    count = draw(st.integers(2, 10), label="L1 blocks")
    steps = [draw(st.sampled_from([1, 3, 12, 2500]), label="L1 step") for _ in range(count)]
    chain = [l1_genesis()]
    times = [chain[0].ref.time]
    for step in steps:
        times.append(times[-1] + step)
    nonce = 0
    for number in range(1, count + 1):
        for _ in range(draw(st.integers(0, 4), label="L2 blocks")):
            nonce += 1
            _sequence(truth, chain, times, nonce, draw)
        if draw(st.booleans(), label="write"):
            batcher.write()
        sent = [batcher.noise()] if draw(st.booleans(), label="noise") else []
        until = len(batcher.queue)
        if number < count:
            until = draw(st.integers(0, until), label="transactions")
        sent += batcher.queue[:until]
        del batcher.queue[:until]
        chain.append(l1_child(chain[-1], steps[number - 1], sent, draw(_logs())))
    return World(truth, chain, batcher.safe)


@st.composite
def _logs(draw: st.DrawFn) -> tuple[L1Log, ...]:
    found = []
    for index in range(draw(st.sampled_from([0, 0, 1, 2]))):
        kind = draw(st.sampled_from(["deposit", "gas", "operator", "stranger"]))
        match kind:
            case "deposit":
                found.append(deposit_log(index, b"hello"))
            case "stranger":
                found.append(deposit_log(index, address=b"\x77" * 20))
            case "gas":
                found.append(config_log(index, GAS_LIMIT, 20_000_000 + index))
            case "operator":
                found.append(config_log(index, OPERATOR_FEE, 5 << 64 | 9))
    return tuple(found)


def _sequence(
    truth: Sequencer, chain: list[L1Block], times: list[int], nonce: int, draw: st.DrawFn
) -> None:
    """One more block by the rules of the sequencer, if there is one."""
    config, head = truth.config, truth.head
    time = head.time + config.block_time
    at = head.l1_origin.number - chain[0].ref.number
    late = time > times[at] + 1800
    can_move = at + 1 < len(times) and times[at + 1] <= time
    if can_move and at + 1 >= len(chain):
        return  # the L1 block is there in time, only this world has not made it yet
    move = can_move and (late or draw(st.booleans(), label="move"))
    origin = chain[at + move]
    sent = [l2_transaction(nonce, legacy=nonce % 3 == 0)] if draw(st.booleans()) else []
    truth.build(origin, [] if time > origin.ref.time + 1800 else sent)


def assert_reaches(node: Node, world: World) -> None:
    refs = [block.ref for block in world.truth.blocks]
    assert node.chain == refs[: len(node.chain)], "derived what the sequencer never built"
    assert len(node.chain) == world.number + 1


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds())
def test_the_sequencers_chain_is_derived_up_to_the_first_hole(world: World) -> None:
    node = Node(world.truth.config, world.l1)

    node.run()

    assert_reaches(node, world)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.data())
def test_a_restart_anywhere_changes_nothing(world: World, data: st.DataObject) -> None:
    """Sync start from a prefix of L1 and of the derived chain, then on."""
    node = Node(world.truth.config, world.l1[: data.draw(st.integers(1, len(world.l1)))])
    node.run()
    kept = data.draw(st.integers(1, len(node.chain)))
    again = Node(node.config, world.l1, node.chain[:kept], systems=node.systems, bodies=node.bodies)

    again.run()

    assert_reaches(again, world)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds((2,)), worlds((2,)), st.data())
def test_a_reorg_ends_where_a_fresh_start_ends(old: World, new: World, data: st.DataObject) -> None:
    """L1 goes another way: `Reset`, the start is searched again, the end is the same."""
    node = Node(new.truth.config, old.l1[: data.draw(st.integers(1, len(old.l1)))])
    node.run()
    node.l1 = new.l1

    for _ in range(3):  # the second time at the latest it stays
        try:
            node.run()
        except Reset:
            node.start()
            continue
        assert node.pipeline is not None
        seen = node.block(node.pipeline.origin.number)
        if seen is not None and seen.ref == node.pipeline.origin:
            break
        node.start()  # the new L1 is shorter, so that nothing contradicts the old one yet

    assert_reaches(node, new)
