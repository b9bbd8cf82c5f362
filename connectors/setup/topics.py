"""Creates Kafka's topics from the table in `streams/topics.py`, makes the settings of existing ones
as safe as there, and reports where the broker differs from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from streams.errors import CampaignError, Fate
from streams.kafka import clients
from streams.kafka.refusals import check
from streams.settings import Settings
from streams.topics import TOPICS, Topics

T = TypeVar("T")

_TIMEOUT = 30_000  # milliseconds
# Settings that may be larger than in the table: more is kept, taken, or in sync.
_AT_LEAST = ("retention.ms", "max.message.bytes", "min.insync.replicas")
_SET_FOR_THE_TOPIC = 1  # DescribeConfigs: the source of a value that is not a default


class ReplicationError(CampaignError):
    """The cluster cannot, or must not, keep as many copies as the settings ask for."""

    fate, status, code, title = Fate.STOP, 500, "replication", "Topics cannot be created so"


async def create(settings: Settings) -> list[str]:
    """Creates the missing topics and returns their names when the broker serves them; existing ones
    get the settings that keep them safe (`differences` names what is left).

    Raises aiokafka's `KafkaError`, and ReplicationError when there would be one copy on a cluster
    of several brokers, or more copies than brokers.
    """
    topics = Topics(settings)
    async with _admin(settings) as admin:
        _check_copies(topics.replication_factor, len((await admin.describe_cluster())["brokers"]))
        present = set(await admin.list_topics())
        wanted = [
            NewTopic(
                topics.name(name),
                topics.count(name),
                topics.replication_factor,
                topic_configs=dict(topics.config(name)),
            )
            for name in TOPICS
            if topics.name(name) not in present
        ]
        if wanted:
            answer = await admin.create_topics(wanted, timeout_ms=_TIMEOUT)
            for _, code, *_ in answer.topic_errors:
                if code and for_code(code) is not TopicAlreadyExistsError:
                    raise for_code(code)
            await _served(admin, [topic.name for topic in wanted])
        await _correct(admin, topics)
        return [topic.name for topic in wanted]


async def differences(settings: Settings) -> list[str]:
    """Returns a sentence for each way in which the broker's topics differ from the table; none when
    they agree.

    Raises aiokafka's `KafkaError`.
    """
    topics = Topics(settings)
    async with _admin(settings) as admin:
        return await _once_known(lambda: _differences(admin, topics))


async def _differences(admin: AIOKafkaAdminClient, topics: Topics) -> list[str]:
    names = {topics.name(name): name for name in TOPICS}
    present = set(await admin.list_topics()) & set(names)
    found = [f"{missing} does not exist" for missing in names if missing not in present]
    for described in await admin.describe_topics(sorted(present)) if present else []:
        if described["error_code"]:
            raise for_code(described["error_code"])(described["topic"])
        topic, count = described["topic"], len(described["partitions"])
        expected = topics.count(names[topic])
        if count != expected:
            found.append(
                f"{topic} has {count} partitions instead of {expected};"
                " a topic's partitions never change live"
            )
        copies = min((len(it["replicas"]) for it in described["partitions"]), default=0)
        if count and copies < topics.replication_factor:
            found.append(
                f"{topic} has {copies} copies instead of {topics.replication_factor};"
                " add some with Kafka's kafka-reassign-partitions"
            )
    for topic, configured in (await _configurations(admin, sorted(present))).items():
        for setting, expected_value in topics.config(names[topic]).items():
            value = configured[setting].value if setting in configured else None
            if value != expected_value:
                found.append(f"{topic} has {setting}={value} instead of {expected_value}")
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


def _check_copies(copies: int, brokers: int) -> None:
    if copies == 1 < brokers:
        raise ReplicationError(
            f"CAMPAIGNS_REPLICATION_FACTOR is 1 on a cluster of {brokers} brokers: whatever the one"
            f" copy is on is lost with its broker; set it to {min(3, brokers)}"
        )
    if copies > brokers:
        raise ReplicationError(
            f"CAMPAIGNS_REPLICATION_FACTOR is {copies}, and the cluster has {brokers} "
            + ("broker" if brokers == 1 else "brokers")
        )


async def _correct(admin: AIOKafkaAdminClient, topics: Topics) -> None:
    """Gives existing topics what they lack. A setting that a person has added stays, and so does a
    value that is safer than ours.
    """
    if not (changes := await _once_known(lambda: _corrections(admin, topics))):
        return
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, topic, configs=settings)
        for topic, settings in changes.items()
    ]
    for answer in await admin.alter_configs(resources):
        for code, message, *_ in answer.resources:
            if code:
                raise for_code(code)(message)
    deadline = time.monotonic() + _TIMEOUT / 1000
    # Kafka answers before its brokers know of it
    while await _once_known(lambda: _corrections(admin, topics)):
        if time.monotonic() > deadline:
            raise KafkaTimeoutError("the brokers do not take the settings of topics over")
        await asyncio.sleep(0.05)


async def _corrections(admin: AIOKafkaAdminClient, topics: Topics) -> dict[str, dict[str, str]]:
    """Of each topic that lacks something all that has to be set: what is not named is unset."""
    names, found = {topics.name(name): name for name in TOPICS}, dict[str, dict[str, str]]()
    for topic, configured in (await _configurations(admin, sorted(names))).items():
        wanted = {
            setting: value
            for setting, value in topics.config(names[topic]).items()
            if not _is_safe(setting, configured[setting].value, value)
        }
        if wanted:
            before = {name: it.value for name, it in configured.items() if it.is_set}
            found[topic] = {**before, **wanted}
    return found


def _is_safe(setting: str, value: str, wanted: str) -> bool:
    if setting not in _AT_LEAST:
        return value == wanted
    return int(value) < 0 or int(value) >= int(wanted)  # -1 is without an end


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


class _Configured(NamedTuple):
    value: str
    is_set: bool  # for this topic, not a default of the cluster


async def _configurations(
    admin: AIOKafkaAdminClient, names: list[str]
) -> dict[str, dict[str, _Configured]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    found = [it for each in await admin.describe_configs(resources) for it in each.resources]
    for code, said, *_ in found:
        if code:
            raise for_code(code)(said)
    return {name: _configured(entries) for *_, name, entries in found}


async def _once_known(look: Callable[[], Awaitable[T]]) -> T:
    """The result of `look` once brokers know of the same topics: any of them may answer, one that
    has not heard yet that a topic was created or deleted, too.
    """
    deadline = time.monotonic() + _TIMEOUT / 1000
    while True:
        try:
            return await look()
        except UnknownTopicOrPartitionError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


def _configured(entries: Sequence[Sequence[Any]]) -> dict[str, _Configured]:
    return {it[0]: _Configured(it[1], it[3] == _SET_FOR_THE_TOPIC) for it in entries}


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    async with AsyncExitStack() as stack:
        admin = clients.admin(settings, request_timeout_ms=_TIMEOUT)
        try:
            await stack.enter_async_context(admin)
        except KafkaConnectionError:
            await check(settings)
            raise
        yield admin
