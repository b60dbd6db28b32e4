"""An engine in this process behind the `Call` that a client sees: JSON both ways, errors sorted."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from protocol.errors import Refused, Temporary
from rollup.engine.chain import Chain
from rollup.engine.engine_api import EngineApi
from rollup.engine.errors import INTERNAL_ERROR, Failure
from rollup.engine.forkchoice import Forkchoice
from rollup.engine.mempool import Mempool
from rollup.engine.methods import Methods


class Answered(Refused):
    """As `contracts.rpc.Rejected`: the code, and the words as the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class EngineCall:
    """`change` may lie about a result, given the method and its JSON."""

    chain: Chain
    pool: Mempool = field(default_factory=Mempool)
    change: Callable[[str, Any], Any] = lambda method, result: result

    def __post_init__(self) -> None:
        forkchoice = Forkchoice(self.chain, self.pool)
        extra = EngineApi(forkchoice, self.chain.rules).methods()
        self.methods = Methods(self.chain, self.pool, allow_rollback=True, extra=extra)
        forkchoice.listeners.append(self.methods.feed.advance)

    async def call(self, method: str, *params: Any) -> Any:
        sent = json.loads(json.dumps(params))
        try:
            result = await self.methods.answer(method, sent)
        except Failure as failure:
            if failure.code == INTERNAL_ERROR:
                raise Temporary(str(failure)) from failure
            raise Answered(failure.code, str(failure)) from failure
        return self.change(method, json.loads(json.dumps(result)))
