"""What a rollup node says of itself: the `optimism_` methods, in op-node's JSON."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from protocol.errors import Malformed
from rollup.codec.config import RollupConfig
from rollup.codec.hexadecimal import from_bytes, quantity
from rollup.codec.refs import BlockId, L1BlockRef, L2BlockRef
from rollup.driver import Driver
from rollup.sources.engine import EngineClient

VERSION: Final = "OpenLedger/v0.1.0"
NO_HASH: Final = from_bytes(bytes(32))

Method = Callable[..., Awaitable[Any]]


class NodeStatus:
    """`methods` is the table for a JSON-RPC server; parameters are positional, as JSON."""

    def __init__(self, config: RollupConfig, driver: Driver, engine: EngineClient) -> None:
        self._config, self._driver, self._engine = config, driver, engine

    @property
    def methods(self) -> Mapping[str, Method]:
        return {
            "optimism_syncStatus": self.sync_status,
            "optimism_outputAtBlock": self.output_at_block,
            "optimism_rollupConfig": self.rollup_config,
            "optimism_version": self.version,
        }

    async def sync_status(self) -> dict[str, Any]:
        """Zeros stand for what is not known yet, as op-node writes them."""
        return sync_status(self._driver)

    async def output_at_block(self, number: Any) -> dict[str, Any]:
        """Raises `Malformed`, `Temporary` while the engine does not have the block."""
        height = quantity(number, name="block number")
        output = await self._engine.output(height)
        ref = await self._engine.ref(output.block_hash)
        if ref is None:
            raise Malformed(f"the engine does not know its block {height}")
        return {
            "version": NO_HASH,
            "outputRoot": from_bytes(output.root),
            "blockRef": l2_block(ref),
            "withdrawalStorageRoot": from_bytes(output.message_passer_storage_root),
            "stateRoot": from_bytes(output.state_root),
            "syncStatus": sync_status(self._driver),
        }

    async def rollup_config(self) -> dict[str, Any]:
        return self._config.to_json()

    async def version(self) -> str:
        return VERSION


def sync_status(driver: Driver) -> dict[str, Any]:
    """op-node's `SyncStatus`."""
    view = driver.l1_view
    heads = driver.chain.heads if driver.chain.known else None
    unsafe, safe, finalized = (
        l2_block(None if heads is None else getattr(heads, name))
        for name in ("unsafe", "safe", "finalized")
    )
    return {
        "current_l1": l1_block(view.current),
        "current_l1_finalized": l1_block(view.finalized),
        "head_l1": l1_block(view.latest),
        "safe_l1": l1_block(view.safe),
        "finalized_l1": l1_block(view.finalized),
        "unsafe_l2": unsafe,
        "safe_l2": safe,
        "finalized_l2": finalized,
        "pending_safe_l2": safe,
        "cross_unsafe_l2": unsafe,
        "local_safe_l2": safe,
    }


def l1_block(ref: L1BlockRef | None) -> dict[str, Any]:
    return {
        "hash": NO_HASH if ref is None else from_bytes(ref.hash),
        "number": 0 if ref is None else ref.number,
        "parentHash": NO_HASH if ref is None else from_bytes(ref.parent_hash),
        "timestamp": 0 if ref is None else ref.time,
    }


def l2_block(ref: L2BlockRef | None) -> dict[str, Any]:
    origin = BlockId(bytes(32), 0) if ref is None else ref.l1_origin
    return {
        "hash": NO_HASH if ref is None else from_bytes(ref.hash),
        "number": 0 if ref is None else ref.number,
        "parentHash": NO_HASH if ref is None else from_bytes(ref.parent_hash),
        "timestamp": 0 if ref is None else ref.time,
        "l1origin": {"hash": from_bytes(origin.hash), "number": origin.number},
        "sequenceNumber": 0 if ref is None else ref.sequence_number,
    }
