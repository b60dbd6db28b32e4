"""Metrics belong to one node, follow the supervisor, and are named as the alert rules expect."""

from node.metrics import Metrics
from node.supervisor import State


def test_two_nodes_share_no_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.peers.set(7)

    assert b"openledger_peers 7.0" in one.text()
    assert b"openledger_peers 0.0" in other.text()


def test_duties_are_counted() -> None:
    metrics = Metrics()
    for condition in ("running", "retrying", "running", "retrying"):
        metrics.on_duty(State("host", condition))  # type: ignore[arg-type]

    assert b'openledger_duty_up{duty="host"} 0.0' in metrics.text()
    assert b'openledger_duty_restarts_total{duty="host"} 2.0' in metrics.text()


def test_a_watched_gauge_asks_at_each_scrape() -> None:
    metrics = Metrics()
    sizes = iter((1.0, 2.0))
    metrics.watch(metrics.store_bytes, lambda: next(sizes))

    assert b"openledger_store_bytes 1.0" in metrics.text()
    assert b"openledger_store_bytes 2.0" in metrics.text()
