"""Why an answer pays whom, and what a contributor earned: for programs in JSON, for people a page.

GET /v1/receipts/{receipt}/why    GET /v1/contributors/{id}/earnings?after=&limit=
GET /why/{receipt}                GET /earnings/{id}?after=
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import trio
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from node.http.pages.earnings import earnings_page
from node.http.pages.page import ask, failed, page, top
from node.http.pages.style import HEADERS
from node.http.pages.why import why_page
from node.why.asking import Ambiguous, Asking, NotFound
from node.why.held import Held
from node.why.paying import PAGE_DEFAULT, PAGE_MAX, Mark, Paying
from protocol.errors import Malformed, NodeError, Temporary
from roles.ports import Ports

WHY, EARNINGS = "/v1/receipts/{receipt}/why", "/v1/contributors/{contributor}/earnings"
AT_ONCE: Final = 4  # explanations that are worked on; more of them wait
SECONDS_MAX: Final = 60.0  # for one: a body may have to come from peers
ID_DIGITS_MAX: Final = 8
NAME_CHARS_MAX: Final = 80

Told = Callable[[Request], Awaitable[dict[str, Any]]]


def routes(ports: Ports, held: Held) -> list[BaseRoute]:
    asking, paying, turn = Asking(held), Paying(held), trio.CapacityLimiter(AT_ONCE)

    async def why(request: Request) -> dict[str, Any]:
        async with turn:
            return await asking.why(ports, request.path_params["receipt"][:NAME_CHARS_MAX])

    async def earnings(request: Request) -> dict[str, Any]:
        who = _number(request.path_params["contributor"], "contributor")
        after = request.query_params.get("after")
        limit = _number(request.query_params.get("limit", str(PAGE_DEFAULT)), "limit")
        if not 1 <= limit <= PAGE_MAX:
            raise Malformed(f"limit: want 1 to {PAGE_MAX}, got {limit}")
        async with turn:
            mark = None if after is None else Mark.read(after)
            return await paying.earnings(ports, who, mark, limit)

    return [
        Route(WHY, _json(why)),
        Route(EARNINGS, _json(earnings)),
        Route("/why", _asked("receipt", "/why/")),
        Route("/earnings", _asked("contributor", "/earnings/")),
        Route("/why/{receipt}", _page(why, why_page)),
        Route("/earnings/{contributor}", _page(earnings, earnings_page)),
    ]


def _json(tell: Told) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(await _in_time(tell, request))
        except NodeError as error:
            status, kind = _sorted(error)
            body = {"error": {"message": str(error), "type": kind}}
            return JSONResponse(body, status_code=status)

    return answer


def _page(
    tell: Told, shown: Callable[[dict[str, Any]], str]
) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            text, status = shown(await _in_time(tell, request)), 200
        except NodeError as error:
            status, kind = _sorted(error)
            text = failed(kind.replace("_", " ").capitalize(), str(error))
        return HTMLResponse(text, status, HEADERS)

    return answer


def _asked(name: str, path: str) -> Callable[[Request], Awaitable[Response]]:
    """The form, or, once it is filled in, the page that it asks for."""

    async def answer(request: Request) -> Response:
        given = request.query_params.get(name, "").strip().removeprefix("0x")
        if given and len(given) <= NAME_CHARS_MAX and given.isascii() and given.isalnum():
            return RedirectResponse(path + given, 303, HEADERS)
        return HTMLResponse(page("OpenLedger", top(), ask()), 200, HEADERS)

    return answer


async def _in_time(tell: Told, request: Request) -> dict[str, Any]:
    with trio.move_on_after(SECONDS_MAX):
        return await tell(request)
    raise Temporary(f"not worked out in {SECONDS_MAX:.0f} s; ask again, it may be here by then")


def _sorted(error: NodeError) -> tuple[int, str]:
    match error:
        case NotFound():
            return 404, "not_found"
        case Ambiguous():
            return 409, "ambiguous"
        case Malformed():
            return 400, "malformed"
        case Temporary():
            return 503, "temporary"
        case _:
            return 404, "refused"


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= ID_DIGITS_MAX):
        raise Malformed(f"{name}: want a number")
    return int(text)
