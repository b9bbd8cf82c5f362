"""Connections of psycopg: how they are opened, and how values cross between Python and PostgreSQL.

Every process opens its connections here, so a DSN means the same everywhere: it is libpq's, with
all of libpq's parameters (`sslmode=verify-full`, `sslrootcert`, several hosts,
`target_session_attrs`).
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Self

import msgspec
import psycopg
from psycopg import conninfo
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.types.array import ListDumper
from psycopg.types.json import JsonbDumper, set_json_dumps, set_json_loads

_CONNECT_SECONDS = 10
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
            **(session or {}),
        }
        given = conninfo.conninfo_to_dict(dsn)
        options = " ".join(f"-c {name}={value}" for name, value in wanted.items())
        connection = await cls.connect(
            dsn,
            autocommit=autocommit,
            prepare_threshold=2,
            context=_ADAPTERS,
            connect_timeout=given.get("connect_timeout", _CONNECT_SECONDS),
            application_name=application_name,
            options=f"{given.get('options', '')} {options}".strip(),
        )
        if statement_timeout:
            connection.patience = (statement_timeout + _GRACE).total_seconds()
        return connection


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
