"""The HTTP server of the node: Starlette on hypercorn's trio worker, in the node's own nursery."""

import functools
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from config.settings import Http
from config.shapes import split_host_port
from node.http.limits import Limits, explained
from node.listening import bind
from node.metrics import Metrics

HEADER_SECONDS = 10.0  # from the connection, or the last answer, to the end of a request's head
HEADER_BYTES_MAX = 16 << 10
GRACE_SECONDS = 3.0  # for answers that run when the node stops

log = logging.getLogger(__name__)


def listen(settings: Http) -> socket.socket:
    """The port, taken for this process alone; `Occupied` if another has it."""
    return bind(*split_host_port(settings.listen), "http.listen")


def application(routes: Sequence[BaseRoute], settings: Http, metrics: Metrics) -> ASGIApp:
    """The routes behind the limits.  A bug in a route is logged and answered by 500: no client
    may end the node."""
    app = Starlette(routes=list(routes), exception_handlers={HTTPException: _explained})
    return Limits(
        app, metrics, body_bytes_max=settings.body_bytes_max, requests_max=settings.requests_max
    )


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    *,
    until: Callable[[], Awaitable[None]] = trio.sleep_forever,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve on `listener` until cancelled or `until` returns; reports its URL when it accepts."""
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # bound by us, so that nobody else can share it
    config.accesslog = None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.h11_max_incomplete_size = HEADER_BYTES_MAX
    config.keep_alive_timeout = HEADER_SECONDS  # also bounds the head: idle until it is whole
    config.graceful_timeout = GRACE_SECONDS
    config.include_server_header = False
    async with trio.open_nursery() as nursery:
        urls: list[str] = await nursery.start(
            functools.partial(hypercorn_serve, cast("Any", app), config, shutdown_trigger=until)
        )
        log.info("http on %s", urls[0])
        task_status.started(urls[0])


async def _explained(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"no route {request.url.path}" if error.status_code == 404 else error.detail
    return explained(error.status_code, text, error.headers)
