"""JSON-RPC 2.0 bodies: bounded reading, batches, answers in order."""

import json
import math
from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import Any, Final

import trio

from rollup.engine.errors import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    Failure,
)

PARAMS_MAX: Final = 8
BATCH_MAX: Final = 128
ANSWER_BYTES_MAX: Final = 64 << 20
DEPTH_MAX: Final = 32
# Brackets as signed bytes: 1 opens, -1 closes.
STEPS: Final = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
OTHERS: Final = bytes(set(range(256)) - set(b"[]{}"))

Answer = Callable[[str, list[Any]], Awaitable[Any]]
"""Gives the result of a method by its name and parameters, or raises `Failure`."""


async def answer(ask: Answer, body: bytes) -> bytes:
    """The answer to one JSON-RPC body, which may be a batch; empty if nothing was asked."""
    try:
        if _too_deep(body):
            raise ValueError("nested too deeply")
        value = json.loads(body)
    except (ValueError, RecursionError):
        return encode(_error(None, Failure(PARSE_ERROR, "parse error")))
    if isinstance(value, dict):
        one = await _one(ask, value)
        return b"" if one is None else encode(one)
    if not isinstance(value, list) or not value or len(value) > BATCH_MAX:
        reason = f"a batch must hold 1 to {BATCH_MAX} calls"
        return encode(_error(None, Failure(INVALID_REQUEST, reason)))
    answers: list[bytes] = []
    for call in value:
        await trio.lowlevel.checkpoint()  # others have their turn between two calls of a batch
        one = await _one(ask, call)
        if one is not None:
            answers.append(encode(one))
        if sum(map(len, answers)) > ANSWER_BYTES_MAX:
            return encode(_error(None, Failure(INVALID_REQUEST, "the answer is too large")))
    return b"[" + b",".join(answers) + b"]" if answers else b""


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


async def _one(ask: Answer, call: Any) -> dict[str, Any] | None:
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return _error(None, Failure(INVALID_REQUEST, "invalid request"))
    identity = call.get("id")
    if not _identifies(identity) or call.get("jsonrpc", "2.0") != "2.0":
        return _error(None, Failure(INVALID_REQUEST, "invalid request"))
    params = call.get("params")
    params = [] if params is None else params
    try:
        if not isinstance(params, list) or len(params) > PARAMS_MAX:
            raise Failure(INVALID_PARAMS, f"params must be a list of at most {PARAMS_MAX}")
        result = await ask(call["method"], params)
    except Failure as failure:
        return _error(identity, failure) if "id" in call else None
    return {"jsonrpc": "2.0", "id": identity, "result": result} if "id" in call else None


def _identifies(identity: Any) -> bool:
    """Text, a number, or null: what a client finds its answer by."""
    if isinstance(identity, float):
        return math.isfinite(identity)
    return identity is None or isinstance(identity, str | int)


def _error(identity: Any, failure: Failure) -> dict[str, Any]:
    error: dict[str, Any] = {"code": failure.code, "message": str(failure)}
    if failure.data is not None:
        error["data"] = failure.data
    return {"jsonrpc": "2.0", "id": identity, "error": error}


def _too_deep(body: bytes) -> bool:
    """Whether brackets outside of strings nest deeper than any call does.

    py-evm raises the recursion limit for its own 1024 frames; the JSON scanner is C and overflows
    the stack, and with it the process, long before it reaches that limit. In valid JSON escapes
    stand in strings only, and strings are what stands between quotes; in what is not valid JSON
    the scanner stops where that begins. No loop here runs in Python.
    """
    unescaped = body.replace(rb"\\", b"").replace(rb"\"", b"")
    outside = b"".join(unescaped.split(b'"')[::2])
    steps = memoryview(outside.translate(STEPS, OTHERS)).cast("b")
    return max(accumulate(steps), default=0) > DEPTH_MAX
