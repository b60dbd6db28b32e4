"""The outbox: each intent takes effect once, whatever is lost, reorged or overtaken."""

import pytest
import trio
from eth_hash.auto import keccak

from contracts.intents import Done, Unsent
from contracts.signing import Call, Fees, sign
from protocol.errors import Refused
from tests.unit.outbox_world import CHAIN_ID, CONFIRMATIONS, TO, Bench, decode


def test_an_intent_is_sent_followed_and_ends_with_its_transaction() -> None:
    """The straight way: one transaction, done after two confirmations, reported with its gas."""
    bench = Bench()

    bench.intend(b"pay a")
    bench.rounds(2)
    early = bench.outbox.result("pay a")
    bench.rounds(3)

    done = bench.outbox.result("pay a")
    assert early is None
    assert done == Done(keccak(bench.world.blocks[1][0]), 1, 1, 40_000)
    assert bench.world.paid() == [b"pay a"]
    assert bench.outbox.status().done == 1


def test_two_intents_fly_at_once_with_two_nonces() -> None:
    """In the order in which they were meant."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.intend(b"pay b")

    bench.step()

    flying = [decode(raw, CHAIN_ID) for raw in bench.world.sent]
    assert [(tx.nonce, tx.data) for tx in flying] == [(0, b"pay a"), (1, b"pay b")]


def test_the_same_key_twice_is_one_intent_and_another_call_is_refused() -> None:
    """A role may say its intents again after every restart."""
    bench = Bench()

    bench.intend(b"pay a", "k")
    bench.intend(b"pay a", "k")
    bench.rounds(6)
    bench.intend(b"pay a", "k")
    bench.rounds(6)

    assert bench.world.paid() == [b"pay a"]
    with pytest.raises(Refused, match="another call"):
        bench.intend(b"pay b", "k")


def test_a_call_that_would_revert_is_recorded_and_burns_no_nonce() -> None:
    """Its reason is kept, nothing is sent, and those behind it go on."""
    bench = Bench()

    bench.intend(b"bad")
    bench.intend(b"pay a")
    bench.rounds(6)

    assert bench.outbox.result("bad") == Unsent("reverted: it is bad")
    assert bench.world.paid() == [b"pay a"]
    assert [tx.nonce for tx in bench.world.transactions()] == [0]


def test_a_call_that_builds_on_one_in_flight_waits_for_it() -> None:
    """Refused against today's state, it is judged again when its forerunner is in."""
    bench = Bench()

    bench.intend(b"pay a")
    bench.intend(b"after:pay a")
    bench.step()
    bench.step()
    waiting = bench.outbox.status().waiting
    bench.rounds(8)

    assert waiting == 1
    assert bench.world.paid() == [b"pay a", b"after:pay a"]


def test_a_failure_on_chain_is_an_outcome_with_status_zero() -> None:
    """A call that passed the simulation and failed in its block is not sent again."""
    bench = Bench()

    bench.intend(b"late")
    bench.rounds(8)

    done = bench.outbox.result("late")
    assert isinstance(done, Done)
    assert not done.succeeded
    assert done.reason
    assert len(bench.world.transactions()) == 1


def test_a_stuck_transaction_is_replaced_with_the_same_nonce_and_higher_fees() -> None:
    """When the base fee has outgrown the offer, the offer is raised until it is included."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()
    bench.world.base_fee = 1_000

    bench.rounds(2)
    bench.time.seconds += 31
    bench.rounds(6)

    first, second = (decode(raw, CHAIN_ID) for raw in dict.fromkeys(bench.world.sent))
    assert first.nonce == second.nonce == 0
    assert second.max_fee_per_gas > first.max_fee_per_gas * 1.1
    assert bench.world.paid() == [b"pay a"]
    assert isinstance(bench.outbox.result("pay a"), Done)


def test_an_empty_account_is_named_in_the_status_and_tried_again() -> None:
    """Once the account is funded the very same bytes are included."""
    bench = Bench()
    bench.world.rich = False
    bench.intend(b"pay a")

    bench.rounds(3)
    problem = bench.outbox.status().problem
    bench.world.rich = True
    bench.rounds(6)

    assert problem is not None
    assert bench.signer.address.hex() in problem
    assert "1 wei, too little" in problem
    assert len(set(bench.world.sent)) == 1
    assert bench.world.paid() == [b"pay a"]


def test_a_nonce_that_a_stranger_used_is_given_up_only_when_that_is_confirmed() -> None:
    """Not before, or both transactions could be included."""
    bench = Bench()
    for _ in range(CONFIRMATIONS + 2):
        bench.world.mine()
    bench.intend(b"pay a")
    bench.step()
    bench.world.pool.clear()
    bench.world.blocks.append([b"stranger"])

    for _ in range(6):
        bench.step()
    kept = len(set(bench.world.sent))
    bench.rounds(12)

    assert kept == 1
    assert bench.world.paid() == [b"pay a"]
    assert [tx.nonce for tx in bench.world.transactions()] == [1]


def test_a_reorg_that_drops_the_transaction_and_the_pool_makes_it_go_out_again() -> None:
    """A receipt counts only while its block is part of the chain."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.rounds(2)

    bench.world.reorg(2, back_to_pool=False)
    bench.rounds(6)

    assert bench.world.paid() == [b"pay a"]
    assert len(set(bench.world.sent)) == 1


