"""Background work: shared by its users, ended with the last of them, connected again after every
failure.
"""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest
from aiokafka.errors import KafkaConnectionError
from pydantic import SecretStr

from streams.exactly_once.fatal import EXIT_CODE
from streams.process.background import InBackground, StayConnected
from streams.settings import Settings
from tests.eventually import eventually


class Counting(InBackground):
    """Counts how often it is started and ended; swallows the first cancellations."""

    def __init__(self, swallowed: int = 0) -> None:
        super().__init__("counting")
        self.started = self.ended = 0
        self._swallowed = swallowed

    async def work(self) -> None:
        self.started += 1
        for _ in range(self._swallowed):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        try:
            await asyncio.sleep(3600)
        finally:
            self.ended += 1


async def test_it_works_from_the_first_user_to_the_last() -> None:
    counting = Counting()
    async with counting:
        async with counting:
            await eventually(lambda: counting.started == 1)
        assert (counting.started, counting.ended) == (1, 0)
    assert (counting.started, counting.ended) == (1, 1)
    async with counting:
        await eventually(lambda: counting.started == 2)
    assert counting.ended == 2


async def test_a_cancellation_that_a_library_swallows_is_repeated() -> None:
    counting = Counting(swallowed=1)
    async with counting:
        await eventually(lambda: counting.started == 1)
    assert counting.ended == 1


class Failing(StayConnected):
    """Connects at every third attempt, and loses the connection at once."""

    def __init__(self) -> None:
        keys = (SecretStr("00" * 32),)
        nowhere = Settings(
            kafka="127.0.0.1:1", postgres="postgresql://p", nats="nats://n:1", message_keys=keys
        )
        super().__init__("failing", nowhere)
        self.attempts = 0

    async def stay(self) -> None:
        self.attempts += 1
        if self.attempts % 3:
            raise KafkaConnectionError if self.attempts % 2 else OSError
        self.connected()


async def test_it_tries_again_and_says_so_once_for_each_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with Failing() as failing:
            await eventually(lambda: failing.attempts == 6, within=300)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "the failing waits for Kafka: KafkaConnectionError",
        "the failing waits for Kafka: OSError",
    ]


_PROGRAM = """
import asyncio
from streams.process.background import InBackground
class Broken(InBackground):
    async def work(self): raise ValueError("bug")
async def main():
    async with Broken("broken"): await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_a_bug_in_it_ends_the_process() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == EXIT_CODE
    assert b"ValueError: bug" in complaint
