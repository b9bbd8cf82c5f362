"""Connections of psycopg: how they are opened, and how values cross between Python and PostgreSQL.

Every process opens its connections here, so a DSN means the same everywhere: it is libpq's, with
all of libpq's parameters (`sslmode=verify-full`, `sslrootcert`, several hosts,
`target_session_attrs`).
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Self

import msgspec
import psycopg
from psycopg import conninfo
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.rows import Row, RowFactory
from psycopg.types.array import ListDumper
from psycopg.types.json import JsonbDumper, set_json_dumps, set_json_loads

from streams import silence

#: Raised in a block of `DriverConnection.transaction`, it rolls back and leaves the block quietly.
Rollback = psycopg.Rollback

_CONNECT_SECONDS, _LOOK_SECONDS = 10, 5
_GRACE = timedelta(seconds=5)  # of a client that waits for the server's own statement_timeout


class DriverConnection(psycopg.AsyncConnection[Any]):
    """A connection that does not wait for ever: a server that froze does not keep its own
    `statement_timeout`. Longer waits raise TimeoutError, and the connection is closed.
    """

    patience: float | None = None  # seconds for one exchange with the server

    def __del__(self, *_: Any) -> None:
        """A connection that is forgotten with its pool is closed by libpq, without a warning: at
        the end of a process that is how a pool ends.
        """

    async def wait(
        self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        async with asyncio.timeout(self.patience):
            return await super().wait(gen, interval, timeout)

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        application_name: str,
        statement_timeout: timedelta = timedelta(seconds=30),
        autocommit: bool = False,
        session: Mapping[str, str] | None = None,
    ) -> Self:
        """A connection whose times are UTC and whose jsonb columns are Python objects.

        A `statement_timeout` of 0 is none. `session` are further settings of the session, such as
        `idle_session_timeout`. Raises `psycopg.OperationalError` when PostgreSQL does not answer or
        refuses.
        """
        wanted = {
            "timezone": "UTC",
            "statement_timeout": str(round(statement_timeout.total_seconds() * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            **silence.POSTGRESQL,
            **(session or {}),
        }
        given = conninfo.conninfo_to_dict(dsn)
        options = " ".join(f"-c {name}={value}" for name, value in wanted.items())
        connection = await cls.connect(
            dsn,
            autocommit=autocommit,
            prepare_threshold=2,
            context=_ADAPTERS,
            application_name=application_name,
            options=f"{given.get('options', '')} {options}".strip(),
            **_unless(given, connect_timeout=_CONNECT_SECONDS, **silence.LIBPQ),
        )
        if statement_timeout:
            connection.patience = (statement_timeout + _GRACE).total_seconds()
        return connection


@contextmanager
def looking(dsn: str, row_factory: RowFactory[Row]) -> Iterator[psycopg.Connection[Row]]:
    """A connection for one look, in a thread that may wait for it: five seconds for each host that
    does not answer, ten for one that falls silent. Raises `psycopg.Error`.
    """
    wanted = {"connect_timeout": _LOOK_SECONDS, **silence.LIBPQ}
    given = conninfo.conninfo_to_dict(dsn)
    with psycopg.connect(dsn, row_factory=row_factory, **_unless(given, **wanted)) as connection:
        yield connection


def _unless(given: Mapping[str, Any], **wanted: Any) -> dict[str, Any]:
    """Those wishes about which the DSN says nothing."""
    return {name: value for name, value in wanted.items() if name not in given}


class _Document(JsonbDumper):
    _dumps = staticmethod(msgspec.json.encode)


def _adapters() -> AdaptersMap:
    adapters = AdaptersMap(psycopg.adapters)
    set_json_loads(msgspec.json.decode, adapters)
    set_json_dumps(msgspec.json.encode, adapters)
    adapters.register_dumper(dict, _Document)
    adapters.register_dumper(tuple, ListDumper)  # frozen values hold tuples where SQL has arrays
    return adapters


_ADAPTERS = _adapters()
