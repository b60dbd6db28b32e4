"""Sending an answer: one JSON body or server-sent events, given up when the client goes away."""

import json
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from node.http.asking import Call
from node.http.payment import RECEIPT, receipt_header, receipt_json
from openlora.request import Delta, Failed
from openlora.serving import Completed
from protocol.errors import NodeError

Served = Delta | Completed | Failed
Opened = AbstractAsyncContextManager["trio.MemoryReceiveChannel[Served]"]
EVENTS = "text/event-stream; charset=utf-8"


def failure(
    status: int,
    kind: str,
    message: str,
    parameter: str | None = None,
    code: str | None = None,
    extra: dict[str, Any] | None = None,
) -> Response:
    """OpenAI's error object; `extra` stands beside it as `openledger`."""
    named = None if parameter is None else _sayable(parameter)
    error = {"message": _sayable(message), "type": kind, "param": named, "code": code}
    body = {"error": error} if extra is None else {"error": error, "openledger": extra}
    return JSONResponse(body, status_code=status)


class Reply:
    """An ASGI application for one call.  The status is sent once the answer is admitted."""

    def __init__(
        self,
        call: Call,
        *,
        chat: bool,
        created: int,
        opened: Opened,
        refused: Callable[[NodeError], Awaitable[Response]],
    ) -> None:
        self._call, self._opened, self._refused = call, opened, refused
        self._shape = Shape(chat, call.ask.model, created, secrets.token_hex(12))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            await self._reply(scope, receive, send)
            nursery.cancel_scope.cancel()

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response | None = None
        try:
            async with self._opened as events:
                if self._call.stream:
                    await self._stream(events, send)
                else:
                    response = await self._whole(events)
        except NodeError as error:  # raised on entering only: nothing is sent yet
            response = await self._refused(error)
        if response is not None:
            await response(scope, receive, send)

    async def _whole(self, events: "trio.MemoryReceiveChannel[Served]") -> Response:
        async for event in events:
            if isinstance(event, Failed):
                return failure(500, "server_error", event.why, code="answer_failed")
            if isinstance(event, Completed):
                headers = {RECEIPT: receipt_header(event)}
                return JSONResponse(self._shape.whole(event), headers=headers)
        return failure(503, "server_error", "the host is stopping", code="stopping")

    async def _stream(self, events: "trio.MemoryReceiveChannel[Served]", send: Send) -> None:
        headers = [(b"content-type", EVENTS.encode()), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def say(value: Any) -> None:
            line = b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": line, "more_body": True})

        first = self._shape.first()
        if first is not None:
            await say(first)
        async for event in events:
            match event:
                case Delta(text):
                    await say(self._shape.chunk(text))
                case Failed(why):
                    await say({"error": {"message": why, "type": "server_error", "code": None}})
                    break
                case Completed():
                    for last in self._shape.last(event, self._call.include_usage):
                        await say(last)
                    break
        done = b"data: [DONE]\n\n"
        await send({"type": "http.response.body", "body": done, "more_body": False})


class Shape:
    """The JSON of chat and plain completions."""

    def __init__(self, chat: bool, model: str, created: int, identity: str) -> None:
        self._chat, self._model, self._created = chat, model, created
        self._id = ("chatcmpl-" if chat else "cmpl-") + identity

    def whole(self, done: Completed) -> dict[str, Any]:
        said: dict[str, Any] = {"text": done.text}
        if self._chat:
            said = {"message": {"role": "assistant", "content": done.text}}
        choice = said | {"index": 0, "finish_reason": done.reason, "logprobs": None}
        paid = {"usage": _usage(done), "openledger": receipt_json(done)}
        return self._frame("chat.completion", [choice]) | paid

    def first(self) -> dict[str, Any] | None:
        if not self._chat:
            return None
        return self._frame("chat.completion.chunk", [_choice({"delta": {"role": "assistant"}})])

    def chunk(self, text: str) -> dict[str, Any]:
        choice = {"delta": {"content": text}} if self._chat else {"text": text}
        return self._frame("chat.completion.chunk", [_choice(choice)])

    def last(self, done: Completed, include_usage: bool) -> list[dict[str, Any]]:
        """The event that ends the choice, and the usage where asked for; each has the receipt."""
        end: dict[str, Any] = {"delta": {}} if self._chat else {"text": ""}
        paid = {"openledger": receipt_json(done)}
        choice = _choice(end) | {"finish_reason": done.reason}
        chunks = [self._frame("chat.completion.chunk", [choice]) | paid]
        if include_usage:
            usage = {"usage": _usage(done)}
            chunks.append(self._frame("chat.completion.chunk", []) | usage | paid)
        return chunks

    def _frame(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        head = {"object": kind if self._chat else "text_completion", "created": self._created}
        return head | {"id": self._id, "model": self._model, "choices": choices}


def _sayable(text: str) -> str:
    """What a client sent may hold half a surrogate pair, which no answer can."""
    return text.encode("utf-8", "backslashreplace").decode()


def _choice(content: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "finish_reason": None, "logprobs": None} | content


def _usage(done: Completed) -> dict[str, int]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.output_tokens,
        "total_tokens": done.prompt_tokens + done.output_tokens,
    }


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    """Wait for the client to disconnect, then cancel its answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
