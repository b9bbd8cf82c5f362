"""The database of a process: one engine with one pool, and units of work on it."""

from __future__ import annotations

import asyncio
import logging
import select
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
)
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Self, cast

import msgspec
import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import CursorResult, Executable, Select, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util.concurrency import await_only, greenlet_spawn

from streams import metrics
from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.address_key import ADDRESS_KEY, address_key
from tables.database.driver import DriverConnection
from tables.database.failures import QUERY_CANCELED, sqlstate, translated
from tables.database.statements import LONGEST_LIST, E, Reading, Statements, T, counting
from tables.tenancy import acting

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two attempts
# A busy database may need a second and a third attempt; after that the statement is too slow.
_TIMEOUTS_REPEATED = 2
_log = logging.getLogger(__name__)


class Session(AsyncSession, Statements):
    """A unit of work, which every store takes as its first argument, whose changes are committed
    together by its opener.

    Rows are values. They are read with `first` and `every`, which keep none of them in the session,
    and written with statements of insert, update and delete. SQL that these cannot express, or that
    works on sets, is a text for `rows`, `values`, `value` and `run`.
    """

    async def first(
        self, statement: TypedReturnsRows[E], parameters: Mapping[str, Any] | None = None
    ) -> E | None:
        """The first row that the statement finds, inserts, changes or deletes; None without one.
        `parameters` are those of a statement that was made once, for a route where making it anew
        would cost more than carrying it out.
        """
        found: E | None = (await self.scalars(statement, parameters)).first()
        self.expunge_all()
        return found

    async def every(
        self, statement: TypedReturnsRows[E], parameters: Mapping[str, Any] | None = None
    ) -> list[E]:
        """All rows that the statement finds, inserts, changes or deletes, in its order."""
        found = list((await self.scalars(statement, parameters)).all())
        self.expunge_all()
        return found

    async def page(self, statement: Select[E], limit: int, offset: int) -> tuple[list[E], int]:
        """At most `limit` of the rows that the statement finds, after the first `offset`, and how
        many it finds in all. From here on no statement of the transaction may take longer than
        LONGEST_LIST: to count what a search finds could take minutes.
        """
        await self.script(f"SET LOCAL statement_timeout = {round(LONGEST_LIST * 1_000)}")
        found = await self.every(statement.limit(limit).offset(offset))
        return found, await self.scalar(counting(statement)) or 0

    async def changed(self, statement: Executable) -> int:
        """Execute a statement of insert, update or delete: how many rows it wrote."""
        result = cast("CursorResult[Any]", await self.execute(statement))
        return result.rowcount

    async def driver(self) -> psycopg.AsyncConnection[Any]:
        """The driver's connection in this transaction."""
        connection = await (await self.connection()).get_raw_connection()
        found: psycopg.AsyncConnection[Any] = connection.driver_connection  # type: ignore[assignment]
        return found


Work = Callable[[Session], Awaitable[T]]


