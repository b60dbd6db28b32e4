"""An execution engine through the Engine API and the `eth_` methods on the same port."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from protocol.codec import require
from protocol.errors import Malformed, Refused, Reset, Temporary
from rollup.codec.config import RollupConfig
from rollup.codec.header import Header
from rollup.codec.hexadecimal import data, data_list, fields, from_bytes
from rollup.codec.l1_info import l2_ref
from rollup.codec.output import MESSAGE_PASSER, Output, message_passer_root
from rollup.codec.payload import (
    TRANSACTIONS_MAX,
    ExecutionPayload,
    PayloadAttributes,
    PayloadEnvelope,
)
from rollup.codec.refs import L2BlockRef
from rollup.codec.trie import trie_root
from rollup.ports import (
    ACCEPTED,
    INVALID,
    SYNCING,
    VALID,
    Call,
    Forkchoice,
    InvalidAttributes,
    PayloadStatus,
    Which,
)
from rollup.sources import transactions

REFS_KEPT: Final = 1024
BUILDS_KEPT: Final = 64  # payload ids whose attributes we know; an engine keeps about ten
PROOF_NODES_MAX: Final = 64
ERROR_CHARS_MAX: Final = 500
STATUSES: Final = (VALID, INVALID, SYNCING, ACCEPTED)
LABELS: Final = ("safe", "finalized")  # an engine may not have them yet

# Engine API, common definitions: errors
UNKNOWN_PAYLOAD: Final = -38001
INVALID_FORKCHOICE: Final = -38002
INVALID_ATTRIBUTES: Final = -38003

Json = Mapping[str, Any]


class EngineClient:
    """An `Engine` over JSON-RPC, for blocks of Ecotone and later."""

    def __init__(self, call: Call, config: RollupConfig) -> None:
        self._call = call
        self._config = config
        self._refs: OrderedDict[bytes, L2BlockRef] = OrderedDict()
        self._builds: OrderedDict[bytes, PayloadAttributes] = OrderedDict()

    async def forkchoice(
        self,
        head: bytes,
        safe: bytes,
        finalized: bytes,
        attributes: PayloadAttributes | None = None,
    ) -> Forkchoice:
        """Make `head` the chain; begin a block on it when there are attributes.

        Raises `InvalidAttributes`, `Reset` when the three do not fit to what the engine has.
        """
        names = ("headBlockHash", "safeBlockHash", "finalizedBlockHash")
        state = dict(zip(names, map(from_bytes, (head, safe, finalized)), strict=True))
        wanted = None if attributes is None else attributes.to_json()
        answer = await self._engine("engine_forkchoiceUpdatedV3", state, wanted)
        found = fields(answer, "forkchoice answer")
        payload_id = found.get("payloadId")
        if payload_id is not None:
            payload_id = data(payload_id, 8, "payloadId")
            if attributes is not None:
                _keep(self._builds, payload_id, attributes, BUILDS_KEPT)
        return Forkchoice(_status(found.get("payloadStatus")), payload_id)

    async def get_payload(self, payload_id: bytes) -> PayloadEnvelope:
        """End the building of a block. `Temporary` when the engine no longer knows of it."""
        asked = self._builds.get(payload_id)
        version = self._version(None if asked is None else asked.timestamp)
        answer = await self._engine(f"engine_getPayload{version}", from_bytes(payload_id))
        found = fields(answer, "payload answer")
        payload = ExecutionPayload.from_json(found.get("executionPayload"))
        root = found.get("parentBeaconBlockRoot")
        if root is not None:
            return PayloadEnvelope(payload, data(root, 32, "parentBeaconBlockRoot"))
        if asked is None:  # only engines of OP Stack tell it again
            raise Malformed("the engine does not tell the parent beacon block root")
        return PayloadEnvelope(payload, asked.parent_beacon_block_root)

    async def new_payload(self, envelope: PayloadEnvelope) -> PayloadStatus:
        """Let the engine execute and keep a block."""
        version = self._version(envelope.payload.timestamp)
        root = envelope.parent_beacon_block_root
        params: list[Any] = [envelope.payload.to_json(), [], from_bytes(root or bytes(32))]
        if version == "V4":
            params.append([])  # an L2 has no execution requests
        return _status(await self._engine(f"engine_newPayload{version}", *params))

    async def ref(self, which: Which) -> L2BlockRef | None:
        """The block at a tag, a number or of a hash; None when the engine has none there."""
        known = self._refs.get(which) if isinstance(which, bytes) else None
        if known is not None:
            return known
        found = await self._block(which, full=True)
        return None if found is None else self._ref(found)

    async def payload(self, which: Which) -> PayloadEnvelope:
        """The block as a payload; `Temporary` when the engine does not have it."""
        found = await self._block(which, full=True)
        if found is None:
            raise Temporary(f"the engine has no block {_name(which)}")
        header = Header.from_json(found)
        raw = tuple([transactions.encode(one) for one in _transactions(found)])
        require(trie_root(raw) == header.transactions_root, "not the transactions of the block")
        return PayloadEnvelope(
            ExecutionPayload.from_header(header, raw), header.parent_beacon_block_root
        )

    async def output_root(self, number: int) -> bytes:
        """From the header alone since Isthmus, before it with a proof of the message passer."""
        return (await self.output(number)).root

    async def output(self, number: int) -> Output:
        """`Temporary` without the block, `Malformed` when a proof does not hold."""
        found = await self._block(number, full=False)
        if found is None:
            raise Temporary(f"the engine has no block {number}")
        header = Header.from_json(found)
        require(header.number == number, f"the engine answered block {header.number}")
        if self._config.is_active("isthmus", header.timestamp):
            root = header.withdrawals_root
            require(root is not None, "an Isthmus block without a withdrawals root")
            assert root is not None
            return Output(header.state_root, root, header.hash)
        return Output(header.state_root, await self._storage_root(header), header.hash)

    async def _storage_root(self, header: Header) -> bytes:
        address, at = from_bytes(MESSAGE_PASSER), hex(header.number)
        answer = await self._try("eth_getProof", address, [], at)
        nodes = data_list(fields(answer, "proof").get("accountProof"), PROOF_NODES_MAX, "proof")
        return message_passer_root(header.state_root, nodes)

    async def _block(self, which: Which, *, full: bool) -> Json | None:
        if isinstance(which, bytes):
            answer = await self._try("eth_getBlockByHash", from_bytes(which), full)
        elif which in LABELS:
            try:
                answer = await self._call.call("eth_getBlockByNumber", which, full)
            except Refused:  # geth says so when nobody has told it one
                return None
        else:
            tag = hex(which) if isinstance(which, int) else which
            answer = await self._try("eth_getBlockByNumber", tag, full)
        return None if answer is None else fields(answer, "block")

    def _ref(self, found: Json) -> L2BlockRef:
        header = Header.from_json(found)
        raw = transactions.encode(one) if (one := next(iter(_transactions(found)), None)) else b""
        ref = l2_ref(
            header.hash, header.number, header.parent_hash, header.timestamp, raw, self._config
        )
        _keep(self._refs, ref.hash, ref, REFS_KEPT)
        return ref

    def _version(self, time: int | None) -> str:
        return "V3" if time is not None and not self._config.is_active("isthmus", time) else "V4"

    async def _engine(self, method: str, *params: Any) -> Any:
        """What a refusal means depends on its code (Engine API, errors)."""
        try:
            return await self._call.call(method, *params)
        except Refused as error:
            code = getattr(error, "code", None)
            if code == INVALID_ATTRIBUTES:
                raise InvalidAttributes(str(error)[:ERROR_CHARS_MAX]) from error
            if code == INVALID_FORKCHOICE:
                raise Reset(f"the engine refuses the fork choice: {error}") from error
            raise Temporary(f"the engine refuses {method}: {error}") from error

    async def _try(self, method: str, *params: Any) -> Any:
        try:
            return await self._call.call(method, *params)
        except Refused as error:
            raise Temporary(f"the engine refuses {method}: {error}") from error


def _status(value: Any) -> PayloadStatus:
    found = fields(value, "payloadStatus")
    status, latest, error = (found.get(k) for k in ("status", "latestValidHash", "validationError"))
    require(status in STATUSES, f"payload status {str(status)[:40]!r}")
    return PayloadStatus(
        str(status),
        None if latest is None else data(latest, 32, "latestValidHash"),
        None if error is None else str(error)[:ERROR_CHARS_MAX],
    )


def _transactions(block: Json) -> list[Json]:
    found = block.get("transactions")
    if not isinstance(found, list):
        raise Malformed("a block without transactions")
    require(len(found) <= TRANSACTIONS_MAX, f"{len(found)} transactions in one block")
    return [fields(one, "transaction") for one in found]


def _keep(kept: OrderedDict[bytes, Any], key: bytes, value: Any, limit: int) -> None:
    kept[key] = value
    if len(kept) > limit:
        kept.popitem(last=False)


def _name(which: Which) -> str:
    return from_bytes(which) if isinstance(which, bytes) else str(which)
