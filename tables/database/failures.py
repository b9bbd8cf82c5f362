"""The meaning of failures of PostgreSQL and its driver, decided by SQLSTATE in one place.

Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy.exc

from streams.errors import DependencyDownError

#: A failure as the driver reports it; those that `translated` lets through are mistakes in SQL.
PostgresError = psycopg.Error
#: A table or a column is not there: the database is not migrated, or a backup is being read in.
NOT_MIGRATED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)

UNIQUE_VIOLATION = "23505"
QUERY_CANCELED = "57014"
DISK_FULL = "53100"
LOCK_NOT_AVAILABLE = "55P03"  # lock_timeout: somebody holds what is needed

# Classes of codes that mean: gone, going, coming, or too busy. Deadlocks and serialisation
# failures (40) are among them, because trying again is the answer to them, too.
_DOWN = ("08", "40", "53", "57")
_DOWN_CODES = (
    "25006",  # a standby answers while the primary fails over: read-only transaction
    LOCK_NOT_AVAILABLE,  # lock_timeout: another transaction keeps the row for longer
    "25P03",  # the session was ended because this process was frozen in a transaction
)
_REFUSED = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "certificate verify failed",
    "does not match host name",
    "does not support ssl",
    "alert",  # of TLS: the server does not accept the client's certificate
    "certificate file",
    "key file",
    'role "',
)


def sqlstate(error: BaseException | None) -> str:
    """The five-character code of a failed statement; "" for any other error."""
    origin = _origin(error)
    return origin.sqlstate or "" if isinstance(origin, psycopg.Error) else ""


def _origin(error: BaseException | None) -> BaseException | None:
    """The driver's error behind SQLAlchemy's; any other error itself."""
    wrapped = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else None
    return wrapped or error


def is_down(error: BaseException) -> bool:
    """Whether PostgreSQL is away or too busy, as opposed to a statement that is wrong."""
    if isinstance(error, (OSError, TimeoutError, sqlalchemy.exc.TimeoutError)):
        return True
    if code := sqlstate(error):
        return code.startswith(_DOWN) or code in _DOWN_CODES
    # libpq's own errors have no code: refused, closed by the server, closed by us
    return isinstance(_origin(error), (psycopg.OperationalError, psycopg.InterfaceError))


def is_missing_database(error: psycopg.OperationalError) -> bool:
    """Whether a connection was refused because its database does not exist yet."""
    # libpq reports a refused log-in by its sentence alone
    return "does not exist" in str(error) and 'database "' in str(error)


def is_refused(error: psycopg.OperationalError) -> bool:
    """Whether a connection failed for good: PostgreSQL does not accept this process, or this
    process does not accept its certificate, or a file of the DSN cannot be used.
    """
    # libpq reports these by sentences alone, too; whatever is not among them may pass by itself
    return any(sign in str(error).lower() for sign in _REFUSED)


def _sentence(error: BaseException) -> str:
    if sqlstate(error) == LOCK_NOT_AVAILABLE:
        return "Another request is changing the same thing. Nothing was changed; try again."
    if sqlstate(error) == QUERY_CANCELED:
        return "PostgreSQL took too long. Nothing was changed; ask for less, or try again."
    if sqlstate(error) == DISK_FULL:
        return "PostgreSQL has no room left. Nothing was changed; try again."
    return "PostgreSQL does not answer. Nothing was changed; try again."


@contextmanager
def translated() -> Iterator[None]:
    """Inside this block a database that does not answer raises DependencyDownError. Mistakes in SQL
    leave it as the driver's errors, whether SQLAlchemy carried the statement or not.
    """
    try:
        yield
    except DependencyDownError:
        raise
    except Exception as error:
        origin = _origin(error)
        if is_down(error):
            raise DependencyDownError(_sentence(error)) from origin
        if origin is error or origin is None:
            raise
        raise origin from None
