"""`campaigns.dead-letters.v1`: input that could not be used, with reason, position and the original
bytes. The stream goes on.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from streams.contracts.envelope import encode

# The record must fit into a batch, which holds 900 kB: a larger one would stop the stream.
_LONGEST = 500_000  # bytes; base64 makes 667 kB of it
_HEADERS, _LONGEST_HEADER = 20, 800  # at worst 192 kB of JSON, which escapes a character by six


def dead_letter(
    reason: str,
    code: str,
    topic: str,
    partition: int,
    offset: int,
    timestamp_ms: int,
    payload: bytes | None,
    headers: Sequence[tuple[str, bytes | None]] = (),
) -> tuple[bytes, bytes]:
    """Key and value. The key is the source position, so a repeat replaces its first.

    Of a huge record only the beginning is kept, and `size` says so: whole, it might not fit into a
    record, and would stop the stream.
    """
    payload = payload or b""
    value: dict[str, Any] = {
        "reason": reason,
        "code": code,
        "source": {
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "timestamp": timestamp_ms,
        },
        "payload": b64encode(payload[:_LONGEST]).decode(),
        "headers": {name[:_LONGEST_HEADER]: _text(content) for name, content in headers[:_HEADERS]},
    }
    if len(payload) > _LONGEST:
        value["size"] = len(payload)
    return f"{topic}-{partition}-{offset}".encode(), encode(value)


def _text(content: bytes | None) -> str:
    return (content or b"")[:_LONGEST_HEADER].decode(
        "utf-8", "replace"
    )  # Kafka allows a header without a value
