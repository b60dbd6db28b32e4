"""The pool's rules: replacement, room, costs, and what a reorg brings back."""

import pytest

from protocol.errors import Refused
from rollup.engine import mempool
from rollup.engine.mempool import Mempool
from rollup.engine.transaction import DYNAMIC_FEE, Transaction


def waiting(
    sender: int, nonce: int, fee: int = 100, *, size: int = 100, salt: int = 0
) -> Transaction:
    identity = bytes([sender, salt]) + nonce.to_bytes(8, "big") + fee.to_bytes(8, "big")
    return Transaction(
        raw=identity.ljust(size, b"\0"),
        hash=identity,
        type_id=DYNAMIC_FEE,
        sender=bytes([sender]) * 20,
        nonce=nonce,
        max_priority_fee_per_gas=fee,
        max_fee_per_gas=fee,
        gas=21_000,
        to=bytes(20),
        value=1,
        data=b"",
    )


def test_what_a_sender_owes_includes_the_fees_of_the_chain() -> None:
    """Each nonce's most, as it was admitted, until it leaves."""
    pool = Mempool()
    plain, dear = waiting(1, 0), waiting(1, 1)
    pool.add(plain, 0)
    pool.add(dear, 0, cost=dear.cost_max + 7)

    assert pool.spent(plain.sender) == {0: plain.cost_max, 1: dear.cost_max + 7}
    pool.settle({plain.sender: 1}, ())
    assert pool.spent(plain.sender) == {1: dear.cost_max + 7}
    assert [tx.nonce for tx in pool.queue(plain.sender)] == [1]


def test_a_replacement_takes_the_place_of_the_old_one() -> None:
    """For 10 % more of both fees; else the old one stays."""
    pool = Mempool()
    pool.add(waiting(1, 0, 100), 0)

    with pytest.raises(Refused, match="underpriced"):
        pool.add(waiting(1, 0, 109), 0)
    assert [tx.max_fee_per_gas for tx in pool.all()] == [100]
    pool.add(waiting(1, 0, 110), 0)
    assert [tx.max_fee_per_gas for tx in pool.all()] == [110]
    with pytest.raises(Refused, match="already known"):
        pool.add(waiting(1, 0, 110), 0)


def test_bytes_are_bounded_for_each_sender_and_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A better payer makes room from the ends of worse queues; if he cannot, nobody has left."""
    monkeypatch.setattr(mempool, "BYTES_MAX", 1_000)
    monkeypatch.setattr(mempool, "BYTES_PER_SENDER_MAX", 700)
    pool = Mempool()
    for nonce, fee in enumerate((100, 150, 102)):
        pool.add(waiting(1, nonce, fee, size=200), 0)
    with pytest.raises(Refused, match="full for this sender"):
        pool.add(waiting(1, 3, 500, size=200), 0)
    pool.add(waiting(2, 0, 200, size=300), 0)

    with pytest.raises(Refused, match="txpool is full"):
        pool.add(waiting(3, 0, 105, size=300), 0)  # outbids nobody's last
    with pytest.raises(Refused, match="txpool is full"):
        pool.add(waiting(3, 0, 115, size=700), 0)  # outbids one, would need two
    assert len(pool) == 4
    pool.add(waiting(3, 0, 115, size=300), 0)
    assert [tx.nonce for tx in pool.queue(bytes([1]) * 20)] == [0, 1]
    monkeypatch.setattr(mempool, "VICTIMS_MAX", 1)
    with pytest.raises(Refused, match="txpool is full"):
        pool.add(waiting(4, 0, 900, size=600), 0)  # would drive out two
    pool.settle({bytes([1]) * 20: 2, bytes([2]) * 20: 1}, ())
    pool.add(waiting(4, 0, 100, size=600), 0)  # what left has freed its bytes
    pool.settle({bytes([4]) * 20: 1}, ())
    pool.add(waiting(2, 0, 200, size=300), 0)
    pool.add(waiting(1, 5, 100, size=200), 2)
    with pytest.raises(Refused, match="txpool is full"):
        pool.add(waiting(2, 0, 900, size=700), 0)  # its own old one gives way, but not enough


def test_room_is_made_for_a_better_payer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 2)
    pool = Mempool()
    pool.add(waiting(1, 0, 100), 0)
    pool.add(waiting(2, 0, 200), 0)

    with pytest.raises(Refused, match="txpool is full"):
        pool.add(waiting(3, 0, 109), 0)
    pool.add(waiting(3, 0, 110), 0)
    assert sorted(tx.sender[0] for tx in pool.all()) == [2, 3]
    assert Mempool().all() == []


def test_what_waits_behind_a_gap_gives_way_to_what_can_enter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However high it bids: it pays nobody, so a full pool of it would cost its sender nothing."""
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 3)
    pool = Mempool()
    pool.add(waiting(1, 0, 900), 0)
    pool.add(waiting(2, 7, 900), 5)
    pool.add(waiting(3, 9, 950), 5)

    with pytest.raises(Refused, match="full"):
        pool.add(waiting(4, 3, 10), 2)  # would wait, too
    pool.add(waiting(4, 2, 10), 2)
    assert {tx.sender[0] for tx in pool.all()} == {1, 3, 4}
    pool.settle({bytes([3]) * 20: 9}, ())  # now it can enter
    with pytest.raises(Refused, match="full"):
        pool.add(waiting(5, 0, 10), 0)


def test_a_reorg_brings_back_what_is_still_to_come() -> None:
    """Stale nonces and what is outbid meanwhile are dropped silently."""
    pool = Mempool()
    pool.add(waiting(2, 5, 200), 5)
    gone = [waiting(1, 0), waiting(1, 1), waiting(2, 5, 100), waiting(3, 9)]

    pool.readmit(gone, {gone[0].sender: 1, gone[2].sender: 5, gone[3].sender: 10}.__getitem__)

    assert sorted((tx.sender[0], tx.nonce) for tx in pool.all()) == [(1, 1), (2, 5)]
    assert pool.queue(gone[2].sender)[0].max_fee_per_gas == 200
