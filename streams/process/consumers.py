"""The consumers of the bulk movers: members of a group that read committed records and commit their
positions themselves.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer

from streams.kafka import clients
from streams.settings import Settings

_MILLISECOND = timedelta(milliseconds=1)


def group_of(settings: Settings, mover: str) -> str:
    """The name of a mover's group: `<prefix>campaigns-<mover>`."""
    return f"{settings.topic_prefix}campaigns-{mover}"


def group_consumer(settings: Settings, mover: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer of the mover's group, not started, not subscribed. `options` are aiokafka's and
    win over these.

    A dead member's partitions move after `settings.session_timeout`, as those of the agents do.
    """
    common = {
        "enable_auto_commit": False,
        "isolation_level": "read_committed",
        "auto_offset_reset": "none",  # a jump would be silent loss: `Mover.read` makes it
        "fetch_max_wait_ms": 100,
        "max_partition_fetch_bytes": 2 << 20,
        "session_timeout_ms": settings.session_timeout // _MILLISECOND,
        "heartbeat_interval_ms": settings.heartbeat_interval // _MILLISECOND,
    }
    return clients.consumer(settings, group_id=group_of(settings, mover), **(common | options))
