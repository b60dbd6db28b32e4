"""OpenAI's completions API over the host's adapters, each answer paid by a voucher.

POST /v1/chat/completions, POST /v1/completions, GET /v1/models, GET /v1/models/{model},
POST /v1/openledger/quote (the body of either call; what it costs and the voucher it needs).
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import trio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from node.http.asking import BadParameter, read_call
from node.http.payment import PAYER, VOUCHER, quote_json, read_payer, read_voucher
from node.http.replies import Reply, failure
from openlora.pricing import NotThePayer, PaymentRequired, Quote, SignedVoucher
from openlora.request import Delta, Failed
from openlora.serving import Ask, Card, Completed, TooLong, UnknownModel
from protocol.errors import Malformed, NodeError, Refused, Temporary
from protocol.signature import Domain


class Serving(Protocol):
    """What the host role does for this border."""

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of vouchers and receipts."""

    @property
    def address(self) -> bytes:
        """The host that vouchers are made out to."""

    def models(self) -> Sequence[Card]:
        """The adapters on offer, by name."""

    async def quote(self, ask: Ask, payer: bytes | None) -> Quote:
        """What `ask` costs at most, on top of what this payer's account has used or reserved."""

    def answer(
        self, ask: Ask, signed: SignedVoucher
    ) -> AbstractAsyncContextManager["trio.MemoryReceiveChannel[Delta | Completed | Failed]"]:
        """Entering stores the voucher, synced, before anything is generated, and raises
        `UnknownModel`, `TooLong`, `PaymentRequired`, `NotThePayer`, `Refused`, `Temporary`.
        `Completed` is the last event and comes after its receipt is stored, synced.  Leaving
        before it cancels the answer and ends its reservation.
        """


Endpoint = Callable[[Request], Awaitable[Any]]


def routes(serving: Serving) -> list[BaseRoute]:
    """To be mounted in the node's HTTP server, which bounds bodies and the number of requests."""

    async def chat(request: Request) -> Any:
        return await _answer(serving, request, chat=True)

    async def completion(request: Request) -> Any:
        return await _answer(serving, request, chat=False)

    async def models(request: Request) -> Response:
        cards = [_card(card) for card in serving.models()]
        return JSONResponse({"object": "list", "data": cards})

    async def model(request: Request) -> Response:
        return JSONResponse(_card(_find(serving, request.path_params["model"])))

    async def quote(request: Request) -> Response:
        body = await request.body()
        call = read_call(body, chat=b'"messages"' in body)
        card = _find(serving, call.ask.model)
        quoted = await serving.quote(call.ask, read_payer(request.headers.get(PAYER)))
        return JSONResponse(_quote(serving, card, quoted))

    return [
        Route("/v1/chat/completions", _guarded(chat), methods=["POST"]),
        Route("/v1/completions", _guarded(completion), methods=["POST"]),
        Route("/v1/models", _guarded(models)),
        Route("/v1/models/{model:path}", _guarded(model)),
        Route("/v1/openledger/quote", _guarded(quote), methods=["POST"]),
    ]


async def _answer(serving: Serving, request: Request, *, chat: bool) -> Any:
    call = read_call(await request.body(), chat=chat)
    card = _find(serving, call.ask.model)
    header = request.headers.get(VOUCHER)
    if header is None:
        quoted = await serving.quote(call.ask, read_payer(request.headers.get(PAYER)))
        return _unpaid(serving, card, quoted)
    signed = read_voucher(header, serving.domain)
    opened = serving.answer(call.ask, signed)

    async def refused(error: NodeError) -> Response:
        if isinstance(error, PaymentRequired):
            quoted = await serving.quote(call.ask, signed.voucher.payer)
            return failure(402, "payment_required", str(error), code="insufficient_voucher",
                           extra=_quote(serving, card, quoted))  # fmt: skip
        return explain(error)

    return Reply(call, chat=chat, created=int(time.time()), opened=opened, refused=refused)


def _unpaid(serving: Serving, card: Card, quoted: Quote) -> Response:
    text = (
        f"this request needs a voucher of cumulative {quoted.required} wei for adapter "
        f"{card.adapter.hex()} in the header {VOUCHER}; {quoted.cumulative} wei are used so far"
    )
    extra = _quote(serving, card, quoted)
    return failure(402, "payment_required", text, code="voucher_missing", extra=extra)


def _find(serving: Serving, name: str) -> Card:
    for card in serving.models():
        if card.name == name:
            return card
    raise UnknownModel(f"the model {name!r} is not served here")


def _quote(serving: Serving, card: Card, quoted: Quote) -> dict[str, Any]:
    return quote_json(quoted, adapter=card.adapter, host=serving.address, domain=serving.domain)


def _card(card: Card) -> dict[str, Any]:
    ours = {"adapter": "0x" + card.adapter.hex(), "base": "0x" + card.base.hex()}
    return {
        "id": card.name,
        "object": "model",
        "created": card.created,
        "owned_by": "openledger",
        "openledger": ours,
    }


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Any:
        try:
            return await endpoint(request)
        except NodeError as error:
            return explain(error)

    return answer


def explain(error: NodeError) -> Response:
    """An expected error in the shape of OpenAI's API."""
    text = str(error)
    match error:
        case UnknownModel():
            return failure(404, "invalid_request_error", text, "model", "model_not_found")
        case NotThePayer():
            return failure(401, "authentication_error", text, code="invalid_voucher")
        case PaymentRequired():
            return failure(402, "payment_required", text, code="insufficient_voucher")
        case TooLong():
            parameter, code = "max_tokens", "context_length_exceeded"
            return failure(400, "invalid_request_error", text, parameter, code)
        case BadParameter():
            return failure(400, "invalid_request_error", text, error.parameter, "invalid_value")
        case Malformed() | Refused():
            return failure(400, "invalid_request_error", text, code=type(error).__name__.lower())
        case Temporary():
            later = failure(503, "server_error", text, code="overloaded")
            later.headers["retry-after"] = "1"
            return later
        case _:  # a reorg: the state is being rebuilt
            return failure(503, "server_error", text, code="rebuilding")
