"""The broker's topics agree with the table after `create`, and every difference is named."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidTopicError
from confluent_kafka import Producer
from pydantic import SecretStr

from connectors.setup import topics
from streams.kafka import clients
from streams.settings import Settings
from streams.topics import TOPICS, Name, Topics
from tests.eventually import eventually
from tests.faults import raw_kafka

Step = Callable[[Settings], Awaitable[list[str]]]


@pytest.fixture
def empty(kafka: str) -> Settings:
    return Settings(
        kafka=kafka,
        postgres="postgresql://nowhere/none",
        nats="nats://nowhere:1",
        topic_prefix=f"t{secrets.token_hex(4)}-",
        partitions=2,
        message_keys=(SecretStr("00" * 32),),
    )


async def test_topics_are_created_once_and_agree_with_the_table(empty: Settings) -> None:
    assert len(await topics.differences(empty)) == len(TOPICS)
    assert len(await topics.create(empty)) == len(TOPICS)
    assert await topics.create(empty) == []
    assert await topics.differences(empty) == []
    await topics.delete(empty)
    await eventually(lambda: _all_missing(empty))


async def _all_missing(settings: Settings) -> bool:
    return len(await topics.differences(settings)) == len(TOPICS)


async def test_a_wrong_partition_count_is_named(empty: Settings) -> None:
    await topics.create(empty)
    found = await topics.differences(empty.model_copy(update={"partitions": 3}))
    assert (
        f"{empty.topic_prefix}campaigns.events.v1 has 2 partitions instead of 3;"
        " a topic's partitions never change live"
    ) in found
    # dead letters and marks have one partition whatever the setting, so theirs are not among them
    assert len(found) == len(TOPICS) - 2
    await topics.delete(empty)


@pytest.mark.parametrize(
    ("setting", "value", "after"),
    [
        ("retention.ms", "1000", "259200000"),
        ("retention.ms", "2592000000", "2592000000"),
        ("retention.ms", "-1", "-1"),
        ("max.message.bytes", "1000000", str(2 << 20)),
        ("max.message.bytes", str(8 << 20), str(8 << 20)),
        ("min.insync.replicas", "2", "2"),
        ("cleanup.policy", "compact", "delete"),
        ("unclean.leader.election.enable", "true", "false"),
        ("message.timestamp.after.max.ms", "9223372036854775807", "7200000"),
        ("message.timestamp.type", "LogAppendTime", "CreateTime"),
    ],
)
async def test_existing_topics_become_as_safe_as_the_table_and_no_less_safe(
    empty: Settings, setting: str, value: str, after: str
) -> None:
    grants = f"{empty.topic_prefix}campaigns.grants.v1"
    by_hand = {**TOPICS[Name.GRANTS].config, "flush.messages": "7", setting: value}
    await _create_by_hand(empty, NewTopic(grants, 2, 1, topic_configs=by_hand))
    await topics.create(empty)
    wanted = Topics(empty).config(Name.GRANTS)[setting]
    assert await topics.differences(empty) == (
        [] if after == wanted else [f"{grants} has {setting}={after} instead of {wanted}"]
    )
    assert await _setting(empty, grants, "flush.messages") == "7"
    await topics.delete(empty)


@pytest.mark.parametrize("is_unset", [True, False])
@pytest.mark.parametrize("name", [Name.COMMANDS, Name.INCOMING])
async def test_what_others_write_is_dated_by_the_broker(
    empty: Settings, name: Name, is_unset: bool
) -> None:
    await topics.create(empty)
    producer, topic = Producer({"bootstrap.servers": empty.kafka}), Topics(empty).name(name)
    before = time.time()
    hours_ahead = round((before + 3 * 3600) * 1000)
    producer.produce(topic, b"{}", partition=0, timestamp=1 if is_unset else hours_ahead)
    assert await asyncio.to_thread(producer.flush, 60) == 0
    [written], _ = await asyncio.to_thread(raw_kafka.read_all, empty.kafka, topic, 2)
    # that of the broker, which runs here: to within the time that a clock is adjusted by
    assert before - 60 < written.timestamp / 1000 < time.time() + 60
    await topics.delete(empty)


@pytest.mark.parametrize("step", [topics.create, topics.differences])
async def test_a_broker_that_has_not_heard_of_a_topic_is_asked_again(
    empty: Settings, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topics.create(empty)
    describe, asked = clients.Admin.describe_configs, list[int]()

    async def late(admin: clients.Admin, resources: list[ConfigResource]) -> list[Any]:
        asked.append(len(resources))
        if len(asked) == 1:
            resources = [
                *resources[1:],
                ConfigResource(ConfigResourceType.TOPIC, f"{resources[0].name}-not-heard-of"),
            ]
        answer: list[Any] = await describe(admin, resources)
        return answer

    monkeypatch.setattr(clients.Admin, "describe_configs", late)
    assert await step(empty) == []
    assert asked == [len(TOPICS)] * 2
    await topics.delete(empty)


@pytest.mark.parametrize("look", ["describe_topics", "describe_configs"])
async def test_a_topic_that_is_deleted_while_it_is_described_does_not_exist(
    empty: Settings, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topics.create(empty)
    describe, lost = getattr(clients.Admin, look), f"{empty.topic_prefix}{Name.GRANTS}"

    async def after_it_is_gone(admin: clients.Admin, asked: list[Any]) -> Any:
        if lost in await admin.list_topics():
            await admin.delete_topics([lost])
            await eventually(lambda: _is_gone(admin, lost))
        return await describe(admin, asked)

    monkeypatch.setattr(clients.Admin, look, after_it_is_gone)
    assert await topics.differences(empty) == [f"{lost} does not exist"]
    await topics.delete(empty)


async def _is_gone(admin: clients.Admin, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def test_what_a_broker_refuses_to_describe_is_an_error(
    empty: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await topics.create(empty)
    describe = clients.Admin.describe_configs

    async def misnamed(admin: clients.Admin, resources: list[ConfigResource]) -> list[Any]:
        wrong = ConfigResource(ConfigResourceType.TOPIC, "no/topic")
        answer: list[Any] = await describe(admin, [*resources, wrong])
        return answer

    monkeypatch.setattr(clients.Admin, "describe_configs", misnamed)
    with pytest.raises(InvalidTopicError):
        await topics.differences(empty)
    await topics.delete(empty)


async def test_more_copies_than_brokers_are_refused(empty: Settings) -> None:
    with pytest.raises(topics.ReplicationError, match=r"is 3, and the cluster has 1 broker$"):
        await topics.create(empty.model_copy(update={"replication_factor": 3}))
    assert await _all_missing(empty)


async def _setting(settings: Settings, topic: str, name: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        [answer] = await admin.describe_configs([resource])
    finally:
        await admin.close()
    values = {entry[0]: str(entry[1]) for *_, entries in answer.resources for entry in entries}
    return values[name]


async def _create_by_hand(settings: Settings, topic: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.create_topics([topic])
    finally:
        await admin.close()
