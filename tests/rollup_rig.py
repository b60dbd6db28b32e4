"""One node of a simulated rollup whose parts are stepped by hand."""

from dataclasses import dataclass, field
from typing import Any

from protocol.errors import Reset, Temporary
from rollup.batcher import Batcher
from rollup.channel_out import ChannelPolicy
from rollup.codec.config import RollupConfig
from rollup.driver import Driver
from rollup.sequencing import Sequencing
from tests.derive_world import L1_TIME, l2_transaction
from tests.sim.rollup_world import (
    L1_SECONDS,
    DictStore,
    SimDa,
    SimEngine,
    SimL1,
    SimSender,
    world_config,
)


@dataclass
class Time:
    """Moves only when somebody sleeps or a test says so."""

    seconds: float = float(L1_TIME)

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Rig:
    config: RollupConfig = field(default_factory=world_config)
    policy: ChannelPolicy = field(default_factory=lambda: ChannelPolicy(duration=0))
    da: SimDa | None = None
    l1: SimL1 = field(default_factory=SimL1)
    time: Time = field(default_factory=Time)
    store: DictStore = field(default_factory=DictStore)

    def __post_init__(self) -> None:
        self.nonce = 0
        self.engine = SimEngine(self.config, self.pool)
        self.sender = SimSender(self.l1)
        self.out: list[Any] = []
        self.restart()

    def pool(self) -> list[bytes]:
        self.nonce += 1
        return [l2_transaction(self.nonce)]

    def restart(self) -> None:
        """Everything but engine, store and outbox is new."""
        shared: dict[str, Any] = {"config": self.config, "clock": self.time, "engine": self.engine}
        self.driver = Driver(l1=self.l1, da=self.da, poll_seconds=0, **shared)
        self.sequencing = Sequencing(
            driver=self.driver,
            l1=self.l1,
            store=self.store,
            publish=self.out.append,
            confirmations=0,
            **shared,
        )
        self.batcher = Batcher(
            driver=self.driver,
            sender=self.sender,
            store=self.store,
            da=self.da,
            policy=self.policy,
            **shared,
        )

    async def drive(self) -> None:
        """Until there is nothing to do; a `Reset` as the loop takes it."""
        for _ in range(10_000):
            try:
                if not await self.driver.step():
                    return
            except Reset as error:
                await self.driver._lost(str(error))
        raise AssertionError("the driver never rests")

    async def blocks(self, count: int) -> None:
        """So many L2 blocks; L1 goes along with the time."""
        await self.drive()
        wanted = self.heads.unsafe.number + count
        while self.heads.unsafe.number < wanted:
            await self.sequencing.step()
            while self.time.now() >= self.l1.tip.ref.time + L1_SECONDS:
                await self.mine()

    async def mine(self, count: int = 1) -> None:
        for _ in range(count):
            self.l1.mine()
            self.time.seconds = max(self.time.seconds, self.l1.tip.ref.time)
            await self.drive()

    async def post(self) -> str | None:
        """One step of the batcher; what stopped it."""
        try:
            await self.batcher.step()
        except Temporary as error:
            return str(error)
        return None

    async def settle(self, rounds: int = 8) -> None:
        for _ in range(rounds):
            await self.post()
            await self.mine()

    @property
    def heads(self) -> Any:
        return self.driver.chain.heads
