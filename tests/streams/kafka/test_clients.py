"""A client whose start fails is closed with it, one whose broker falls silent notices, and one
whose broker is away does not ask for it all the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from pydantic import SecretStr

from connectors.local.engines.engine import RunningEngine
from streams.kafka import clients, connections
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.silence import AT_MOST, seconds_until_noticed

NOWHERE = Settings(
    kafka="127.0.0.1:1",
    postgres="postgresql://nowhere/none",
    nats="nats://nowhere:1",
    message_keys=(SecretStr("00" * 32),),
)


@pytest.mark.parametrize("make", [clients.consumer, clients.producer, clients.admin])
async def test_a_client_that_does_not_reach_kafka_is_closed(
    make: Callable[[Settings], Any],
) -> None:
    client = make(NOWHERE)
    with pytest.raises(KafkaConnectionError):
        async with client:
            raise AssertionError("it has started")
    assert client._closed


async def test_a_broker_that_falls_silent_is_noticed_within_ten_seconds(kafka: str) -> None:
    """By the kernel, which is told so for every connection; tests/faults/cut_off.py cuts some."""
    host, _, port = kafka.rpartition(":")
    connection = await create_conn(host, int(port))
    wire = connection._writer.get_extra_info("socket")
    assert seconds_until_noticed(wire) <= AT_MOST
    await connection.close()


@pytest.mark.parametrize("fault", [AttributeError, AssertionError, ValueError, KafkaTimeoutError])
async def test_a_client_outlives_whatever_goes_wrong_while_it_connects(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    """aiokafka's task that looks for brokers ends at an error that it does not expect, unseen; then
    the client waits for it for ever.
    """
    topic, connect, tried = Topics(settings).name(Name.EVENTS), connections._connect, 0

    async def confused(connection: AIOKafkaConnection) -> None:
        nonlocal tried
        tried += 1
        raise fault("an answer that nobody understands")

    async with clients.producer(settings) as producer:
        await producer.send_and_wait(topic, b"before")
        monkeypatch.setattr(connections, "_connect", confused)
        for connection in list(producer.client._conns.values()):
            connection.close()
        sending = await producer.send(topic, b"meanwhile")
        await eventually(lambda: tried > 3)
        monkeypatch.setattr(connections, "_connect", connect)
        async with asyncio.timeout(300):
            await sending


async def test_a_broker_that_is_away_is_tried_a_few_times_a_second(
    own_broker: RunningEngine, caplog: pytest.LogCaptureFixture
) -> None:
    """A producer with something to send has tried thousands of times in the same time."""
    topic = "some"
    raw_kafka.create_topics(own_broker.address, {topic: 1}, {})
    settings = NOWHERE.model_copy(update={"kafka": own_broker.address})
    async with clients.producer(settings) as producer:
        await producer.send_and_wait(topic, b"before")
        await asyncio.to_thread(own_broker.kill)
        sending = await producer.send(topic, b"meanwhile")
        away = 5
        await asyncio.sleep(away)  # how long it is away; nothing is waited for
        tried = [line for line in caplog.messages if line.startswith("Unable connect to node")]
        own_broker.start()
        await sending
    assert 1 <= len(tried) <= 20 * away
