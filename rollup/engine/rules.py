"""Which rules a chain has at which time: plain Prague, or one of OP Stack's forks."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any, Final

from protocol.codec import require
from protocol.errors import Malformed

ETHEREUM_EIP1559: Final = (8, 2)
OPTIMISM_EIP1559: Final = (250, 6)  # op-node's defaults since Canyon
TIMES: Final = ("holocene", "isthmus", "jovian")


class Fork(IntEnum):
    """In order of time; all but `PRAGUE` are OP Stack's, and Isthmus has Prague's EVM."""

    PRAGUE = 0
    HOLOCENE = 1
    ISTHMUS = 2
    JOVIAN = 3


@dataclass(frozen=True, slots=True)
class Rules:
    """`holocene`, `isthmus` and `jovian` are activation times in seconds, None for never; without
    `optimism` they do not count.  `eip1559` before Holocene: denominator and elasticity."""

    chain_id: int
    optimism: bool = False
    holocene: int | None = None
    isthmus: int | None = None
    jovian: int | None = None
    canyon_eip1559: tuple[int, int] = OPTIMISM_EIP1559

    def fork(self, time: int) -> Fork:
        """Raises `Malformed` for an OP Stack fork before Holocene: those are not built in."""
        if not self.optimism:
            return Fork.PRAGUE
        for fork in (Fork.JOVIAN, Fork.ISTHMUS, Fork.HOLOCENE):
            if self.is_active(fork.name.lower(), time):
                return fork
        raise Malformed(f"at time {time} this chain is before Holocene")

    def is_active(self, fork: str, time: int) -> bool:
        start = getattr(self, fork) if self.optimism else None
        return start is not None and time >= start

    def eip1559(self, time: int) -> tuple[int, int]:
        return self.canyon_eip1559 if self.optimism else ETHEREUM_EIP1559

    @classmethod
    def of_genesis(cls, config: Mapping[str, Any]) -> "Rules":
        """From the `config` of a geth genesis file; `optimism` in it makes an OP Stack chain."""
        chain_id, optimism = _integer(config["chainId"], 63), config.get("optimism")
        if optimism is None:
            return cls(chain_id)
        times = [_time(config.get(f"{fork}Time")) for fork in TIMES]
        for earlier, later in pairwise(times):
            require(
                later is None or (earlier is not None and earlier <= later), "forks out of order"
            )
        elasticity = _integer(optimism.get("eip1559Elasticity", OPTIMISM_EIP1559[1]), 32)
        denominator = optimism.get("eip1559DenominatorCanyon") or optimism.get("eip1559Denominator")
        canyon = (_integer(denominator or OPTIMISM_EIP1559[0], 32), elasticity)
        holocene, isthmus, jovian = times
        return cls(chain_id, True, holocene, isthmus, jovian, canyon)

    @classmethod
    def of_rollup(cls, config: Mapping[str, Any]) -> "Rules":
        """From a rollup configuration's JSON, op-node's or kona's.  Raises `Malformed`."""
        try:
            chain = config["l2_chain_id"]
            chain_id = _integer(chain["id"] if isinstance(chain, dict) else chain, 63)
            times = [_time(config.get(f"{fork}_time")) for fork in TIMES]
            params = config.get("chain_op_config") or {}
            denominator = params.get("eip1559DenominatorCanyon") or OPTIMISM_EIP1559[0]
            elasticity = params.get("eip1559Elasticity") or OPTIMISM_EIP1559[1]
            holocene, isthmus, jovian = times
            canyon = (_integer(denominator, 32), _integer(elasticity, 32))
            return cls(chain_id, True, holocene, isthmus, jovian, canyon)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise Malformed(f"rollup configuration: {type(error).__name__}: {error}") from error


def _time(value: Any) -> int | None:
    return None if value is None else _integer(value, 64)


def _integer(value: Any, bits: int) -> int:
    result = int(value, 0) if isinstance(value, str) else value
    if not isinstance(result, int) or isinstance(result, bool) or not 0 <= result < 1 << bits:
        raise ValueError(f"{value!r} is not an unsigned integer of {bits} bits")
    return result
