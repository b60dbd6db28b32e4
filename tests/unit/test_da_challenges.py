"""Challenges of data on L1: the tables of op-alt-da's damgr_test.go, and what follows from them."""

import pytest
from eth_hash.auto import keccak

from protocol.errors import Malformed, Reset
from rollup.codec.refs import L1Block, L1BlockRef, L1Log, L1Transaction
from rollup.da.challenges import Challenges, Drop, LookAhead, Lost, Status, Take, Terms
from rollup.da.contract import (
    INPUT_BYTES_MAX,
    STATUS_CHANGED,
    challenge_call,
    resolve_call,
    resolved_input,
)
from rollup.da.rest import GENERIC, keccak_commitment

CONTRACT = bytes.fromhex("978e3286eb805934215a88694d80b09aded68d90")
DATA = b"\x00 frames"
C1, C2, OURS = (keccak_commitment(data) for data in (b"one", b"two", DATA))


def ref(number: int) -> L1BlockRef:
    return L1BlockRef(keccak(b"%d" % number), number, keccak(b"%d" % (number - 1)), 12 * number)


def block(number: int, *events: tuple[L1Log, bytes]) -> L1Block:
    """An L1 block of one transaction per event, whose calldata is given."""
    transactions = tuple(
        L1Transaction(keccak(data), bytes(20), CONTRACT, data) for _, data in events
    )
    logs = tuple(
        L1Log(log.address, log.topics, log.data, at, at) for at, (log, _) in enumerate(events)
    )
    return L1Block(ref(number), 1, 1, bytes(32), bytes(32), transactions, logs)


def event(commitment: bytes, number: int, status: Status, address: bytes = CONTRACT) -> L1Log:
    head = (64).to_bytes(32, "big") + status.value.to_bytes(32, "big")
    tail = len(commitment).to_bytes(32, "big") + commitment + bytes(-len(commitment) % 32)
    return L1Log(address, (STATUS_CHANGED, number.to_bytes(32, "big")), head + tail, 0, 0)


def challenged(commitment: bytes, number: int) -> tuple[L1Log, bytes]:
    return event(commitment, number, Status.ACTIVE), challenge_call(number, commitment)


def resolved(data: bytes, number: int) -> tuple[L1Log, bytes]:
    commitment = keccak_commitment(data)
    return event(commitment, number, Status.RESOLVED), resolve_call(number, commitment, data)


def machine(window: int = 6, resolve: int = 6, kind: int = 0) -> Challenges:
    challenges = Challenges(Terms(CONTRACT, window, resolve, kind))
    challenges.restart(ref(0))
    return challenges


def walk(challenges: Challenges, last: int, events: dict[int, list[tuple[L1Log, bytes]]]) -> None:
    for number in range(challenges.origin + 1, last + 1):
        challenges.advance(block(number, *events.get(number, [])))


def test_op_nodes_finalization() -> None:
    """TestFinalization: final when the challenge window, or the resolve window, is over."""
    challenges = machine()
    walk(challenges, 2, {})
    assert challenges.judge(C1, ref(2), b"one") == Take(b"one")
    walk(challenges, 20, {})
    assert challenges.finalize(2) == 1
    assert challenges.finalize(7) == 1
    assert challenges.finalize(8) == 8
    assert challenges.judge(OURS, ref(20), DATA) == Take(DATA)
    walk(challenges, 30, {24: [challenged(OURS, 20)], 29: [resolved(DATA, 20)]})
    assert challenges.status(OURS, 20) is Status.RESOLVED

    assert challenges.finalize(20) == 19
    assert challenges.finalize(28) == 19
    assert challenges.finalize(29) == 19
    assert challenges.finalize(30) == 30
    assert challenges.status(OURS, 20) is Status.UNCHALLENGED  # forgotten


def test_op_nodes_expiry_over_long_windows() -> None:
    """TestExpireChallenges: an unresolved challenge of a used input asks for a reorg."""
    challenges = machine(90, 90)
    first = 3713854
    challenges.restart(ref(first - 1))
    used = {number: keccak_commitment(b"%d" % number) for number in range(first, 3714104, 6)}
    events = {
        3713948: [challenged(used[3713926], 3713926)],
        3713950: [challenged(used[3713932], 3713932)],
    }
    for number in range(first, 3714038):
        challenges.advance(block(number, *events.get(number, [])))
        if number in used:
            challenges.judge(used[number], ref(number), b"%d" % number)

    with pytest.raises(Reset):
        walk(challenges, 3714106, {})

    assert challenges.origin == 3714037
    assert challenges.status(used[3713926], 3713926) is Status.EXPIRED


