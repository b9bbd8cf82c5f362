"""What recipients do, on its way to `pipeline.events.v1`: one idempotent producer, which the
process does not wait for when it starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.errors import DependencyDownError
from streams.exactly_once.fatal import end_process
from streams.kafka import clients
from streams.kafka.refusals import reason
from streams.records.reported_events import Incoming, encode_incoming
from streams.settings import Settings
from streams.topics import Name, Topics

_RETRY = 0.5  # seconds between two attempts to reach Kafka
_PATIENCE = 3.0  # seconds; a mail reader that waits for a picture gives up after a few
_PATIENCE_WITH_MANY = 10.0  # seconds; providers wait for 10 to 30 before they try again
_log = logging.getLogger(__name__)


class Reports:
    """An async context manager that keeps a producer connected: `async with Reports(settings) as
    reports: await reports.send(event)`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topics = settings, Topics(settings)
        self._producer: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ready(self) -> bool:
        return self._producer is not None

    async def send(self, event: Incoming) -> None:
        """Returns when every in-sync replica has the event. Raises DependencyDownError within three
        seconds; it may arrive all the same.
        """
        await self._send([event], _PATIENCE)

    async def send_all(self, events: Sequence[Incoming]) -> None:
        """`send` for all of them or, with DependencyDownError after ten seconds, for nobody knows
        which: send all of them again.
        """
        if events:
            await self._send(events, _PATIENCE_WITH_MANY)

    async def _send(self, events: Sequence[Incoming], patience: float) -> None:
        producer = self._producer
        if producer is None:
            raise DependencyDownError("Kafka does not answer. Try again.")
        topic, partition = self._topics.name(Name.INCOMING), self._topics.partition
        try:
            async with asyncio.timeout(patience):
                keyed = ((event, event.message_id.encode()) for event in events)
                sent = [
                    await producer.send(
                        topic, encode_incoming(event), key=key, partition=partition(key)
                    )
                    for event, key in keyed
                ]
                await asyncio.gather(*sent)
        except TimeoutError as error:
            raise DependencyDownError("Kafka does not answer. Try again.") from error
        except KafkaError as error:
            self._broken.set()  # an idempotent producer that has given a record up accepts no more
            raise DependencyDownError("Kafka refused the event. Try again.") from error

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run_or_end(), name="reports")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            while not (await asyncio.wait([self._task], timeout=_PATIENCE))[0]:
                # wait_for of Python 3.11, which aiokafka uses, can swallow a cancellation
                self._task.cancel()

    async def _run_or_end(self) -> None:
        try:
            await self._run()
        except Exception as error:  # noqa: BLE001  # an API that can never report again would be worse than a restart
            end_process(error)

    async def _run(self) -> None:
        waits = False
        while True:
            producer = clients.producer(
                self._settings,
                acks="all",
                enable_idempotence=True,
                request_timeout_ms=10_000,
            )
            try:
                await producer.start()
                waits = False
                self._broken.clear()
                self._producer = producer
                await self._broken.wait()
            except (KafkaError, OSError) as error:
                if not waits:  # once, not with every attempt
                    why = await reason(self._settings, error)
                    _log.warning("the events of recipients wait for Kafka: %s", why)
                waits = True
            finally:
                self._producer = None
                with suppress(TimeoutError, KafkaError):  # it waits for a broker that may be away
                    async with asyncio.timeout(_PATIENCE):  # and not wait_for, see above
                        await producer.stop()
            await asyncio.sleep(_RETRY)
