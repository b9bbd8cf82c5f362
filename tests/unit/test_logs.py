"""Log lines are JSON with the fields of the specification, whatever the fields hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from uuid import uuid4

import pytest
from pydantic import SecretStr

from streams import logs
from streams.settings import Settings
from tables.sql.answers import Change

_SETTINGS = Settings(kafka="k:1", postgres="postgresql://p", nats="nats://n:1", message_keys=(SecretStr("00" * 32),))


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
    fields = {"tenantId": "acme", "correlationId": "c-1", "campaignId": str(campaign_id), "fromStatus": "scheduled", "toStatus": "running"}
    assert line | fields == line
    assert (line["message"], line["level"], line["role"]) == ("[LIFECYCLE] campaign status changed", "INFO", "control")
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


def test_a_terminal_gets_something_to_read() -> None:
    stream = Terminal()
    logs.configure(_SETTINGS, "control", stream)
    logging.getLogger("tests").warning("slow", extra={"seconds": 7})
    assert stream.getvalue().endswith("WARNING slow  seconds=7\n")
