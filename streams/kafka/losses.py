"""Input that Kafka deleted before it was read: the one place that counts and logs it, for agents
and movers.
"""

from __future__ import annotations

import logging

from aiokafka import TopicPartition

from streams import metrics

_log = logging.getLogger(__name__)


def lost_to_retention(partition: TopicPartition, position: int, beginning: int) -> None:
    """Note that reading goes on at `beginning` although only what is below `position` was read."""
    metrics.LOST_TO_RETENTION.labels(partition.topic).inc(beginning - position)
    _log.error(
        "retention has deleted %d..%d of %s before they were processed",
        position,
        beginning - 1,
        partition,
        extra={
            "topic": partition.topic,
            "partition": partition.partition,
            "lost": beginning - position,
        },
    )
