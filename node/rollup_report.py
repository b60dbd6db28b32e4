"""How the derivation of the L2 stands, and a sequencer's share in it: figures, and reasons."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.funds import Funds
from rollup.batcher import Batcher
from rollup.codec.hexadecimal import from_bytes
from rollup.codec.refs import L1BlockRef, L2BlockRef
from rollup.driver import Driver
from rollup.ports import Clock
from rollup.proposer import Proposer
from rollup.sequencing import Sequencing

BEHIND_MAX: Final = 32  # L1 blocks that derivation may be behind, and the node be ready
L1_SECONDS_MAX: Final = 300  # age of L1's newest block
SEQUENCER_SECONDS_MAX: Final = 60  # age of a sequencer's newest block
WINDOW_WARN: Final = 0.5  # of the sequencing window gone by, with blocks that are not on L1

Problem = Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Sequencer:
    """What only a sequencer runs."""

    sequencing: Sequencing
    batcher: Batcher
    proposer: Proposer
    funds: Funds
    frame_bytes: int  # of a full batch transaction

    def section(self) -> dict[str, Any]:
        built, batches, outputs = (
            self.sequencing.tally,
            self.batcher.tally,
            self.proposer.tally,
        )
        return {
            "sequencer": {"built": built.built, "restored": built.restored},
            "batcher": {
                "waiting": batches.waiting,
                "channels": batches.channels,
                "lost": batches.lost,
                "failovers": batches.failovers,
                "l1_balance": None if self.funds.wei is None else str(self.funds.wei),
            },
            "proposer": {"proposed": outputs.proposed, "last": outputs.last},
        }


@dataclass(frozen=True)
class RollupReport:
    """`problems` are those of the parts, each in a sentence or None; `peers` counts who gossips
    blocks with us."""

    driver: Driver
    clock: Clock
    problems: list[Problem]
    unsafe_signer: Callable[[], bytes | None]
    peers: Callable[[], int]
    sequencer: Sequencer | None = None

    def section(self) -> Mapping[str, Any]:
        """For `/status`: ages in seconds, amounts in wei as text."""
        watch, chain, signer = self.driver.watch, self.driver.chain, self.unsafe_signer()
        heads = {
            name: self._block(getattr(chain.heads, name)) if chain.known else None
            for name in ("unsafe", "safe", "finalized")
        }
        return {
            **heads,
            "l1": self._l1(),
            "derived": watch.derived,
            "resets": watch.resets,
            "queued": self.driver.queued,
            "gossip_peers": self.peers(),
            "unsafe_block_signer": None if signer is None else from_bytes(signer),
            **({} if self.sequencer is None else self.sequencer.section()),
            "problems": self.trouble(),
        }

    def trouble(self) -> list[str]:
        """What stands against progress now, in sentences."""
        found = [problem for ask in self.problems if (problem := ask()) is not None]
        if self.sequencer is not None:
            funds = self.sequencer.funds.l1_problem(self.sequencer.frame_bytes)
            found += [problem for problem in (funds, self._window()) if problem is not None]
        return found

    def not_ready(self) -> list[str]:
        """Why the chain that this node shows is not the chain of now."""
        view, problem = self.driver.l1_view, self.driver.watch.problem
        because = f": {problem}" if problem else ""
        if view.latest is None:
            return [f"L1 has not answered yet{because}"]
        if not self.driver.chain.known:
            return [f"the heads of the L2 are not known yet{because}"]
        reasons = []
        if (age := self._age(view.latest)) > L1_SECONDS_MAX:
            reasons.append(
                f"L1's newest block is {age:.0f} s old: what is behind rollup.l1_rpc_url lags"
            )
        if (behind := self._behind()) > BEHIND_MAX:
            reasons.append(f"derivation is {behind} of L1's blocks behind{because}")
        if self.sequencer is not None:
            reasons += self._idle(self.sequencer)
        return reasons

    def _idle(self, sequencer: Sequencer) -> list[str]:
        age = self._age(self.driver.chain.heads.unsafe)
        if age <= SEQUENCER_SECONDS_MAX:
            return []
        why = sequencer.sequencing.tally.problem or self.driver.watch.problem
        return [
            f"the sequencer's newest block is {age:.0f} s old"
            + (f": {why}" if why else "; it is catching up, or waits for L1 to be read")
        ]

    def _window(self) -> str | None:
        """Blocks that L1 does not have within the window are replaced by empty ones, for ever."""
        latest, chain = self.driver.l1_view.latest, self.driver.chain
        if latest is None or not chain.known or chain.heads.safe == chain.heads.unsafe:
            return None
        window = self.driver.config.seq_window_size
        gone = latest.number - chain.heads.safe.l1_origin.number
        if gone < WINDOW_WARN * window:
            return None
        return (
            f"batcher: no batch after L2 block {chain.heads.safe.number} was read from L1 for "
            f"{gone} of its blocks; after {window} the blocks above it are lost"
        )

    def _behind(self) -> int:
        view = self.driver.l1_view
        at = view.processed or view.current
        return 0 if view.latest is None or at is None else max(0, view.latest.number - at.number)

    def _age(self, block: L1BlockRef | L2BlockRef) -> float:
        return max(0.0, self.clock.now() - block.time)

    def _block(self, block: L1BlockRef | L2BlockRef) -> dict[str, Any]:
        return {
            "number": block.number,
            "hash": from_bytes(block.hash),
            "age": round(self._age(block), 1),
        }

    def _l1(self) -> dict[str, Any]:
        view = self.driver.l1_view
        known = {"latest": view.latest, "finalized": view.finalized, "current": view.current}
        blocks = {name: ref and self._block(ref) for name, ref in known.items()}
        return {**blocks, "behind": self._behind()}
