"""The outbox relay: carries records from the table `outbox` to Kafka, in order, at least once, with
an id that every repeat shares.

One relay works at a time (advisory lock); the others stand by. Each round takes the oldest rows out
of the table, writes them in one Kafka transaction and only then commits the deletion: killed in
between, the next relay writes the same rows again before anything newer. A relay that was frozen
and wakes up is fenced by Kafka, so nothing old can follow something newer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from mode import Service

from streams import metrics
from streams.errors import DependencyDownError
from streams.exactly_once.batches import COMPRESSION, MOST_BYTES, Record, send_batches
from streams.exactly_once.crash_points import crash_point
from streams.kafka import clients
from streams.kafka.refusals import reason
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.commands.answers import forget_expired
from tables.database.connection import Database, Session
from tables.database.driver import DriverConnection
from tables.database.failures import translated
from tables.database.outbox import CHANNEL, Outgoing, claim

_LOCK = "SELECT pg_try_advisory_lock(hashtext('campaigns.outbox-relay'))"
_AHEAD = "SELECT ensure_recipient_partitions(coalesce(max(number), 0) + 1000) FROM campaigns"
_ROWS = 2000  # a round; 168k rows/s when they are claimed like this
_EXPIRED = 10_000  # answers removed by one statement
_STATEMENTS = 20  # of them in a round of housekeeping, which the outbox waits for
_POLL = 0.5  # seconds without a notification, which a failing connection can swallow
_STAND_BY = 1.0  # seconds between two attempts to become the relay
_TIDY = 60.0  # seconds between two rounds of housekeeping
_LONGEST_PAUSE = 2.0  # seconds after a failure
# A relay that polls twice a second is never idle for long: one that is has been frozen, and must
# not keep the lock.
_SESSION = {
    "idle_session_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",
}
_PUBLISH = 10.0  # seconds; shorter than an idle transaction may last
_log = logging.getLogger(__name__)


class OutboxRelay(Service):  # type: ignore[misc]  # mode is untyped
    """Runs in every control worker. Needs neither the app nor its partitions; ends with the
    process.
    """

    abstract = False

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._settings, self._topics = settings, Topics(settings)
        self._database = Database(settings, "campaigns-outbox-tidy", max_size=1)
        self._pause = 0.0  # seconds, after a failure

    @Service.task  # type: ignore[untyped-decorator]
    async def _run(self) -> None:
        while not self.should_stop:
            try:
                async with AsyncExitStack() as stack:
                    await self._relay(stack)
                self._pause = 0.0
            except (KafkaError, DependencyDownError) as error:
                if not self._pause:
                    why = await reason(self._settings, error)
                    _log.warning("the outbox waits for a dependency", extra={"error": why})
                self._pause = min(self._pause * 2 or 0.1, _LONGEST_PAUSE)
            await self.sleep(self._pause or _STAND_BY)

    async def _relay(self, stack: AsyncExitStack) -> None:
        """Become the relay and be it until stopped; returns at once when another one is."""
        with translated():
            connection = await DriverConnection.open(
                self._settings.postgres,
                application_name="campaigns-outbox",
                autocommit=True,
                session=_SESSION,
            )
            stack.push_async_callback(connection.close)
            (is_ours,) = await (await connection.execute(_LOCK)).fetchone() or (False,)
            if not is_ours:
                return
            await connection.execute(f"LISTEN {CHANNEL}")
        producer = await self._open(stack)
        _log.info("this process is the outbox relay")
        tidied = 0.0
        while not self.should_stop:
            with translated():
                count = await self._round(connection, producer)
                if time.monotonic() - tidied > _TIDY:
                    await self._database.once(_tidy)
                    tidied = time.monotonic()
                self._pause = 0.0
                if count < _ROWS:
                    await _notified(connection)

    async def _open(self, stack: AsyncExitStack) -> AIOKafkaProducer:
        producer = clients.producer(
            self._settings,
            transactional_id=f"{self._settings.topic_prefix}campaigns-outbox-relay",
            transaction_timeout_ms=10_000,
            acks="all",
            max_batch_size=MOST_BYTES,
            max_request_size=16 << 20,
            compression_type=COMPRESSION,
        )
        stack.push_async_callback(_close, producer)
        await producer.start()  # fences a frozen predecessor and ends its open transaction
        return producer

    async def _round(self, connection: DriverConnection, producer: AIOKafkaProducer) -> int:
        async with connection.transaction():
            rows = await claim(connection, _ROWS)
            if rows:
                try:
                    await asyncio.wait_for(self._publish(producer, rows), _PUBLISH)
                except TimeoutError as error:
                    raise KafkaTimeoutError from error
                crash_point("published", "outbox")
        metrics.OUTBOX_RELAYED.inc(len(rows))
        return len(rows)

    async def _publish(self, producer: AIOKafkaProducer, rows: Sequence[Outgoing]) -> None:
        records = defaultdict[tuple[str, int], list[Record]](list)
        for row in rows:
            topic = Name(row.topic)
            place = self._topics.name(topic), self._topics.place(topic, row.key)
            records[place].append(_record(row))
        await producer.begin_transaction()
        now = int(time.time() * 1000)
        sending = (
            send_batches(producer, *place, pile, timestamp_ms=now)
            for place, pile in records.items()
        )
        # every one has to be awaited: aiokafka commits although a batch failed
        await asyncio.gather(*sending)
        crash_point("before-commit", "outbox")
        await producer.commit_transaction()


async def _tidy(session: Session) -> None:
    """Housekeeping that one process does for all."""
    for _ in range(_STATEMENTS):
        if await forget_expired(session, datetime.now(UTC), _EXPIRED) < _EXPIRED:
            break
    await session.run(_AHEAD)


async def _notified(connection: DriverConnection) -> None:
    """Return when a transaction has left something in the outbox, or at the next poll."""
    async for _ in connection.notifies(timeout=_POLL, stop_after=1):
        pass


async def _close(producer: AIOKafkaProducer) -> None:
    with suppress(TimeoutError):  # it waits for a broker that may be away
        await asyncio.wait_for(producer.stop(), 5)


def _record(row: Outgoing) -> Record:
    headers = [("id", str(row.id).encode())]
    if row.type:
        headers.append(("type", row.type.encode()))
    return row.key.encode(), row.payload, headers
