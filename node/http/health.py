"""The operator's routes: /health, /ready, /status, and /metrics for Prometheus."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.metrics import CONTENT_TYPE, Metrics
from node.supervisor import State

UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Report:
    """How the node is, as whoever wired it can tell.  Reasons are sentences for the operator."""

    not_alive: Callable[[], Sequence[str]]  # why the process should be restarted
    not_ready: Callable[[], Sequence[str]]  # why it cannot do its duties now
    not_earning: Callable[[], Sequence[str]]  # why it does its duties and earns nothing
    status: Callable[[], Mapping[str, Any]]  # version, network, address, peer, roles, chain, ...


def routes(report: Report, metrics: Metrics) -> list[BaseRoute]:
    async def health(request: Request) -> Response:
        return _verdict("alive", report.not_alive())

    async def ready(request: Request) -> Response:
        reasons = report.not_ready()
        metrics.ready.set(not reasons)
        return _verdict("ready", reasons)

    async def status(request: Request) -> Response:
        not_ready = list(report.not_ready())
        body = {
            **report.status(),
            "ready": not not_ready,
            "not_ready": not_ready,
            "not_earning": [*not_ready, *report.not_earning()],
        }
        return JSONResponse(body)

    async def scrape(request: Request) -> Response:
        metrics.ready.set(not report.not_ready())
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/status", status),
        Route("/metrics", scrape),
    ]


def duty_rows(states: Sequence[State]) -> list[dict[str, Any]]:
    """The duties as `/status` shows them and `openledger status` prints them."""
    now = trio.current_time()
    return [
        {
            "name": state.name,
            "condition": state.condition,
            "seconds": round(now - state.since, 1),
            "restarts": state.restarts,
            "error": state.error,
        }
        for state in states
    ]


def not_running(states: Sequence[State]) -> list[str]:
    """A reason for each duty that does not run."""
    return [
        f"{state.name} is {state.condition}" + (f": {state.error}" if state.error else "")
        for state in states
        if not state.good
    ]


def _verdict(name: str, reasons: Sequence[str]) -> Response:
    code = UNAVAILABLE if reasons else 200
    return JSONResponse({name: not reasons, "reasons": list(reasons)}, status_code=code)
