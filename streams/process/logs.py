"""How every process logs: a sentence with fields; one JSON object a line when piped, readable on a
terminal.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from streams.contracts.envelope import rfc3339
from streams.process.tracebacks import told
from streams.settings import Settings

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "data",
}  # `data`: faust's own rendering of extra
_QUIET = (
    "aiokafka",
    "asyncio",
    "faust",
    "kafka",
    "mode",
    "alembic",
    "httpx",
    "mail.log",
    "uvicorn.access",
)


def configure(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Make this the only logging of the process. Everything goes to `stream`, standard error by
    default.

    Lines of libraries below WARNING are left out, except at level DEBUG.
    """
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(Readable() if target.isatty() else JsonLines(role))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(
            logging.NOTSET if settings.log_level.upper() == "DEBUG" else logging.WARNING
        )
    logging.getLogger("asyncio").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """nats-py's reader does not know that it reads TLS, so asyncio warns at every end of one."""
    return not str(record.msg).startswith("returning true from eof_received()")


class _Discreet(logging.Formatter):
    """Leaves the rows and parameters that a database driver quotes out of tracebacks."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return told(ei[1])


class JsonLines(_Discreet):
    """`time`, `level`, `role`, `logger`, `message`, the fields of `extra` as they are, and
    `exception`.
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "role": self._role,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except (
            orjson.JSONEncodeError
        ):  # a lone surrogate, or a number beyond 64 bits: the line matters more than its spelling
            return orjson.dumps({name: ascii(value) for name, value in line.items()}).decode()


class Readable(_Discreet):
    """`time LEVEL message  name=value …`, and the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = f"{_time(record)[11:23]} {record.levelname:<7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _time(record: logging.LogRecord) -> str:
    return rfc3339(datetime.fromtimestamp(record.created, UTC))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}
