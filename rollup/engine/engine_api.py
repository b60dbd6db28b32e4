"""The engine_* methods: parameters and answers of the Engine API around `Forkchoice`.

https://github.com/ethereum/execution-apis/blob/main/src/engine/{cancun,prague}.md, with the fields
of https://specs.optimism.io/protocol/exec-engine.html#engine-api.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from protocol.errors import Malformed
from rollup.codec.hexadecimal import data, fields, from_bytes
from rollup.codec.payload import ExecutionPayload, PayloadAttributes, PayloadEnvelope
from rollup.engine.blocks import Heads
from rollup.engine.errors import (
    INVALID_ATTRIBUTES,
    INVALID_PARAMS,
    UNSUPPORTED_FORK,
    Failure,
)
from rollup.engine.forkchoice import Forkchoice, Status, payload_of
from rollup.engine.rules import Fork, Rules

CLIENT: Final = {"code": "OL", "name": "OpenLedger", "version": "v0.1.0", "commit": "0x00000000"}
METHODS_ASKED_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class EngineApi:
    """`methods` is what a server serves; each raises `Failure` with the specification's codes."""

    forkchoice: Forkchoice
    rules: Rules

    def methods(self) -> dict[str, Callable[..., Any]]:
        return {
            "engine_exchangeCapabilities": self.exchange_capabilities,
            "engine_getClientVersionV1": self.client_version,
            "engine_forkchoiceUpdatedV3": self.forkchoice_updated,
            "engine_getPayloadV3": self.get_payload_v3,
            "engine_getPayloadV4": self.get_payload_v4,
            "engine_newPayloadV3": self.new_payload_v3,
            "engine_newPayloadV4": self.new_payload_v4,
        }

    def exchange_capabilities(self, asked: Any) -> list[str]:
        if not isinstance(asked, list) or len(asked) > METHODS_ASKED_MAX:
            raise Failure(INVALID_PARAMS, "the methods asked for must be a short list")
        return sorted(set(self.methods()) - {"engine_exchangeCapabilities"})

    def client_version(self, _asker: Any) -> list[dict[str, str]]:
        return [CLIENT]

    async def forkchoice_updated(self, state: Any, attributes: Any = None) -> dict[str, Any]:
        try:
            heads = _heads(state)
        except Malformed as error:
            raise Failure(INVALID_PARAMS, str(error)) from error
        wanted, fault = None, None
        if attributes is not None:
            try:
                wanted = PayloadAttributes.from_json(attributes)
            except Malformed as error:  # the heads move all the same
                fault = Failure(INVALID_ATTRIBUTES, f"invalid payload attributes: {error}")
        status, payload_id = await self.forkchoice.update(heads, wanted)
        if fault is not None and status.status == "VALID":
            raise fault
        shown = None if payload_id is None else from_bytes(payload_id)
        return {"payloadStatus": _status(status), "payloadId": shown}

    async def get_payload_v3(self, payload_id: Any) -> dict[str, Any]:
        return await self._get_payload(payload_id, isthmus=False)

    async def get_payload_v4(self, payload_id: Any) -> dict[str, Any]:
        return await self._get_payload(payload_id, isthmus=True)

    async def new_payload_v3(self, payload: Any, blobs: Any, root: Any) -> dict[str, Any]:
        return await self._new_payload(payload, blobs, root, isthmus=False)

    async def new_payload_v4(
        self, payload: Any, blobs: Any, root: Any, requests: Any
    ) -> dict[str, Any]:
        if requests != []:
            raise Failure(INVALID_PARAMS, "executionRequests must be the empty list on OP Stack")
        return await self._new_payload(payload, blobs, root, isthmus=True)

    async def _get_payload(self, payload_id: Any, *, isthmus: bool) -> dict[str, Any]:
        try:
            wanted = data(payload_id, 8, "payloadId")
        except Malformed as error:
            raise Failure(INVALID_PARAMS, str(error)) from error
        block = await self.forkchoice.get_payload(wanted)
        fork = self._fork(block.header.timestamp, isthmus=isthmus)
        envelope = payload_of(block, fork)
        root = envelope.parent_beacon_block_root
        answer: dict[str, Any] = {
            "executionPayload": envelope.payload.to_json(),
            "blockValue": "0x0",
            "blobsBundle": {"commitments": [], "proofs": [], "blobs": []},
            "shouldOverrideBuilder": False,
            "parentBeaconBlockRoot": None if root is None else from_bytes(root),
        }
        if isthmus:
            answer["executionRequests"] = []
        return answer

    async def _new_payload(
        self, payload: Any, blobs: Any, root: Any, *, isthmus: bool
    ) -> dict[str, Any]:
        if blobs != []:
            raise Failure(INVALID_PARAMS, "blob hashes must be the empty list on OP Stack")
        try:
            found = ExecutionPayload.from_json(payload)
            envelope = PayloadEnvelope(found, data(root, 32, "parentBeaconBlockRoot"))
        except Malformed as error:
            raise Failure(INVALID_PARAMS, str(error)) from error
        if found.blob_gas_used is None or not found.has_withdrawals:
            raise Failure(INVALID_PARAMS, "a payload without blob gas or withdrawals")
        self._fork(found.timestamp, isthmus=isthmus)
        return _status(await self.forkchoice.new_payload(envelope))

    def _fork(self, timestamp: int, *, isthmus: bool) -> Fork:
        """Raises `Failure` when the method is not the one of this time's fork."""
        try:
            fork = self.rules.fork(timestamp)
        except Malformed as error:
            raise Failure(UNSUPPORTED_FORK, str(error)) from error
        if (fork != Fork.HOLOCENE) != isthmus:
            raise Failure(UNSUPPORTED_FORK, "unsupported fork: V4 belongs to Isthmus, V3 before it")
        return fork


def _heads(value: Any) -> Heads:
    found = fields(value, "forkchoiceState")
    names = ("headBlockHash", "safeBlockHash", "finalizedBlockHash")
    return Heads(*(data(found.get(name), 32, name) for name in names))


def _status(status: Status) -> dict[str, Any]:
    latest = status.latest_valid_hash
    return {
        "status": status.status,
        "latestValidHash": None if latest is None else from_bytes(latest),
        "validationError": status.error,
    }
