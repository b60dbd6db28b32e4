"""eth_* methods that execute without changing anything: calls, gas, access lists."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import trio

from rollup.engine import overrides, simulation
from rollup.engine.errors import INVALID_PARAMS, Failure
from rollup.engine.lookup import Lookup

CALL_SECONDS_MAX: Final = 5.0
"""A call may run so long, the wait for a thread included (geth: 5 s)."""

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class EthCalls:
    """On an OP chain the fee for L1 data comes on top of gas: no estimate contains it."""

    lookup: Lookup
    room: trio.CapacityLimiter

    def methods(self) -> dict[str, Method]:
        return {
            "eth_call": self.call,
            "eth_estimateGas": self.estimate,
            "eth_createAccessList": self.access_list,
        }

    async def call(
        self, call: Any, tag: Any = "latest", state: Any = None, block: Any = None
    ) -> str:
        return str(await self._run(simulation.call, call, tag, state, block))

    async def estimate(
        self, call: Any, tag: Any = "latest", state: Any = None, block: Any = None
    ) -> str:
        return str(await self._run(simulation.estimate, call, tag, state, block))

    async def access_list(self, call: Any, tag: Any = "latest") -> Any:
        return await self._run(simulation.access_list, call, tag, None, None)

    async def _run(
        self,
        function: Callable[[simulation.Ground, Any], Any],
        call: Any,
        tag: Any,
        state: Any,
        block: Any,
    ) -> Any:
        if block:
            raise Failure(INVALID_PARAMS, "block overrides are not supported")
        header = self.lookup.stateful(tag).header
        transaction = simulation.read_call(call, header.gas_limit)
        ground = simulation.Ground(
            self.lookup.chain,
            header,
            overrides.read(state),
            time.monotonic() + CALL_SECONDS_MAX,
        )
        return await trio.to_thread.run_sync(function, ground, transaction, limiter=self.room)
