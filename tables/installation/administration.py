"""The work of an administrator of PostgreSQL: statements that change many tables at once, and the
passwords of roles.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tables.database.driver import DriverConnection

_PATIENCE = 60.0  # seconds for tables that are in use
_PAUSE = 1.0
_STATEMENT = timedelta(minutes=5)  # one changes the owner of every block of the ledger


def account_of(dsn: str) -> tuple[str, str]:
    """The user and the password in a DSN, "" for what it does not name.

    Raises ValueError, with a sentence that quotes nothing of it, for a text that is no DSN.
    """
    try:
        given = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # its sentence can hold the DSN
        raise ValueError("it holds no DSN that libpq can read") from None
    return str(given.get("user") or ""), str(given.get("password") or "")


async def carry_out(
    administrator: str, statements: Iterable[str], passwords: Mapping[str, str]
) -> None:
    """Carry out the statements and set the passwords of roles, in one transaction.

    Statements of others that need a table meanwhile wait for 5 s at most, and a table that is in
    use for longer is tried again for a minute. Raises `PostgresError`.
    """
    wanted, deadline = list(statements), time.monotonic() + _PATIENCE
    while True:
        try:
            await _carry_out(administrator, wanted, passwords)
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_PAUSE)


async def _carry_out(
    administrator: str, statements: Iterable[str], passwords: Mapping[str, str]
) -> None:
    connection = await DriverConnection.open(
        administrator, application_name="campaigns-prepare", statement_timeout=_STATEMENT
    )
    async with connection:
        await connection.execute("SET LOCAL lock_timeout = '5s'")
        for statement in statements:
            await connection.execute(statement)
        for role, password in passwords.items():
            # only a verifier goes to the server, so that no log of it has the password
            verifier = connection.pgconn.encrypt_password(
                password.encode(), role.encode(), b"scram-sha-256"
            )
            change = sql.SQL("ALTER ROLE {} PASSWORD {}")
            await connection.execute(
                change.format(sql.Identifier(role), sql.Literal(verifier.decode("ascii")))
            )
