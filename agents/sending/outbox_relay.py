"""The outbox relay: carries records from the table `outbox` to Kafka, in order, at least once, with
an id that every repeat shares.

One relay works at a time (advisory lock); the others stand by. Identity of an effect: the row's
event id. Order of effects in a round:

1. take the oldest rows out of the table, as many as are 8 MB, in an SQL transaction that stays open
2. announce the round in PostgreSQL and commit that, on a connection of its own
3. write rows and the round's mark in one Kafka transaction and commit it
4. commit the deletion together with the round's acknowledgement

Killed before 3 has committed, nothing has happened: PostgreSQL rolls the deletion back, and the
next relay fences the Kafka transaction. Killed between 3 and 4, the next relay writes the same rows
again, before anything newer. A relay that was frozen and wakes up is fenced by Kafka, so nothing
old can follow something newer.

The rounds show when PostgreSQL or Kafka went back (`tables.installation.rounds`): a relay compares
them when it becomes one and with every round, and ends the process before it writes anything. They
cost a round one commit and one small record.

A round that Kafka refuses (a record too large for its topic, a topic that this version does not
know) is written again row by row; the row that fails alone goes into the table `outbox_refused` in
the transaction that takes it out of `outbox`, and those behind it go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from mode import Service

from streams import metrics
from streams.contracts.envelope import encode
from streams.errors import DependencyDownError
from streams.exactly_once.batches import COMPRESSION, MOST_BYTES, Record, send_batches
from streams.exactly_once.crash_points import crash_point
from streams.exactly_once.fatal import RecordTooLargeError, RefusedError, end_process
from streams.kafka import clients, marks
from streams.kafka.refusals import reason
from streams.records.marks import KEY, Mark
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.driver import DriverConnection, Rollback
from tables.database.failures import translated
from tables.database.outbox import Outgoing, claim, is_relay, refuse
from tables.database.statements import Reading
from tables.installation import rounds

_ROWS = 2000  # a round at most; 168k rows/s when they are claimed like this
_BYTES = 8 << 20  # a round, or one row: what a slow broker takes within _PUBLISH
_POLL = 0.5  # seconds without a notification, which a failing connection can swallow
_STAND_BY = 1.0  # seconds between two attempts to become the relay
_LONGEST_PAUSE = 2.0  # seconds after a failure
# A relay that polls twice a second is never idle for long: one that is has been frozen, and must
# not keep the lock.
_SESSION = {
    "idle_session_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",
}
_PUBLISH = 10.0  # seconds; shorter than an idle transaction may last
# A ValueError: a topic that a newer version has named, or a key that is none.
_REFUSED = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    RecordTooLargeError,
    InvalidTopicError,
    ValueError,
)
_NOT_RESTORED = (
    "PostgreSQL has no installation, and Kafka has one: the backup is still being read in, or"
    " `campaigns prepare` has to run"
)
_log = logging.getLogger(__name__)


class OutboxRelay(Service):  # type: ignore[misc]  # mode is untyped
    """Runs in every control worker. Needs neither the app nor its partitions; ends with the
    process.
    """

    abstract = False

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(**options)
        self._settings, self._topics = settings, Topics(settings)
        self._pause = 0.0  # seconds, after a failure
        self._singly = 0  # rows still to be written one by one
        self._mark: Mark | None = None  # of the last round; None where none are counted

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
            except RefusedError as refused:
                end_process(refused)
            await self.sleep(self._pause or _STAND_BY)

    async def _relay(self, stack: AsyncExitStack) -> None:
        """Become the relay and be it until stopped; returns at once when another one is."""
        with translated():
            connection = await self._connect(stack, _SESSION)
            if not await is_relay(connection):
                return
        producer = await self._open(stack)
        with translated():
            announcer = Reading(await self._connect(stack, {}))
            await self._compare(announcer)
        _log.info("this process is the outbox relay")
        while not self.should_stop:
            with translated():
                has_more = await self._round(connection, announcer, producer)
                self._pause = 0.0
                if not has_more:
                    await _notified(connection)

    async def _connect(self, stack: AsyncExitStack, session: Mapping[str, str]) -> DriverConnection:
        connection = await DriverConnection.open(
            self._settings.postgres,
            application_name="campaigns-outbox",
            autocommit=True,
            session=session,
        )
        stack.push_async_callback(connection.close)
        return connection

    async def _compare(self, announcer: Reading) -> None:
        """Compare what PostgreSQL and Kafka know of each other, before anything is written. Raises
        RefusedError, and DependencyDownError while a backup is being read in: a database that has
        its tables, and not yet their rows, cannot be compared.
        """
        known, self._mark = await rounds.known(announcer), await marks.read(self._settings)
        if known is None and self._mark is not None:
            raise DependencyDownError(_NOT_RESTORED)
        wrong = None if known is None else rounds.compared(known, self._mark)
        await rounds.note(announcer, "" if wrong is None else wrong.sentence)
        if wrong is not None:
            raise RefusedError(wrong.sentence)

    async def _announce(self, announcer: Reading) -> Mark | None:
        """The mark of the next round; None where PostgreSQL and Kafka have not been joined. Raises
        RefusedError when PostgreSQL is not the one, or not as far, as it was with the last round.
        """
        if self._mark is None:
            return None
        known = await rounds.announce(announcer)
        before = replace(known, announced=known.announced - 1)
        wrong = rounds.compared(before, self._mark)
        # Kafka may be ahead of this relay, when another has replaced it: Kafka then refuses it
        if wrong is not None and wrong.setback is rounds.Setback.POSTGRES:
            await rounds.note(announcer, wrong.sentence)
            raise RefusedError(wrong.sentence)
        return known.mark()

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

    async def _round(
        self, connection: DriverConnection, announcer: Reading, producer: AIOKafkaProducer
    ) -> bool:
        """Whether more may be left in the outbox."""
        async with connection.transaction():
            rows = await claim(connection, 1 if self._singly else _ROWS, _BYTES)
            refused = None
            if rows:
                mark = await self._announce(announcer)
                crash_point("announced", "outbox")
                refused = await self._attempt(producer, rows, mark)
                if mark is not None and refused is None:
                    self._mark = mark
                    await rounds.acknowledge(Reading(connection), mark)
            self._singly = max(0, self._singly - 1)
            if refused is not None and len(rows) > 1:
                self._singly = len(rows)
                raise Rollback  # leaves the block quietly: the rows stay, to be taken one by one
            if refused is not None:
                await self._set_aside(connection, rows[0], refused)
            crash_point("published", "outbox")
        metrics.OUTBOX_RELAYED.inc(0 if refused is not None else len(rows))
        size = sum(len(row.payload) for row in rows)
        return bool(self._singly) or len(rows) == _ROWS or size >= _BYTES

    async def _attempt(
        self, producer: AIOKafkaProducer, rows: Sequence[Outgoing], mark: Mark | None
    ) -> Exception | None:
        """None when Kafka has committed the rows; its refusal, with nothing written, when trying
        again would meet it again. Raises KafkaError for whatever passes.
        """
        try:
            await asyncio.wait_for(self._publish(producer, rows, mark), _PUBLISH)
        except TimeoutError as error:
            raise KafkaTimeoutError from error
        except _REFUSED as error:
            await producer.abort_transaction()
            return error
        return None

    async def _publish(
        self, producer: AIOKafkaProducer, rows: Sequence[Outgoing], mark: Mark | None
    ) -> None:
        await producer.begin_transaction()
        records = defaultdict[tuple[str, int], list[Record]](list)
        for row in rows:
            topic = Name(row.topic)
            place = self._topics.name(topic), self._topics.place(topic, row.key)
            records[place].append(_record(row))
        if mark is not None:
            records[self._topics.name(Name.INSTALLATION), 0].append((KEY, encode(mark), []))
        now = int(time.time() * 1000)
        sending = [
            asyncio.ensure_future(send_batches(producer, *place, pile, timestamp_ms=now))
            for place, pile in records.items()
        ]
        # every one has to be awaited: aiokafka commits although a batch failed, and aborts only
        # what nobody is sending any more
        await asyncio.wait(sending)
        for each in sending:
            each.result()
        crash_point("before-commit", "outbox")
        await producer.commit_transaction()

    async def _set_aside(
        self, connection: DriverConnection, row: Outgoing, error: Exception
    ) -> None:
        why = f"{type(error).__name__}: {error}"[:300]
        await refuse(connection, row, why)
        metrics.OUTBOX_REFUSED.inc()
        _log.error(
            "Kafka refuses a record of the outbox; it was put into the table outbox_refused",
            extra={"topic": row.topic, "eventId": str(row.id), "error": why},
        )


async def _notified(connection: DriverConnection) -> None:
    """Return when a transaction has left something in the outbox, or at the next poll."""
    async for _ in connection.notifies(timeout=_POLL, stop_after=1):
        pass


async def _close(producer: AIOKafkaProducer) -> None:
    with suppress(TimeoutError):  # it waits for a broker that may be away
        await asyncio.wait_for(producer.stop(), 5)


def _record(row: Outgoing) -> Record:
    headers = [("id", str(row.id).encode())]
    if row.type:  # of a message: by whom it is delivered
        name = "delivery" if row.topic == Name.MESSAGES else "type"
        headers.append((name, row.type.encode()))
    return row.key.encode(), row.payload, headers
