"""Who may speak to the engine: the table of methods, media types, hosts, origins and tokens."""

import h11
import pytest

from rollup.engine import jwt
from rollup.engine.gate import Gate

SECRET = bytes(32)
EXTENSION = "moz-extension://0b3a5c9e-0000-4000-8000-000000000000"
PAGE = "https://app.example"


def request(method: str = "POST", **headers: str) -> h11.Request:
    usual = {"host": "localhost:8545", "content-type": "application/json"}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return h11.Request(method=method, target="/", headers=list({**usual, **named}.items()))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(), 200),
        (request(content_type="application/json; charset=utf-8"), 200),
        (request(host="127.0.0.1"), 200),
        (request(host="[::1]:8545"), 200),
        (request(origin=EXTENSION), 200),
        (request(origin=PAGE), 200),
        (request("OPTIONS", origin=PAGE), 204),
        (request("OPTIONS", origin=EXTENSION), 204),
        (request("GET", upgrade="websocket"), 101),
        (request("GET", upgrade="WebSocket", origin=PAGE), 101),
        (request("GET"), 405),
        (request("OPTIONS"), 405),
        (request("PUT"), 405),
        (request(content_type="text/plain"), 415),
        (request(content_type=""), 415),
        (request(host="evil.example"), 403),
        (request(host="127.0.0.1.evil.example:8545"), 403),
        (request(origin="https://app.example:444"), 403),
        (request(origin="http://app.example"), 403),
        (request(origin="https://app.example.evil.example"), 403),
        (request(origin="null"), 403),
        (request(origin=""), 403),
        (request("OPTIONS", origin="https://evil.example"), 403),
        (request("GET", upgrade="websocket", origin="https://evil.example"), 403),
        (request("GET", upgrade="websocket", host="evil.example"), 403),
    ],
)
def test_the_table_of_the_public_port(asked: h11.Request, status: int) -> None:
    assert Gate(frozenset({PAGE})).judge(asked) == status


def test_a_browser_is_told_what_its_page_may_read() -> None:
    """Its own origin, never a wildcard; nothing for those that are not let in."""
    gate = Gate(frozenset({PAGE}))

    assert gate.headers(request(), 200) == []
    assert gate.headers(request(origin="https://evil.example"), 403) == []
    assert ("access-control-allow-origin", PAGE) in gate.headers(request(origin=PAGE), 200)
    preflight = dict(gate.headers(request("OPTIONS", origin=PAGE), 204))
    assert preflight["access-control-allow-headers"] == "content-type"


def test_the_engine_s_port_wants_a_token_and_no_browser() -> None:
    gate = Gate(frozenset({PAGE}), SECRET, lambda: 1_000.0)
    good = "Bearer " + jwt.token(SECRET, 1_000)

    assert gate.judge(request(authorization=good)) == 200
    assert gate.judge(request("GET", upgrade="websocket", authorization=good)) == 101
    assert gate.judge(request()) == 401
    assert gate.judge(request("GET", upgrade="websocket")) == 401
    assert gate.judge(request(authorization="Bearer " + jwt.token(SECRET, 900))) == 401
    assert gate.judge(request(authorization=good, origin=PAGE)) == 403
    assert gate.judge(request(authorization=good, origin=EXTENSION)) == 403
    assert gate.headers(request(origin=PAGE), 403) == []
