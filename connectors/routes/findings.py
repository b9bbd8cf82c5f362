"""A finding about one part of a route, and the record that would change it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """The parts of a route that are checked: those of the relay, then those of DNS."""

    CONNECTION = "connection"
    TLS = "tls"
    LOGIN = "login"
    PTR = "ptr"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    MX = "mx"


class Verdict(StrEnum):
    """`ERROR`: mail by this route would be refused, or is not protected; `WARNING`: some receivers
    may refuse it, or nobody can tell from here; `UNKNOWN`: there was no answer.
    """

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Record:
    """A record to set. `value` is None where only somebody else knows it, as the finding says."""

    name: str
    type: str
    value: str | None


@dataclass(frozen=True)
class Finding:
    """`subject` is the domain or the address that it is about, or the relay; `explanation` a
    sentence or two.
    """

    part: Part
    status: Verdict
    subject: str
    explanation: str
    record: Record | None = None
