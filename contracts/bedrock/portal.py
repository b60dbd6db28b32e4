"""Money between the chains: calls of token, portal and message passer, and what the portal knows.

A deposit gives `$OPEN` to the portal on the L1, and the L2 mints it. A withdrawal leaves it at the
message passer of the L2, is proven on the L1 against an output, and paid when the period is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts import abi
from contracts.bedrock.deploy import TOKEN, TOKEN_KIND
from contracts.bedrock.published import artifact, call_data
from contracts.rpc import Node, Reverted, data, hexadecimal

MESSAGE_PASSER: Final = bytes.fromhex(f"42{0x16:038x}")
L1_BLOCK: Final = bytes.fromhex(f"42{0x15:038x}")
ORIGIN_NUMBER: Final = bytes.fromhex("8381f58a")  # number() of the L1Block
DEPOSIT_GAS: Final = 100_000  # of the L2, bought on the L1: enough for a receiver that runs code
WITHDRAWAL_GAS: Final = 100_000  # of the L1, for the receiver

_KIND: Final = {TOKEN: TOKEN_KIND}

Call = tuple[bytes, bytes]  # to, data
Withdrawal = tuple[int, bytes, bytes, int, int, bytes]
"""nonce, sender, target, value in wei, gas limit, data: as the contracts hash it."""
OutputProof = tuple[bytes, bytes, bytes, bytes]
"""version, state root, storage root of the message passer, block hash; 32 bytes each."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output of the oracle: `root` of L2 block `block`, proposed at `time` (Unix seconds)."""

    index: int
    root: bytes
    time: int
    block: int


@dataclass(frozen=True, slots=True)
class Proven:
    """A proven withdrawal: when, and against which output."""

    root: bytes
    time: int
    index: int


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often outputs come, in L2 blocks, and how long a withdrawal waits, in seconds."""

    interval: int
    block_time: int
    starting_block: int
    starting_time: int
    period: int

    def covering(self, block: int) -> int:
        """The first block with an output that covers `block`."""
        steps = -(-(block - self.starting_block) // self.interval)
        return self.starting_block + max(1, steps) * self.interval

    def time_of(self, block: int) -> int:
        return self.starting_time + (block - self.starting_block) * self.block_time


# ---------------------------------------------------------------- calls


def approve(l1: Mapping[str, bytes], amount: int) -> Call:
    """Let the portal take `amount` wei of OPEN."""
    return l1[TOKEN], _data(TOKEN, "approve", l1["OptimismPortal"], amount)


def deposit(
    l1: Mapping[str, bytes], to: bytes, amount: int, gas: int = DEPOSIT_GAS, message: bytes = b""
) -> Call:
    """Give `amount` wei of OPEN to the portal, so that `to` has it on the L2."""
    values = (to, amount, amount, gas, False, message)
    return l1["OptimismPortal"], _data("OptimismPortal", "depositERC20Transaction", *values)


def initiate(target: bytes, gas: int = WITHDRAWAL_GAS, message: bytes = b"") -> Call:
    """On the L2, with the amount as the transaction's value."""
    values = (target, gas, message)
    return MESSAGE_PASSER, _data("L2ToL1MessagePasser", "initiateWithdrawal", *values)


def prove(
    l1: Mapping[str, bytes],
    withdrawal: Withdrawal,
    index: int,
    output: OutputProof,
    proof: Sequence[bytes],
) -> Call:
    """Prove it against the output number `index`; `proof`: trie nodes from the storage root on."""
    values = (withdrawal, index, output, list(proof))
    return l1["OptimismPortal"], _data("OptimismPortal", "proveWithdrawalTransaction", *values)


def finalize(l1: Mapping[str, bytes], withdrawal: Withdrawal) -> Call:
    return l1["OptimismPortal"], _data(
        "OptimismPortal", "finalizeWithdrawalTransaction", withdrawal
    )


# ---------------------------------------------------------------- what the L1 knows


@dataclass(frozen=True, slots=True)
class L1Contracts:
    """Reads token, portal and oracle at the latest block; raises as `contracts.rpc.Rpc` does."""

    node: Node
    l1: Mapping[str, bytes]

    async def balance(self, owner: bytes) -> int:
        """Wei of OPEN."""
        return int(await self._read(TOKEN, "balanceOf", owner))

    async def allowance(self, owner: bytes) -> int:
        return int(await self._read(TOKEN, "allowance", owner, self.l1["OptimismPortal"]))

    async def rhythm(self) -> Rhythm:
        return Rhythm(
            interval=int(await self._read("L2OutputOracle", "submissionInterval")),
            block_time=int(await self._read("L2OutputOracle", "l2BlockTime")),
            starting_block=int(await self._read("L2OutputOracle", "startingBlockNumber")),
            starting_time=int(await self._read("L2OutputOracle", "startingTimestamp")),
            period=int(await self._read("L2OutputOracle", "finalizationPeriodSeconds")),
        )

    async def latest_output(self) -> Output | None:
        count = int(await self._read("L2OutputOracle", "nextOutputIndex"))
        return await self.output(count - 1) if count else None

    async def output(self, index: int) -> Output | None:
        """None for one that was never proposed, or was deleted."""
        try:
            root, time, block = await self._read("L2OutputOracle", "getL2Output", index)
        except Reverted:
            return None
        return Output(index, root, time, block)

    async def proven(self, withdrawal_hash: bytes) -> Proven | None:
        root, time, index = await self._read("OptimismPortal", "provenWithdrawals", withdrawal_hash)
        return Proven(root, time, index) if time else None

    async def finalized(self, withdrawal_hash: bytes) -> bool:
        return bool(await self._read("OptimismPortal", "finalizedWithdrawals", withdrawal_hash))

    async def _read(self, name: str, function: str, *values: Any) -> Any:
        call = {
            "to": hexadecimal(self.l1[name]),
            "data": hexadecimal(_data(name, function, *values)),
        }
        answer = data(await self.node.call("eth_call", call, "latest"))
        found = abi.decode(_artifact(name).functions[function]["outputs"], answer)
        if len(found) == 1 and isinstance(found[0], tuple):
            return found[0]
        return found[0] if len(found) == 1 else tuple(found)


def event(name: str, contract: str) -> bytes:
    """The first topic of an event."""
    return next(t for t, entry in _artifact(contract).events.items() if entry["name"] == name)


def _data(name: str, function: str, *values: Any) -> bytes:
    return call_data(_KIND.get(name, name), function, *values)


def _artifact(name: str) -> abi.Artifact:
    return artifact(_KIND.get(name, name))