def test_a_reorg_below_the_confirmations_is_repaired_from_the_kept_bytes() -> None:
    """An ended transaction that vanished would block every later nonce."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.rounds(6)
    bench.intend(b"pay b")
    bench.step()

    bench.world.reorg(6, back_to_pool=False)
    bench.world.pool.clear()
    bench.rounds(8)

    assert bench.world.paid() == [b"pay a", b"pay b"]


def test_one_blind_answer_does_not_make_a_second_transaction() -> None:
    """A node that lags behind its own nonce count looks like a stranger for a moment."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()
    for _ in range(CONFIRMATIONS + 1):
        bench.world.mine()

    bench.world.blind = 2
    bench.rounds(6)

    assert bench.world.paid() == [b"pay a"]
    assert len(set(bench.world.sent)) == 1


def test_an_older_attempt_may_win() -> None:
    """The replacement is lost on its way and the first offer is included after all."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()
    first = bench.world.pool[0]
    bench.time.seconds += 31
    bench.step()

    bench.world.pool[0] = first
    bench.world.mine()
    bench.rounds(6)

    done = bench.outbox.result("pay a")
    assert len(set(bench.world.sent)) == 2
    assert isinstance(done, Done)
    assert done.transaction == keccak(first)
    assert bench.world.paid() == [b"pay a"]


def test_a_value_that_the_account_lacks_is_not_a_refusal() -> None:
    """The simulation fails for want of money, which may come; nothing is signed till then."""
    bench = Bench()
    bench.world.rich = False
    bench.outbox.intend("gift", TO, b"pay a", value=5)

    bench.rounds(3)
    early, problem = bench.outbox.result("gift"), bench.outbox.status().problem
    bench.world.rich = True
    bench.rounds(6)

    assert early is None
    assert problem is not None
    assert isinstance(bench.outbox.result("gift"), Done)


def test_after_a_deep_reorg_a_new_intent_does_not_take_the_nonce_of_an_ended_one() -> None:
    """The ended one is sent again instead, although nothing was in flight."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.rounds(6)

    bench.world.reorg(6, back_to_pool=False)
    bench.intend(b"pay b")
    bench.rounds(8)

    assert bench.world.paid() == [b"pay a", b"pay b"]


def test_a_gap_left_by_a_stranger_is_filled_with_an_empty_transaction() -> None:
    """A stranger's dropped transaction below ours would block the account for ever."""
    bench = Bench()
    bench.world.blocks.append([b"stranger"])
    bench.intend(b"pay a")
    bench.step()

    bench.world.reorg(1, back_to_pool=False)
    bench.rounds(10)

    assert [(tx.nonce, tx.data, tx.value) for tx in bench.world.transactions()] == [
        (0, b"", 0),
        (1, b"pay a", 0),
    ]
    assert isinstance(bench.outbox.result("pay a"), Done)


def test_a_store_of_another_chain_is_refused() -> None:
    """Signed bytes with the same chain id would be valid on a chain started anew."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()

    bench.world.eth_getBlockByNumber = lambda tag, full: {"hash": "0x" + "77" * 32}  # type: ignore[method-assign]
    bench.restart()

    with pytest.raises(Refused, match="serves chain"):
        bench.step()


async def test_outcome_wakes_when_the_intent_ends(autojump_clock: trio.abc.Clock) -> None:
    """`run` works by itself, `outcome` waits for it."""
    bench = Bench()
    ended: list[object] = []

    async def wait() -> None:
        ended.append(await bench.outbox.outcome("pay a"))
        nursery.cancel_scope.cancel()

    async def mine() -> None:
        while True:
            await trio.sleep(2)
            bench.world.mine()

    bench.intend(b"pay a")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for job in (bench.outbox.run, wait, mine):
                nursery.start_soon(job)

    assert isinstance(ended[0], Done)


def test_signed_bytes_decode_to_what_was_meant() -> None:
    """The hand-made encoding against the engine's strict decoder."""
    bench = Bench()
    bench.intend(b"pay a")
    bench.step()

    tx = decode(bench.world.sent[0], CHAIN_ID)

    assert (tx.sender, tx.to, tx.data, tx.value) == (bench.signer.address, TO, b"pay a", 0)
    assert (tx.nonce, tx.gas, tx.type_id) == (0, 62_500, 2)
    assert (tx.max_fee_per_gas, tx.max_priority_fee_per_gas) == (210, 10)


def test_a_signer_that_answers_nonsense_is_a_bug_not_a_transaction() -> None:
    """Nothing unsigned leaves."""
    bench = Bench()
    bench.signer.sign = lambda digest: bytes(65)  # type: ignore[method-assign]

    with pytest.raises(ValueError, match="65 bytes"):
        sign(bench.signer, 1, 0, 21_000, Fees(1, 1), Call(TO, b"", 0, None))
