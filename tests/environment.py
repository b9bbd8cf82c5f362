"""Settings as the environment of a process that a test starts."""

from __future__ import annotations

import os

from streams.settings import Settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """This process's environment with what the fixture `settings` decided."""
    return {
        **os.environ,
        "CAMPAIGNS_KAFKA": settings.kafka,
        "CAMPAIGNS_POSTGRES": settings.postgres,
        "CAMPAIGNS_NATS": settings.nats,
        "CAMPAIGNS_TOPIC_PREFIX": settings.topic_prefix,
        "CAMPAIGNS_PARTITIONS": str(settings.partitions),
        "CAMPAIGNS_MESSAGE_KEYS": ",".join(key.get_secret_value() for key in settings.message_keys),
        **more,
    }
