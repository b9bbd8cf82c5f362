"""`campaigns.dead-letters.v1`: input that nobody could use, with reason, position and the original bytes. The stream goes on."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from streams.envelope import encode


def dead_letter(
    reason: str,
    code: str,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    payload: bytes | None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> tuple[bytes, bytes]:
    """Key and value. The key is the source position, so a repeat replaces its first."""
    value: dict[str, Any] = {
        "reason": reason,
        "code": code,
        "source": {"topic": topic, "partition": partition, "offset": offset, "timestamp": timestamp_ms},
        "payload": b64encode(payload or b"").decode(),
        "headers": {name: content.decode("utf-8", "replace") for name, content in headers},
    }
    return f"{topic}-{partition}-{offset}".encode(), encode(value)
