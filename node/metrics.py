"""What Prometheus may know of this node: a registry of our own, each metric named once here."""

import math
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from node.supervisor import State

SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STORE_SCAN_SECONDS = 30.0


class Metrics:
    """The metrics of one node.  Gauges are set by whoever knows; none reads the world itself."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counts: list[tuple[Gauge, Mapping[str, int]]] = []

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"openledger_{name}", text, labels, registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"openledger_{name}", text, labels, registry=self.registry)

        self.info = gauge(
            "info", "1, with version, network and roles", "version", "network", "roles"
        )
        self.duty_up = gauge("duty_up", "1 while the duty runs, 0 while it retries", "duty")
        self.duty_restarts = counter("duty_restarts", "Restarts after a temporary error", "duty")
        self.peers = gauge("peers", "Connected peers")
        self.chain_head = gauge("chain_head_block", "Number of the newest block seen")
        self.chain_followed = gauge("chain_followed_block", "Number of the last block applied")
        self.chain_resets = counter("chain_resets", "Reorganisations that made the node rebuild")
        self.intents = gauge("intents", "Transactions of the outbox that are not final", "state")
        self.balance = gauge("balance_open", "Balance of the operator's account in OPEN")
        self.l1_batches_left = gauge(
            "l1_batches_left", "Full batch transactions that the account's ether on L1 still pays"
        )
        self.l1_batches_left.set(math.nan)  # for who posts none
        self.store_bytes = gauge("store_bytes", "Size of the store on disk")
        self.ready = gauge("ready", "1 if the node can do its duties")
        self.watchdog_late = gauge("watchdog_late", "1 if the duty makes no progress", "duty")
        self.l2_head = gauge("l2_block", "Number of the L2 block at each head", "head")
        self.l1_head = gauge("l1_block", "Number of the L1 block: newest, final, derived", "head")
        self.derivation = gauge("derivation", "Blocks derived, starts over, gossip queued", "what")
        self.batcher = gauge("batcher", "Channels, blocks and bytes posted; what waits", "what")
        self.gossip = gauge("p2p_events", "What happened in the p2p network, how often", "event")
        self.requests = counter("http_requests", "HTTP requests", "method", "code")
        self.request_seconds = Histogram(
            "openledger_http_request_seconds",
            "Time to the end of the answer",
            buckets=SECONDS,
            registry=self.registry,
        )

    def watch(self, gauge: Gauge, value: Callable[[], float]) -> None:
        """Let `gauge` ask for its value at each scrape; for what is cheap to know."""
        gauge.set_function(value)

    def watch_counts(self, gauge: Gauge, counts: Mapping[str, int]) -> None:
        """Let `gauge` show every count at each scrape, also those that are new by then."""
        self._counts.append((gauge, counts))

    def on_duty(self, state: State) -> None:
        """For `Supervisor.on_change`."""
        self.duty_up.labels(state.name).set(state.good)
        if state.condition == "retrying":
            self.duty_restarts.labels(state.name).inc()
        if state.condition == "rebuilding":
            self.chain_resets.inc()

    def text(self) -> bytes:
        for gauge, counts in self._counts:
            for name, count in counts.items():
                gauge.labels(name).set(count)
        return generate_latest(self.registry)
