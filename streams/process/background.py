"""Work that goes on in the background while it is used, and the kind of it that stays connected to
Kafka.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import Self

from aiokafka.errors import KafkaError

from streams.exactly_once.fatal import end_process
from streams.kafka.refusals import reason
from streams.settings import Settings

_RETRY = 0.5  # seconds between two attempts to reach Kafka
_PATIENCE = 3.0  # seconds for one cancellation to take effect
_log = logging.getLogger(__name__)


class InBackground(ABC):
    """An async context manager around `work`. Several users share one instance: the work goes on
    from the first `async with` to the end of the last.
    """

    def __init__(self, label: str) -> None:
        """`label` names the work in logs and among the tasks."""
        self.label = label
        self._task: asyncio.Task[None] | None = None
        self._users = 0

    @abstractmethod
    async def work(self) -> None:
        """The work, until it is cancelled. An exception ends the process: a process whose
        background work has died would be worse than a restart.
        """

    async def __aenter__(self) -> Self:
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._work_or_end(), name=self.label)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._task is not None and not self._users:
            task, self._task = self._task, None
            task.cancel()
            while not (await asyncio.wait([task], timeout=_PATIENCE))[0]:
                # wait_for of Python 3.11, which aiokafka uses, can swallow a cancellation
                task.cancel()

    async def _work_or_end(self) -> None:
        try:
            await self.work()
        except Exception as error:  # noqa: BLE001
            end_process(error)


class StayConnected(InBackground):
    """Its work is a connection to Kafka, made again whenever it is lost."""

    def __init__(self, label: str, settings: Settings) -> None:
        super().__init__(label)
        self.settings, self._is_waiting = settings, False

    @abstractmethod
    async def stay(self) -> None:
        """Connect, call `connected`, use the connection until it fails or is of no more use, and
        close it in any case. Errors of Kafka and of the network lead to another attempt.
        """

    def connected(self) -> None:
        """The attempt has succeeded: the next failure is a new one, and is logged."""
        self._is_waiting = False

    async def work(self) -> None:
        while True:
            try:
                await self.stay()
            except (KafkaError, OSError) as error:
                if not self._is_waiting:  # once, not with every attempt
                    why = await reason(self.settings, error)
                    _log.warning("the %s waits for Kafka: %s", self.label, why)
                self._is_waiting = True
            await asyncio.sleep(_RETRY)
