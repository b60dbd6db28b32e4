"""The curator's routes: contributors send texts, the operator publishes them as a shard."""

import base64
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from datanet.screen import Offer, Rejected
from node.http.operator import Guard
from protocol.datanet import Contribution
from protocol.errors import Malformed, NodeError, Refused, Temporary
from protocol.ledger import Ledger, Status
from roles.curator import Curator, pending_of
from roles.ports import Ports

DOCUMENT = "shards/{shard:int}/documents/{document:int}"
NAME_MAX = 64  # bytes, as the contract counts them
Hex32 = Annotated[str, Field(pattern=r"^(0x)?[0-9a-fA-F]{64}$")]


def _short(name: str) -> str:
    size = len(name.encode())
    if size > NAME_MAX:
        raise ValueError(f"{size} bytes, limit is {NAME_MAX}")
    return name


class Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class NewDatanet(Body):
    name: Annotated[str, Field(min_length=1), AfterValidator(_short)]


class NewContribution(Body):
    """`text` as UTF-8, or `data` in base64 where it may not be."""

    text: str | None = None
    data: str | None = None
    media_type: str = "text/plain"
    licence: str = Field(min_length=1, max_length=128)
    content_root: Hex32
    length: int = Field(ge=0)
    terms: Hex32
    contributor: int = Field(ge=1, lt=1 << 24)
    nonce: int = Field(ge=0, lt=1 << 63)
    signature: str = Field(pattern=r"^(0x)?[0-9a-fA-F]{130}$")

    def offer(self, datanet: int) -> Offer:
        contribution = Contribution(
            datanet,
            _hex(self.content_root),
            self.length,
            _hex(self.terms),
            self.contributor,
            self.nonce,
        )
        signature = _hex(self.signature)
        return Offer(contribution, signature, self.media_type, self.licence, self._bytes())

    def _bytes(self) -> bytes:
        if (self.text is None) == (self.data is None):
            raise Malformed("want either text or data")
        if self.text is not None:
            return self.text.encode()
        try:
            return base64.b64decode(self.data or "", validate=True)
        except ValueError as error:  # `binascii.Error` is one, a letter beyond ASCII another
            raise Malformed(f"data: not base64: {error}") from None


def routes(curator: Curator, ports: Ports, operator: Guard) -> list[BaseRoute]:
    async def create(request: Request) -> Response:
        body = NewDatanet.model_validate_json(await request.body())
        await curator.create(ports, body.name)
        return JSONResponse({"intent": f"create-datanet/{body.name}"}, status_code=202)

    async def contribute(request: Request) -> Response:
        body = NewContribution.model_validate_json(await request.body())
        accepted = await curator.accept(ports, body.offer(int(request.path_params["datanet"])))
        root = accepted.contribution.content_root.hex()
        return JSONResponse({"accepted": root, "bytes": len(accepted.text)}, status_code=201)

    async def publish(request: Request) -> Response:
        key = await curator.publish(ports, int(request.path_params["datanet"]))
        return JSONResponse({"intent": key}, status_code=202)

    async def take_down(request: Request) -> Response:
        place = [int(request.path_params[name]) for name in ("datanet", "shard", "document")]
        if max(place) >> 32:
            raise Refused("no Datanet, shard or document has such a number")
        await curator.take_down(ports, *place)
        return JSONResponse({"taken_down": place}, status_code=202)

    async def show(request: Request) -> Response:
        ledger = ports.chain.ledger
        return JSONResponse([_datanet(ledger, ports, number) for number in ledger.datanets])

    path = "/v1/datanets/{datanet:int}"
    return [
        Route("/v1/datanets", guarded(show)),
        Route("/v1/datanets", operator(guarded(create)), methods=["POST"]),
        Route(f"{path}/contributions", guarded(contribute), methods=["POST"]),
        Route(f"{path}/publish", operator(guarded(publish)), methods=["POST"]),
        Route(f"{path}/{DOCUMENT}/takedown", operator(guarded(take_down)), methods=["POST"]),
    ]


def guarded(endpoint: Any) -> Any:
    """The endpoint with every expected error as one sentence in JSON."""

    async def answer(request: Request) -> Response:
        try:
            response: Response = await endpoint(request)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "body"
            return failure(400, "invalid_request_error", f"{where}: {first['msg']}")
        except Rejected as error:
            return failure(422, str(error.rule), error.evidence)
        except NodeError as error:
            status = {Malformed: 400, Refused: 409, Temporary: 503}.get(type(error), 409)
            return failure(status, type(error).__name__.lower(), str(error))
        return response

    return answer


def failure(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": kind}}, status_code=status)


def _datanet(ledger: Ledger, ports: Ports, number: int) -> dict[str, Any]:
    record = ledger.datanets[number]
    shards = [
        {
            "index": row.index,
            "status": Status(row.status).name.lower(),
            "documents": row.shard.document_count,
            "bytes": row.shard.text_size,
            "text_root": row.shard.text_root.hex(),
            "deadline": row.deadline,
        }
        for row in ledger.shards.get(number, [])
    ]
    mine = record.curator == ports.signer.address
    pending = len(pending_of(ports, number)) if mine else None
    curator = "0x" + record.curator.hex()
    return {"datanet": number, "name": record.name, "curator": curator, "pending": pending} | {
        "shards": shards
    }


def _hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
