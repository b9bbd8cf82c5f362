"""Reading of partitions up to ends that are known beforehand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaTimeoutError

Take = Callable[[TopicPartition, Sequence[Any]], None]


async def read(
    consumer: AIOKafkaConsumer,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    patience: float,
    take: Take,
) -> None:
    """Assign the partitions of `starts` and read each from there to its end. The records of each
    fetch go to `take`, in order; the last of them may lie behind the end.

    Raises KafkaTimeoutError when nothing moves for `patience` seconds.
    """
    consumer.assign(list(starts))
    for tp, start in starts.items():
        consumer.seek(tp, start)
    at, alive = dict(starts), time.monotonic()
    # the tail may be markers or aborted records: wait for a position, not a record
    while any(at[tp] < ends[tp] for tp in starts):
        for tp, records in (await consumer.getmany(timeout_ms=100)).items():
            take(tp, records)
        before, at = at, {tp: await consumer.position(tp) for tp in starts}
        alive = time.monotonic() if at != before else alive
        if time.monotonic() - alive > patience:
            raise KafkaTimeoutError(f"at {at} of {ends}")
