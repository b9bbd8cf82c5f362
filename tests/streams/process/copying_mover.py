"""The smallest mover: copies every reported event to the outcomes topic, at least once. As a
process it is `python -m tests.streams.process.copying_mover`, until SIGTERM.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer

from streams.exactly_once.crash_points import crash_point
from streams.process.app import run
from streams.process.mover import Mover
from streams.settings import Settings, from_environment
from streams.topics import Name


class Copying(Mover):
    """Ends with an error at the value `b"poison"`."""

    name = "copying"
    reads = (Name.INCOMING,)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.turns = self.moved = 0
        self.is_finished = False
        self._producer: AIOKafkaProducer

    async def open(self, stack: AsyncExitStack) -> None:
        self._producer = await stack.enter_async_context(
            AIOKafkaProducer(bootstrap_servers=self.settings.kafka, acks="all")
        )
        await self.subscribe(stack)

    async def turn(self) -> None:
        self.turns += 1
        fetched = await self.read(timeout_ms=50, max_records=500)
        for partition, records in fetched.items():
            for record in records:
                if record.value == b"poison":
                    raise ValueError("poison")
                await self._producer.send_and_wait(
                    self.topics.name(Name.MESSAGE_EVENTS),
                    record.value,
                    partition=partition.partition,
                )
                crash_point("copied", "copying")
            self.moved += len(records)
        if fetched:
            await self.commit({p: records[-1].offset + 1 for p, records in fetched.items()})

    async def finish(self) -> None:
        self.is_finished = True


if __name__ == "__main__":
    run(None, Copying(from_environment()))
