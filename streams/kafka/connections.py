"""Two properties that every connection to Kafka has in this process, and that aiokafka does not
give it: one whose broker has fallen silent ends soon, and one that is closed is closed at once.
"""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection

from streams import silence

_CONNECT = 10  # seconds, with TLS and signing in
_connect, _close = AIOKafkaConnection.connect, AIOKafkaConnection.close


@wraps(_connect)
async def _connect_soon(connection: AIOKafkaConnection) -> Any:
    """Raises TimeoutError, and whatever aiokafka raises."""
    async with asyncio.timeout(_CONNECT):
        streams = await _connect(connection)
    silence.notice(connection._writer)
    return streams


@wraps(_close)
def _close_at_once(connection: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
    """Without TLS's goodbye: a broker that holds a fetch does not answer it, and asyncio would wait
    for 30 s (`ssl_shutdown_timeout`). Every request has been answered by now, or has failed.
    """
    writer = connection._writer
    if writer is not None and writer.get_extra_info("ssl_object") is not None:
        writer.transport.abort()
    return _close(connection, *arguments, **options)


def guard_connections() -> None:
    """For all connections of this process. A repeat changes nothing."""
    AIOKafkaConnection.connect, AIOKafkaConnection.close = _connect_soon, _close_at_once