def test_op_nodes_detached_challenges() -> None:
    """TestDAChallengeDetached: looking ahead learns of challenges, the reorg keeps them."""
    challenges = machine()
    walk(challenges, 1, {})
    events = {3: [challenged(C2, 2)], 5: [challenged(C1, 1)]}
    for number in range(2, 12):
        assert challenges.judge(C1, ref(1), None) == LookAhead(number)
        challenges.look_ahead(block(number, *events.get(number, [])))
    assert challenges.status(C2, 2) is Status.EXPIRED
    assert challenges.judge(C1, ref(1), None) == Drop("challenged, and not shown in time")

    walk(challenges, 10, {})  # c2 was never used, c1 runs until 11
    with pytest.raises(Reset):
        walk(challenges, 11, {})
    assert challenges.finalize(1) == 0
    challenges.restart(ref(1))
    walk(challenges, 2, {})

    assert not challenges.wanted(C2, ref(2))
    assert isinstance(challenges.judge(C2, ref(2), b"two"), Drop)
    walk(challenges, 201, {})
    assert challenges.finalize(201) == 201


def test_op_nodes_event_bytes() -> None:
    """TestAdvanceChallengeOrigin: a log as it was on a chain; another event is passed over."""
    challenges = machine(90, 90)
    challenges.restart(ref(18))
    commitment = bytes.fromhex("00eed82c1026bdd0f23461dd6ca515ef677624e63e6fc0ff91e3672af8eddf579d")
    other = bytes.fromhex("a448afda7ea1e3a7a10fcab0c29fe9a9dd85791503bf0171f281521551c7ec05")
    data = bytes.fromhex(
        "0000000000000000000000000000000000000000000000000000000000000040"
        "0000000000000000000000000000000000000000000000000000000000000001"
        "0000000000000000000000000000000000000000000000000000000000000021"
        "00eed82c1026bdd0f23461dd6ca515ef677624e63e6fc0ff91e3672af8eddf57"
        "9d00000000000000000000000000000000000000000000000000000000000000"
    )
    topics = (STATUS_CHANGED, (14).to_bytes(32, "big"))
    logs = [L1Log(CONTRACT, (other,), b"", 0, 0), L1Log(CONTRACT, topics, data, 1, 1)]

    challenges.advance(block(19, *((log, b"") for log in logs)))

    assert challenges.status(commitment, 14) is Status.ACTIVE
    walk(challenges, 109, {})
    assert challenges.status(commitment, 14) is Status.EXPIRED
    assert challenges.finalize(109) == 109
    assert challenges.status(commitment, 14) is Status.UNCHALLENGED


def test_missing_data_wait_for_l1_and_are_taken_from_it() -> None:
    challenges = machine()
    walk(challenges, 1, {})

    for number, events in ((2, []), (3, [challenged(OURS, 1)]), (4, [resolved(DATA, 1)])):
        assert challenges.judge(OURS, ref(1), None) == LookAhead(number)
        challenges.look_ahead(block(number, *events))

    assert challenges.judge(OURS, ref(1), None) == Take(DATA)
    walk(challenges, 30, {})  # the window ends without a reorg
    assert challenges.finalize(30) == 30


def test_missing_and_unchallenged_is_lost_after_the_window() -> None:
    challenges = machine()
    walk(challenges, 1, {})
    for number in range(2, 9):
        assert challenges.judge(C1, ref(1), None) == LookAhead(number)
        challenges.look_ahead(block(number))

    assert isinstance(challenges.judge(C1, ref(1), None), Lost)
    assert challenges.judge(C1, ref(1), b"one") == Take(b"one")  # late, but then it came


def test_the_same_data_in_another_block_are_another_commitment() -> None:
    challenges = machine()
    walk(challenges, 9, {2: [challenged(OURS, 1)]})

    assert isinstance(challenges.judge(OURS, ref(1), DATA), Drop)
    assert challenges.judge(OURS, ref(2), DATA) == Take(DATA)


