"""Whether PostgreSQL answers at all, and whether it lets this process in."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
from sqlalchemy import select, true

from streams.errors import DependencyDownError
from streams.settings import Settings
from tables.database.connection import Database
from tables.database.failures import is_refused

_PATIENCE = 5  # seconds for a server that does not answer


async def answers(database: Database, within: timedelta) -> bool:
    """False, too, when PostgreSQL answers with a refusal: another password, no such database."""
    try:
        async with asyncio.timeout(within.total_seconds()), database.transaction() as transaction:
            return bool(await transaction.scalar(select(true())))
    except (TimeoutError, DependencyDownError, psycopg.Error):
        return False


def refusal(settings: Settings) -> str:
    """Why PostgreSQL does not let this process in, in one sentence; "" when it does, and when it is
    away or its database is still to be made. Blocks for milliseconds, or five seconds at most for
    each host that does not answer.
    """
    try:
        psycopg.connect(settings.postgres, connect_timeout=_PATIENCE).close()
    except psycopg.OperationalError as error:
        if is_refused(error):
            said = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
            return f"PostgreSQL does not accept CAMPAIGNS_POSTGRES, or is not accepted: {said}"
    except psycopg.ProgrammingError as error:  # libpq's parser; its sentence can hold the DSN
        return f"CAMPAIGNS_POSTGRES is not a DSN that libpq can read ({type(error).__name__})"
    return ""
