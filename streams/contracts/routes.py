"""The settings of a route, a way out of one channel of a tenant."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from math import exp, log
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from streams.contracts.fields import MAX_INTEGER, Body, Duration, Switch
from streams.contracts.values.domains import sender_domain

#: Of a route: each of them is looked up in DNS when the route is checked.
MOST_DOMAINS = 20
_MOST_TAGS = 20
_LONGEST_HOST = 253  # RFC 1035, section 2.3.4, as a text
# Some networks name their machines with an underscore.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_AGE = timedelta(days=7)
_ROUNDING = 1e-6  # of a logarithm and back
_DURATIONS = TypeAdapter(timedelta)

Tls = Literal["starttls", "tls", "none"]


def _host(value: str) -> str:
    text = value.strip().lower().removesuffix(".")
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        labels = text.split(".")
    # A number at the end would be read as an address in one of its old spellings (127.1).
    is_name = all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])
    if not is_name or len(text) > _LONGEST_HOST:
        raise ValueError(
            "must be the name of a server in ASCII, such as smtp.example.com, or its address,"
            f" without a port or a path, of at most {_LONGEST_HOST} characters"
        )
    return text


def _distinct(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _age(value: str) -> str:
    if _DURATIONS.validate_python(value) > _LONGEST_AGE:
        raise ValueError(f"must be at most P{_LONGEST_AGE.days}D")
    return value


_Domain = Annotated[str, StringConstraints(max_length=255), AfterValidator(sender_domain)]
_Domains = Annotated[
    list[_Domain], Field(min_length=1, max_length=MOST_DOMAINS), AfterValidator(_distinct)
]
_Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
_Tags = Annotated[list[_Tag], Field(max_length=_MOST_TAGS), AfterValidator(_distinct)]
# As IMAP spells the name (RFC 3501, section 5.1.3); it is sent between quotation marks.
_Folder = Annotated[str, StringConstraints(pattern=r"^[ !#-\[\]-~]{1,200}$")]
_Rate = Annotated[int, Field(strict=True, ge=1, le=MAX_INTEGER)]


class RouteLimits(Body):
    """The most that the route takes; null = no limit of its own."""

    per_second: _Rate | None = None
    per_hour: _Rate | None = None
    per_day: _Rate | None = None
    connections: Annotated[int, Field(strict=True, ge=1, le=100)] = 8
    messages_per_connection: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 100


class Warmup(Body):
    """A new route is trusted slowly: `perHour` on the first day, and `factor` times as much on each
    day after it. `overflow`: what is more than that waits, or goes to the next route.
    """

    starts_at: date
    per_hour: _Rate = 20
    factor: Annotated[float, Field(gt=1, le=10)] = 1.4
    overflow: Literal["wait", "next"] = "wait"

    def per_hour_at(self, at: datetime) -> int:
        """The limit on the day of this time, in UTC; that of the first day before it."""
        days = max(0, (at.astimezone(UTC).date() - self.starts_at).days)
        grown = log(self.per_hour) + days * log(self.factor)
        return MAX_INTEGER if grown >= log(MAX_INTEGER) else int(exp(grown) + _ROUNDING)


class Retry(Body):
    """How long a message that is put off is tried again."""

    max_age: Annotated[Duration, AfterValidator(_age)] = "P1D"

    @property
    def longest(self) -> timedelta:
        """`max_age` as a time."""
        return _DURATIONS.validate_python(self.max_age)


class BounceMailbox(Body):
    """A mailbox that bounces are read from by IMAP (RFC 9051). Mails that were read are marked so,
    and moved to the folder `moveTo`; null leaves them where they are. None is ever deleted.
    """

    host: Annotated[str, StringConstraints(max_length=300), AfterValidator(_host)]
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)] = 993
    tls: Literal["tls", "none"] = "tls"
    allow_plaintext: Switch = False
    folder: _Folder = "INBOX"
    move_to: _Folder | None = None

    @property
    def destination(self) -> tuple[object, ...]:
        """Where credentials are sent, and how they are protected on the way."""
        return (self.host, self.port, self.tls, self.allow_plaintext)


class Bounces(Body):
    """Mails come back to addresses of `domain`, each of which names its message."""

    domain: _Domain
    imap: BounceMailbox | None = None


class RouteSettings(Body):
    """A relay that takes email by SMTP. `priority`: the lowest number is taken first; `weight`: the
    share among routes of the same priority. `onDoubt`: what becomes of a message that was handed
    over and never answered.
    """

    channel: Literal["email"]
    provider: Literal["smtp"]
    host: Annotated[str, StringConstraints(max_length=300), AfterValidator(_host)]
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)]
    tls: Tls = "starttls"
    allow_plaintext: Switch = Field(
        False, description="tls `none` also to a public address, where anybody on the way reads it"
    )
    from_domains: _Domains
    priority: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 1
    weight: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 100
    tags: _Tags = Field(default_factory=list)
    limits: RouteLimits = RouteLimits()
    warmup: Warmup | None = None
    retry: Retry = Retry()
    on_doubt: Literal["resend", "hold", "drop"] = "resend"
    bounces: Bounces | None = None

    @property
    def destination(self) -> tuple[object, ...]:
        """Where credentials are sent, and how they are protected on the way."""
        return (self.provider, self.host, self.port, self.tls, self.allow_plaintext)
