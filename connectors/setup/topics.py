"""Creates Kafka's topics from the table in `streams/topics.py`, and reports where the broker
differs from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    for_code,
)

from streams.kafka import clients
from streams.kafka.refusals import check
from streams.settings import Settings
from streams.topics import TOPICS, Topics

_TIMEOUT = 30_000  # milliseconds


async def create(settings: Settings) -> list[str]:
    """Creates the missing topics and returns their names when the broker serves them. Existing
    topics are left as they are.

    Raises aiokafka's `KafkaError`.
    """
    topics = Topics(settings)
    async with _admin(settings) as admin:
        present = set(await admin.list_topics())
        wanted = [
            NewTopic(
                topics.name(name),
                topics.count(name),
                topics.replication_factor,
                topic_configs=dict(topic.config),
            )
            for name, topic in TOPICS.items()
            if topics.name(name) not in present
        ]
        if wanted:
            answer = await admin.create_topics(wanted, timeout_ms=_TIMEOUT)
            for _, code, *_ in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise for_code(code)
            await _served(admin, [topic.name for topic in wanted])
        return [topic.name for topic in wanted]


async def differences(settings: Settings) -> list[str]:
    """Returns a sentence for each way in which the broker's topics differ from the table; none when
    they agree.

    Raises aiokafka's `KafkaError`.
    """
    topics = Topics(settings)
    names = {topics.name(name): name for name in TOPICS}
    async with _admin(settings) as admin:
        present = set(await admin.list_topics()) & set(names)
        found = [f"{missing} does not exist" for missing in names if missing not in present]
        for described in await admin.describe_topics(sorted(present)) if present else []:
            topic, count = described["topic"], len(described["partitions"])
            expected = topics.count(names[topic])
            if count != expected:
                found.append(
                    f"{topic} has {count} partitions instead of {expected};"
                    " a topic's partitions never change live"
                )
        for topic, configured in (await _configurations(admin, sorted(present))).items():
            for setting, expected_value in TOPICS[names[topic]].config.items():
                if configured.get(setting) != expected_value:
                    found.append(
                        f"{topic} has {setting}={configured.get(setting)}"
                        f" instead of {expected_value}"
                    )
    return found


async def delete(settings: Settings) -> None:
    """Deletes every topic of this prefix that is in the table, with all its records. Raises
    aiokafka's `KafkaError`.
    """
    topics = Topics(settings)
    async with _admin(settings) as admin:
        present = set(await admin.list_topics())
        doomed = [topics.name(name) for name in TOPICS if topics.name(name) in present]
        if doomed:
            await admin.delete_topics(doomed, timeout_ms=_TIMEOUT)


async def _served(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """Returns when every partition has a leader: Kafka answers a creation before its brokers know
    of it.
    """
    deadline = time.monotonic() + _TIMEOUT / 1000
    while True:
        described = await admin.describe_topics(names)
        is_served = all(
            not topic["error_code"]
            and topic["partitions"]
            and all(it["leader"] >= 0 for it in topic["partitions"])
            for topic in described
        )
        if is_served and len(described) == len(names):
            return
        if time.monotonic() > deadline:
            raise KafkaTimeoutError(f"the new topics have no leaders after {_TIMEOUT / 1000:.0f} s")
        await asyncio.sleep(0.05)


async def _configurations(
    admin: AIOKafkaAdminClient, names: list[str]
) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    )
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for _, _, _, name, entries in answer.resources
    }


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = clients.admin(settings, request_timeout_ms=_TIMEOUT)
    try:
        await admin.start()
    except KafkaConnectionError:
        await check(settings)
        raise
    try:
        yield admin
    finally:
        await admin.close()
