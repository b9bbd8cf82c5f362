"""PostgreSQL connections: how they are opened, what their failures mean, and how a worker waits
until the database is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeAlias, TypeVar, cast

import asyncpg
import msgspec

from streams import metrics
from streams.errors import DependencyDownError
from streams.settings import Settings

T = TypeVar("T")
# what stores take
Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
Work = Callable[[asyncpg.Connection], Awaitable[T]]
_JSONB_VERSION = b"\x01"  # the first byte of jsonb in the binary protocol
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two attempts
# a busy database may need a second and a third attempt; after that the statement itself is too slow
_TIMEOUTS_REPEATED = 2
_log = logging.getLogger(__name__)

# Gone, going, coming, or too busy. Deadlock and serialisation failures are here because trying
# again is the answer to them, too.
_DOWN = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InternalClientError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby answers while the primary fails over
)


@contextmanager
def translated() -> Iterator[None]:
    """Inside this block a database that does not answer raises DependencyDownError; mistakes in SQL
    stay what they are.
    """
    try:
        yield
    except _DOWN as error:
        raise DependencyDownError(
            "PostgreSQL does not answer. Nothing was changed; try again."
        ) from error
    except asyncpg.InterfaceError as error:
        # asyncpg says with one class that we misuse it, and that the connection went away under us
        if "clos" not in str(error):
            raise
        raise DependencyDownError(
            "PostgreSQL closed the connection. Nothing was changed; try again."
        ) from error


async def prepare(connection: asyncpg.Connection) -> None:
    """Make jsonb columns Python objects; uuid columns are `uuid.UUID`, times aware datetimes, enums
    str.
    """
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: _JSONB_VERSION + msgspec.json.encode(value),
        decoder=lambda stored: msgspec.json.decode(memoryview(stored)[1:]),
    )


async def connect(
    settings: Settings,
    *,
    min_size: int = 1,
    max_size: int = 10,
    application_name: str = "campaigns",
    statement_timeout: timedelta = timedelta(seconds=30),
) -> asyncpg.Pool:
    """A pool of prepared connections. `statement_timeout` holds for each statement, on the server
    and, a little later, here.

    Raises DependencyDownError when PostgreSQL does not answer; with `min_size=0` nothing is asked
    yet.
    """
    with translated():
        return await asyncpg.create_pool(
            settings.postgres,
            min_size=min_size,
            max_size=max_size,
            init=prepare,
            timeout=10,
            command_timeout=statement_timeout.total_seconds()
            + 5,  # a server that froze does not keep its own promise
            server_settings={
                "application_name": application_name,
                "timezone": "UTC",
                "statement_timeout": str(round(statement_timeout.total_seconds() * 1000)),
                "idle_in_transaction_session_timeout": "60000",
            },
        )


class Database:
    """A worker's pool: opened at first use, and every piece of work is one transaction that is
    repeated until the database is up.
    """

    def __init__(self, settings: Settings, application_name: str, **options: Any) -> None:
        """`options` as in `connect`."""
        self._settings, self._name, self._options = settings, application_name, options
        self._pool: asyncpg.Pool | None = None

    async def pool(self) -> asyncpg.Pool:
        """The same pool every time. Does not wait for the database."""
        if self._pool is None:
            self._pool = await connect(
                self._settings, min_size=0, application_name=self._name, **self._options
            )
        return self._pool

    async def until_up(self, work: Work[T]) -> T:
        """The answer of `work`, whose changes are committed. See `until_up`."""
        return await until_up(await self.pool(), work)

    async def close(self) -> None:
        """Harmless when nothing was opened."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None


async def once(pool: asyncpg.Pool, work: Work[T]) -> T:
    """Run `work` in one transaction and commit. Raises DependencyDownError: who waits for an answer
    is told, not kept waiting.
    """
    with translated():
        async with pool.acquire() as connection, connection.transaction():
            return await work(cast("asyncpg.Connection", connection))


async def until_up(pool: asyncpg.Pool, work: Work[T]) -> T:
    """Run `work` in one transaction and commit; while PostgreSQL is down, wait in place and run all
    of it again.

    When the connection dies during the commit nobody knows whether it took effect: `work` must be
    idempotent by identity. The outage is logged once when it begins and once when it ends, and
    shows in the gauge `campaigns_dependency_down`. Raises asyncpg's QueryCanceledError for work
    that exceeds the statement timeout three times: it would hold up everybody for ever.
    """
    pause, gauge, timeouts = _FIRST_PAUSE, metrics.DEPENDENCY_DOWN.labels("postgres"), 0
    try:
        while True:
            try:
                with translated():
                    async with pool.acquire() as connection, connection.transaction():
                        answer = await work(cast("asyncpg.Connection", connection))
            except DependencyDownError as error:
                if isinstance(error.__cause__, asyncpg.QueryCanceledError):
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
