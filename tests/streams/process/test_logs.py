"""Log lines are JSON with the fields of the specification, whatever the fields hold."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy.exc import IntegrityError

from streams.errors import DependencyDownError
from streams.process import logs
from streams.process.tracebacks import told
from streams.settings import Settings
from tables.campaigns.changes import Change

_SETTINGS = Settings(
    kafka="k:1", postgres="postgresql://p", nats="nats://n:1", message_keys=(SecretStr("00" * 32),)
)


class Terminal(StringIO):
    """Claims to be one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Logging belongs to the whole process: put it back."""
    root, names = logging.getLogger(), list(logging.root.manager.loggerDict)
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root.handlers[:], root.level = before, level
    logging.captureWarnings(False)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


def test_a_lifecycle_change_is_one_json_line_with_the_fields_of_the_specification() -> None:
    stream = StringIO()
    logs.configure(_SETTINGS, "control", stream)
    campaign_id = uuid4()
    Change("acme", "c-1", campaign_id, "scheduled", "running").log()
    line = json.loads(stream.getvalue())
    fields = {
        "tenantId": "acme",
        "correlationId": "c-1",
        "campaignId": str(campaign_id),
        "fromStatus": "scheduled",
        "toStatus": "running",
    }
    assert line | fields == line
    assert (line["message"], line["level"], line["role"]) == (
        "[LIFECYCLE] campaign status changed",
        "INFO",
        "control",
    )
    assert line["time"].endswith("Z")
    assert line.keys() == {*fields, "message", "level", "role", "time", "logger"}


def test_odd_fields_and_exceptions_still_make_one_line() -> None:
    stream = StringIO()
    logs.configure(_SETTINGS, "control", stream)
    log = logging.getLogger("tests")
    log.info("odd", extra={"id": uuid4(), "huge": 1 << 70, "lone": "\ud800", "keys": {1: 2}})
    try:
        raise ValueError("a\nb")
    except ValueError:
        log.exception("failed")
    odd, failed = map(json.loads, stream.getvalue().splitlines())
    assert "odd" in odd["message"]
    assert "ValueError: a\nb" in failed["exception"]


@pytest.mark.parametrize("stream", [StringIO, Terminal])
def test_a_traceback_quotes_no_row_and_no_value_of_the_database(stream: type[StringIO]) -> None:
    canary, log, written = "ada@canary.example", logging.getLogger("tests"), stream()
    logs.configure(_SETTINGS, "control", written)
    detail = f"Key (email)=({canary}) already exists."
    unique = psycopg.errors.UniqueViolation(
        f'duplicate key value violates unique constraint "contacts_email"\nDETAIL:  {detail}'
    )
    value = psycopg.errors.InvalidTextRepresentation(
        f'invalid input syntax for type uuid: "{canary}"'
    )
    argument = psycopg.DataError(f"cannot dump {canary!r} to int")
    wrapped = IntegrityError("INSERT …", {"email": canary}, unique, hide_parameters=True)
    assert canary in str(unique) + str(value)
    for error in (unique, value, argument, wrapped, ExceptionGroup("several", [unique, value])):
        try:
            try:
                raise error
            except Exception as inner:
                raise DependencyDownError("PostgreSQL does not answer.") from inner
        except DependencyDownError:
            log.exception("failed")
    assert canary not in written.getvalue()
    for expected in (
        "UniqueViolation: 23505 duplicate key",
        "InvalidTextRepresentation: 22P02",
        "DependencyDownError: PostgreSQL",
    ):
        assert expected in written.getvalue()


def test_a_traceback_is_pythons_own_where_no_database_is_involved() -> None:
    try:
        try:
            raise ValueError("a\nb")
        except ValueError:
            raise KeyError("c")  # noqa: B904 - the context is what is tested
    except KeyError as error:
        assert told(error) == "".join(traceback.format_exception(error)).rstrip("\n")


def test_a_shortened_hour_is_warned_of_and_a_usual_one_is_not() -> None:
    assert _SETTINGS.shortened() == ""
    short = Settings(**(_SETTINGS.model_dump() | {"hour": timedelta(minutes=1)}))
    assert short.shortened().startswith("CAMPAIGNS_HOUR is 60 s: limits per hour")


def test_a_terminal_gets_something_to_read() -> None:
    stream = Terminal()
    logs.configure(_SETTINGS, "control", stream)
    logging.getLogger("tests").warning("slow", extra={"seconds": 7})
    assert stream.getvalue().endswith("WARNING slow  seconds=7\n")
