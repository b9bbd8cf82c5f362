"""The number of partitions of each topic as the broker has it, compared with the settings: a
process that counts otherwise would put records where their owner never looks.
"""

from __future__ import annotations

from aiokafka.errors import KafkaError

from streams.kafka import clients
from streams.settings import Settings
from streams.topics import TOPICS, Topics

_PATIENCE = 5_000  # milliseconds


async def wrong_counts(settings: Settings) -> list[str]:
    """A sentence for each topic that exists with another number of partitions than
    CAMPAIGNS_PARTITIONS says. Raises aiokafka's KafkaError.
    """
    topics = Topics(settings)
    expected = {topics.name(name): topics.count(name) for name in TOPICS}
    async with clients.admin(settings, request_timeout_ms=_PATIENCE) as admin:
        # asking for a topic that does not exist could make it
        present = sorted(set(expected) & set(await admin.list_topics()))
        described = await admin.describe_topics(present) if present else []
    counts = {
        topic["topic"]: len(topic["partitions"]) for topic in described if topic["partitions"]
    }
    return [
        f"{topic} has {count} partitions instead of {expected[topic]} (CAMPAIGNS_PARTITIONS);"
        " a topic's partitions never change live"
        for topic, count in counts.items()
        if count != expected[topic]
    ]


async def refused(settings: Settings) -> str:
    """Why a process with these settings must not start, in one sentence naming one topic; "" when
    all counts agree, and when Kafka is away: agents and movers compare again when they read.
    """
    try:
        wrong = await wrong_counts(settings)
    except (KafkaError, OSError):
        return ""
    more = f" (and {len(wrong) - 1} more topics)" if len(wrong) > 1 else ""
    return wrong[0] + more if wrong else ""
