"""Reports of what recipients do, on their way to `pipeline.events.v1`: one idempotent producer, for
which the process does not wait when it starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.errors import DependencyDownError
from streams.kafka import clients
from streams.process.background import StayConnected
from streams.records.reported_events import Incoming, encode_incoming
from streams.settings import Settings
from streams.topics import Name, Topics

_PATIENCE = 3.0  # seconds; a mail reader that waits for a picture gives up after a few
_PATIENCE_WITH_MANY = 10.0  # seconds; providers wait for 10 to 30 before they try again


class Reports(StayConnected):
    """Keeps a producer connected: `async with Reports(settings) as reports: await
    reports.send(event)`.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__("reporting of events", settings)
        self._topics = Topics(settings)
        self._producer: AIOKafkaProducer | None = None
        self._broken = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        return self._producer is not None

    async def send(self, event: Incoming) -> None:
        """Returns when every in-sync replica has the event. Raises DependencyDownError within three
        seconds; it may arrive all the same.
        """
        await self._send([event], _PATIENCE)

    async def send_all(
        self, events: Sequence[Incoming], letters: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """`send` for all events, and dead letters (key, value) beside them. Raises
        DependencyDownError within ten seconds; some may have arrived all the same, and all should
        be sent again.
        """
        if events or letters:
            await self._send(events, _PATIENCE_WITH_MANY, letters)

    async def _send(
        self,
        events: Sequence[Incoming],
        patience: float,
        letters: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        producer = self._producer
        if producer is None:
            raise DependencyDownError("Kafka does not answer. Try again.")
        topic, partition = self._topics.name(Name.INCOMING), self._topics.partition
        dead_letters = self._topics.name(Name.DEAD_LETTERS)
        try:
            async with asyncio.timeout(patience):
                keyed = ((event, event.message_id.encode()) for event in events)
                sent = [
                    await producer.send(
                        topic, encode_incoming(event), key=key, partition=partition(key)
                    )
                    for event, key in keyed
                ]
                sent += [
                    await producer.send(dead_letters, value, key=key, partition=0)
                    for key, value in letters
                ]
                await asyncio.gather(*sent)
        except TimeoutError as error:
            raise DependencyDownError("Kafka does not answer. Try again.") from error
        except KafkaError as error:
            self._broken.set()  # an idempotent producer that has given a record up accepts no more
            raise DependencyDownError("Kafka refused the event. Try again.") from error

    async def stay(self) -> None:
        producer = clients.producer(
            self.settings,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=10_000,
        )
        try:
            await producer.start()
            self.connected()
            self._broken.clear()
            self._producer = producer
            await self._broken.wait()
        finally:
            self._producer = None
            with suppress(TimeoutError, KafkaError):  # it waits for a broker that may be away
                async with asyncio.timeout(_PATIENCE):  # and not wait_for, see InBackground
                    await producer.stop()
