"""The broker's topics agree with the table after `create`, and every difference is named."""

from __future__ import annotations

import secrets

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from connectors.setup import topics
from streams.settings import Settings
from streams.topics import TOPICS, Name
from tests.eventually import eventually


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


async def test_a_wrong_partition_count_and_a_wrong_setting_are_named(empty: Settings) -> None:
    grants = f"{empty.topic_prefix}campaigns.grants.v1"
    await _create_by_hand(
        empty,
        NewTopic(
            grants, 2, 1, topic_configs={**TOPICS[Name.GRANTS].config, "retention.ms": "1000"}
        ),
    )
    await topics.create(empty)
    assert await topics.differences(empty) == [
        f"{grants} has retention.ms=1000 instead of 259200000"
    ]

    found = await topics.differences(empty.model_copy(update={"partitions": 3}))
    assert (
        f"{empty.topic_prefix}campaigns.events.v1 has 2 partitions instead of 3;"
        " a topic's partitions never change live"
    ) in found
    assert len(found) == len(
        TOPICS
    )  # dead letters have one partition whatever the setting, so theirs is not among them
    await topics.delete(empty)


async def _create_by_hand(settings: Settings, topic: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.create_topics([topic])
    finally:
        await admin.close()