class Database:
    """One engine, opened at first use; at most `max_size` connections, found to be alive when they
    are taken. `statement_timeout` holds for each statement, on the server and, a little later,
    here; `lock_timeout` for each lock that it waits for, 0 = no limit of its own. A database that
    is opened by its DSN alone knows no key of addresses (`address_key`).

    `by_tenant`: a unit of work sees and writes the rows of the tenant for which its task acts when
    it takes its connection (tables/tenancy), if PostgreSQL has policies for the role. A connection
    that last served another tenant is told so, in one round trip.
    """

    def __init__(
        self,
        settings: Settings | str,
        application_name: str = "campaigns",
        *,
        max_size: int = 10,
        statement_timeout: timedelta = timedelta(seconds=30),
        lock_timeout: timedelta = timedelta(0),
        by_tenant: bool = False,
    ) -> None:
        self._open = partial(
            DriverConnection.open,
            settings if isinstance(settings, str) else settings.postgres,
            application_name=application_name,
            statement_timeout=statement_timeout,
            session={
                "lock_timeout": str(round(lock_timeout.total_seconds() * 1000)),
                **({} if isinstance(settings, str) else {ADDRESS_KEY: address_key(settings)}),
                **({acting.SETTING: acting.NOBODY} if by_tenant else {}),
            },
        )
        self._engine = create_async_engine(
            "postgresql+psycopg://",
            async_creator=self._open,
            pool_size=max_size,
            max_overflow=0,
            # requests of one tenant often follow each other
            pool_use_lifo=by_tenant,
            hide_parameters=True,  # they are addresses and names, and errors are logged
            json_deserializer=msgspec.json.decode,
            json_serializer=msgspec.json.encode,
            use_native_hstore=False,
        )
        event.listen(self._engine.sync_engine, "checkout", _check_alive)
        if by_tenant:
            event.listen(self._engine.sync_engine, "checkout", _act_for_tenant)
        self._sessions = async_sessionmaker(
            self._engine,
            class_=Session,
            expire_on_commit=False,
            autoflush=False,
            # No row is kept in a session, so there is nothing to bring up to date after an update.
            # Left to itself SQLAlchemy would ask for all changed rows (RETURNING) to look for them.
            execution_options={"populate_existing": True, "synchronize_session": False},
        )

    @asynccontextmanager
    async def transaction(self, within: timedelta | None = None) -> AsyncIterator[Session]:
        """A unit of work: committed at the end of the block, rolled back when it raises.

        Raises DependencyDownError when PostgreSQL does not answer and, for a caller that must not
        be kept waiting, when no connection is free or can be opened `within` this time.
        """
        with translated():
            async with self._sessions() as session, session.begin():
                if within is not None:
                    async with _patience(within):
                        await session.connection()
                yield session

    @asynccontextmanager
    async def reading(self, within: timedelta | None = None) -> AsyncIterator[Reading]:
        """A connection without a transaction, for statements that read.

        Raises DependencyDownError as `transaction` does.
        """
        with translated():
            async with _patience(within):
                pooled = await self._engine.raw_connection()
            driver = cast("psycopg.AsyncConnection[Any]", pooled.driver_connection)
            try:
                await driver.set_autocommit(True)
                yield Reading(driver)
            finally:
                if driver.pgconn.transaction_status == TransactionStatus.IDLE:
                    await driver.set_autocommit(False)
                    await greenlet_spawn(pooled.close)
                else:  # cut off in the middle of a statement
                    await greenlet_spawn(pooled.invalidate)

    async def once(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit. Raises DependencyDownError: a caller that waits
        for an answer gets one.
        """
        async with self.transaction() as session:
            return await work(session)

    async def until_up(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit; while PostgreSQL is down, wait in place and run
        all of it again.

        When the connection dies during the commit, it is unknown whether it took effect: `work`
        must be idempotent by identity. The outage is logged once when it begins and once when it
        ends, and shows in the gauge `campaigns_dependency_down`. Work that exceeds the statement
        timeout three times raises the driver's error: it would hold up everything behind it for
        ever.
        """
        pause, gauge, timeouts = _FIRST_PAUSE, metrics.DEPENDENCY_DOWN.labels("postgres"), 0
        try:
            while True:
                try:
                    answer = await self.once(work)
                except DependencyDownError as error:
                    if error.__cause__ is not None and sqlstate(error.__cause__) == QUERY_CANCELED:
                        timeouts += 1
                        if timeouts > _TIMEOUTS_REPEATED:
                            raise error.__cause__ from None
                    if pause == _FIRST_PAUSE:
                        gauge.set(1)
                        _log.warning(
                            "PostgreSQL does not answer, trying again until it does",
                            extra={"error": repr(error.__cause__ or error)},
                        )
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
                    continue
                if pause != _FIRST_PAUSE:
                    _log.info("PostgreSQL answers again")
                return answer
        finally:
            if pause != _FIRST_PAUSE:
                gauge.set(0)

    async def close(self) -> None:
        """Harmless when nothing was opened."""
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@asynccontextmanager
async def _patience(within: timedelta | None) -> AsyncIterator[None]:
    """Raises DependencyDownError when taking a connection lasts longer."""
    try:
        async with asyncio.timeout(within.total_seconds() if within else None):
            yield
    except TimeoutError as error:
        if within is None:
            raise
        raise DependencyDownError(
            f"PostgreSQL had no free connection within {within.total_seconds():g} s."
            " Nothing was changed; try again."
        ) from error


def _check_alive(connection: Any, record: Any, _proxy: object) -> None:
    """Replaces a pooled connection that the server has closed. An idle connection has nothing to
    read, unless it ended: looking costs 2 us, where asking the server costs a round trip.

    One that has just been opened is taken as it is: the first statement will find out. SQLAlchemy
    replaces twice, and then reports a mistake of the program instead of a server that is going.
    """
    if not record.info:  # emptied when the record gets another connection
        record.info["was_taken"] = True
        return
    if (driver := connection.driver_connection).closed:
        raise DisconnectionError
    poll = select.poll()
    poll.register(driver.fileno(), select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _act_for_tenant(connection: Any, record: Any, _proxy: object) -> None:
    """Tells the session for which tenant it acts, unless it is the one that the connection served
    last. A failure ends the connection, so that it is never taken for another tenant's.
    """
    wanted, known = acting.wanted(), record.info.get(acting.SETTING, acting.NOBODY)
    if wanted is not None and wanted != known:
        await_only(_tell_tenant(connection.driver_connection, wanted))
        record.info[acting.SETTING] = wanted


async def _tell_tenant(driver: psycopg.AsyncConnection[Any], tenant: str) -> None:
    """Outside of a transaction, whose rollback would undo it."""
    await driver.set_autocommit(True)
    await driver.execute("SELECT set_config(%s, %s, false)", (acting.SETTING, tenant))
    await driver.set_autocommit(False)