@pytest.mark.parametrize(
    "events",
    [
        [(event(OURS, 1, Status.RESOLVED), b"")],
        [(event(OURS, 1, Status.RESOLVED), resolve_call(1, OURS, b"false"))],
        [(event(OURS, 1, Status.RESOLVED), resolve_call(1, OURS, b""))],
        [(event(OURS, 1, Status.RESOLVED), resolve_call(1, OURS, DATA)[:-40])],
        [(event(OURS, 1, Status.RESOLVED, bytes(20)), resolve_call(1, OURS, DATA))],
        [
            (event(OURS, 1, Status.RESOLVED), b"through another contract"),
            (event(C1, 9, Status.EXPIRED), resolve_call(1, OURS, DATA)),  # not the emitter
        ],
        [resolved(DATA, 2)],
    ],
)
def test_only_calldata_that_shows_the_input_resolve(events: list[tuple[L1Log, bytes]]) -> None:
    challenges = machine()

    walk(challenges, 4, {2: [challenged(OURS, 1)], 4: events})

    assert challenges.status(OURS, 1) is Status.ACTIVE


def test_hostile_logs_are_passed_over() -> None:
    good = event(OURS, 1, Status.ACTIVE)
    bad = [
        L1Log(CONTRACT, (), good.data, 0, 0),
        L1Log(CONTRACT, good.topics[:1], good.data, 0, 0),
        L1Log(CONTRACT, (*good.topics, bytes(32)), good.data, 0, 0),
        L1Log(CONTRACT, (STATUS_CHANGED, b"\xff" * 32), good.data, 0, 0),
        *(L1Log(CONTRACT, good.topics, good.data[:size], 0, 0) for size in range(0, 128, 7)),
        L1Log(CONTRACT, good.topics, b"\xff" * 160, 0, 0),
        event(OURS, 1, Status.UNCHALLENGED),
        event(OURS, 1, Status.EXPIRED),
        event(b"\x00short", 1, Status.ACTIVE),
        event(b"\x02" + bytes(32), 1, Status.ACTIVE),
        event(C1, 1, Status.RESOLVED),  # of a challenge that nobody made
    ]
    challenges = machine()

    walk(challenges, 2, {1: [(log, b"") for log in bad]})

    assert challenges.status(OURS, 1) is Status.UNCHALLENGED
    assert challenges.finalize(2) == 2


def test_an_input_too_large_to_be_challenged_is_dropped() -> None:
    challenges = machine()
    for size, kind in ((INPUT_BYTES_MAX, Take), (INPUT_BYTES_MAX + 1, Drop)):
        data = bytes(size)
        assert isinstance(challenges.judge(keccak_commitment(data), ref(1), data), kind)


def test_another_kind_of_commitment_is_dropped() -> None:
    generic = b"\x01\x00\x00certificate"
    assert isinstance(machine().judge(generic, ref(1), b"data"), Drop)
    assert isinstance(machine(kind=GENERIC).judge(OURS, ref(1), DATA), Drop)
    large = bytes(INPUT_BYTES_MAX + 1)
    assert machine(kind=GENERIC).judge(generic, ref(1), large) == Take(large)


def test_a_reorg_of_l1_forgets_its_challenges() -> None:
    challenges = machine()
    walk(challenges, 4, {3: [challenged(OURS, 1)]})
    assert challenges.status(OURS, 1) is Status.ACTIVE

    challenges.restart(ref(2))

    assert challenges.status(OURS, 1) is Status.UNCHALLENGED
    with pytest.raises(Malformed):
        challenges.look_ahead(block(5))
    challenges.look_ahead(block(3))


def test_finality_waits_for_challenges_of_inputs_that_were_skipped() -> None:
    """That nobody resolved a challenge is known for good only when its window is final."""
    challenges = machine()
    walk(challenges, 20, {2: [challenged(OURS, 1)]})
    assert isinstance(challenges.judge(OURS, ref(1), DATA), Drop)

    assert challenges.finalize(7) == 0
    assert challenges.finalize(8) == 8
    assert challenges.finalize(3) == 8  # never back


def test_resolved_input_survives_any_bytes() -> None:
    call = resolve_call(7, OURS, DATA)
    assert resolved_input(call) == DATA
    for size in range(len(call)):
        found = resolved_input(call[:size])
        assert found is None or found == DATA  # the padding may be missing
    for at in range(len(call)):
        resolved_input(call[:at] + b"\xff" + call[at + 1 :])
