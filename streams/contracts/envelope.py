"""The envelope of commands, results, lifecycle events and NATS messages, and the one way records
are spelled in JSON.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

SOURCE = "campaigns"
VERSION = "1.0"


class Record(
    msgspec.Struct, rename="camel", frozen=True, omit_defaults=True, kw_only=True, gc=False
):
    """A frozen value that crosses a process boundary: camelCase in JSON, fields that hold their
    default are left out.
    """


class Envelope(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The envelope around `data` on every public record (design: wire.md, section 2)."""

    tenant_id: str
    correlation_id: str
    timestamp: str
    data: dict[str, Any]
    version: str = VERSION
    source: str = SOURCE
    type: str = ""


def rfc3339(instant: datetime) -> str:
    """UTC with milliseconds, `2026-01-28T09:00:00.000Z`."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


encode = msgspec.json.Encoder().encode
