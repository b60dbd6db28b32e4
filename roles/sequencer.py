"""Sequencer: asks the execution engine for a block whenever one is due."""

from dataclasses import dataclass
from typing import ClassVar

from protocol.messages import Message
from roles.ports import Builder, Ports


@dataclass(frozen=True)
class Sequencer:
    consumes: ClassVar[tuple[type[Message], ...]] = ()
    emits: ClassVar[tuple[type[Message], ...]] = ()

    builder: Builder
    block_time: int  # seconds

    async def run(self, ports: Ports) -> None:
        while True:
            now = ports.clock.now()
            due = (int(now) // self.block_time + 1) * self.block_time
            await ports.clock.sleep(due - now)
            await self.builder.build(due)
