"""Four properties that every connection to Kafka has in this process, and that aiokafka does not
give it: one whose broker has fallen silent ends soon, one that is closed is closed at once, a
broker that cannot be reached is tried less and less often, and all that goes wrong while a
connection is opened is an error that aiokafka expects.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import wraps
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, KafkaError

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
    """Raises OSError and KafkaError, after a pause.

    Anything else would end aiokafka's task that looks for brokers, which nobody watches: from then
    on every producer and consumer of the client would wait for that task for ever.
    """
    address = connection.host, connection.port
    try:
        async with asyncio.timeout(_CONNECT):
            streams = await _connect(connection)
        if connection._writer is None:
            raise KafkaConnectionError("the broker closed the connection as soon as it was open")
        silence.notice(connection._writer)
    except (OSError, KafkaError):  # a TimeoutError is an OSError
        await _pause(address)
        raise
    except Exception as error:
        connection.close()
        await _pause(address)
        raise KafkaConnectionError(f"the broker was not understood: {error!r}") from error
    _failures.pop(address, None)
    return streams


async def _pause(address: tuple[str, int]) -> None:
    _failures[address] += 1
    await asyncio.sleep(min(_LONGEST, _PAUSE * 2 ** min(_failures[address], 10) / 2))


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
