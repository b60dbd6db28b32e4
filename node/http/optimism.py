"""JSON-RPC of the rollup node (`optimism_*`), as op-node serves it to its companions."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from protocol.errors import Malformed, Refused, Temporary

PATH = "/optimism"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, SERVER_ERROR = -32602, -32000
PARAMS_MAX, BATCH_MAX = 4, 32

Methods = Mapping[str, Callable[..., Awaitable[Any]]]


def routes(methods: Methods) -> list[BaseRoute]:
    async def serve(request: Request) -> Response:
        try:
            asked = from_json(await request.body())
        except ValueError:
            return JSONResponse(_error(None, PARSE_ERROR, "parse error"))
        if not isinstance(asked, list):
            return JSONResponse(await _answer(methods, asked))
        if not 0 < len(asked) <= BATCH_MAX:
            reason = f"a batch must hold 1 to {BATCH_MAX} calls"
            return JSONResponse(_error(None, INVALID_REQUEST, reason))
        return JSONResponse([await _answer(methods, call) for call in asked])

    return [Route(PATH, serve, methods=["POST"])]


async def _answer(methods: Methods, call: Any) -> dict[str, Any]:
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return _error(None, INVALID_REQUEST, "invalid request")
    identity, params = call.get("id"), call.get("params") or []
    if isinstance(identity, dict | list):
        return _error(None, INVALID_REQUEST, "invalid request")
    method = methods.get(call["method"])
    if method is None:
        return _error(identity, METHOD_NOT_FOUND, f"no method {call['method'][:64]}")
    if not isinstance(params, list) or len(params) > PARAMS_MAX:
        return _error(identity, INVALID_PARAMS, f"params: want a list of at most {PARAMS_MAX}")
    try:
        inspect.signature(method).bind(*params)
    except TypeError:
        return _error(identity, INVALID_PARAMS, "wrong number of parameters")
    try:
        result = await method(*params)
    except (Temporary, Malformed, Refused) as error:
        return _error(identity, SERVER_ERROR, str(error))
    return {"jsonrpc": "2.0", "id": identity, "result": result}


def _error(identity: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": message}}
