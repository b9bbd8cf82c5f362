"""What every connection to Kafka has in this process, and aiokafka does not give it: one whose
broker has fallen silent ends soon, and one that is closed is closed at once.
"""

from __future__ import annotations

import asyncio
import socket
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection

# Seconds. A broker that is frozen or busy still acknowledges: its kernel does. One that is cut off
# does not, and a request to it would be waited for until its own time-out, 40 s by default; then
# the next one.
_SILENT = 8
_CONNECT = 10  # with TLS and signing in
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    # of data that is not acknowledged: RFC 5482, https://man7.org/linux/man-pages/man7/tcp.7.html
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT * 1000),
)
_connect, _close = AIOKafkaConnection.connect, AIOKafkaConnection.close


@wraps(_connect)
async def _connect_soon(connection: AIOKafkaConnection) -> Any:
    """Raises TimeoutError, and whatever aiokafka raises."""
    async with asyncio.timeout(_CONNECT):
        streams = await _connect(connection)
    wire = connection._writer.get_extra_info("socket")
    for option in _OPTIONS:
        wire.setsockopt(*option)
    return streams


@wraps(_close)
def _close_at_once(connection: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
    """Without TLS's goodbye: a broker that holds a fetch does not answer it, and asyncio would wait
    for 30 s (`ssl_shutdown_timeout`). Whatever was asked has been answered by now, or has failed.
    """
    writer = connection._writer
    if writer is not None and writer.get_extra_info("ssl_object") is not None:
        writer.transport.abort()
    return _close(connection, *arguments, **options)


def guard_connections() -> None:
    """For all connections of this process. A repeat changes nothing."""
    AIOKafkaConnection.connect, AIOKafkaConnection.close = _connect_soon, _close_at_once
