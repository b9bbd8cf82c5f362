"""Three properties that every connection to Kafka has in this process, and that aiokafka does not
give it: one whose broker has fallen silent ends soon, one that is closed is closed at once, and a
broker that cannot be reached is tried less and less often.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError

from streams import silence

_CONNECT = 10  # seconds, with TLS and signing in
# Seconds that a failure to connect takes: the first one, twice as long each time, and the longest.
# Without them a worker whose broker was stopped tried 500 times a second, wrote 120 kB of log lines
# in it, and took the CPU that the broker needed to come back. Kafka's own clients wait as long
# (`reconnect.backoff.ms`, https://kafka.apache.org/documentation/#producerconfigs).
_PAUSE, _LONGEST = 0.05, 1.0
_failures: Counter[tuple[str, int]] = Counter()  # in a row, by address
_connect, _close = AIOKafkaConnection.connect, AIOKafkaConnection.close


@wraps(_connect)
async def _connect_soon(connection: AIOKafkaConnection) -> Any:
    """Raises TimeoutError, and whatever aiokafka raises, after a pause."""
    address = connection.host, connection.port
    try:
        async with asyncio.timeout(_CONNECT):
            streams = await _connect(connection)
    except (OSError, KafkaError):  # a TimeoutError is an OSError
        _failures[address] += 1
        await asyncio.sleep(min(_LONGEST, _PAUSE * 2 ** min(_failures[address], 10) / 2))
        raise
    _failures.pop(address, None)
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
