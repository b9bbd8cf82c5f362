"""What retention deletes before a mover has read it is counted by topic and logged; everything that
is left is read.
"""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from confluent_kafka import Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient

from agents.counting.project import Project
from streams import metrics
from streams.process.lag import Age
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.eventually import eventually
from tests.postgres import connect as connect_client
from tests.streams.process.copying_mover import Copying
from tests.streams.process.test_mover import copied, numbered, produce


def delete_before(settings: Settings, name: Name, offset: int) -> None:
    """As retention does, in every partition."""
    topic = Topics(settings).name(name)
    places = [Place(topic, partition, offset) for partition in range(settings.partitions)]
    admin = AdminClient({"bootstrap.servers": settings.kafka})  # its thread ends with it
    for done in admin.delete_records(places).values():
        done.result(300)


def lost(settings: Settings, name: Name) -> float:
    return float(metrics.LOST_TO_RETENTION.labels(Topics(settings).name(name))._value.get())


async def test_what_was_deleted_while_a_mover_was_away_is_counted_and_the_rest_is_read(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    one = settings.partitions
    produce(settings, *numbered(2 * one))
    async with Copying(settings) as mover:
        await eventually(lambda: mover.moved == 2 * one, within=300)
    assert lost(settings, Name.INCOMING) == 0
    later = [b"later %d" % number for number in range(5 * one)]
    produce(settings, *later)
    delete_before(settings, Name.INCOMING, 5)  # of 7: three of each partition that nobody has read
    with caplog.at_level(logging.ERROR):
        async with Copying(settings) as mover:
            await eventually(lambda: mover.moved == 2 * one, within=300)
    assert lost(settings, Name.INCOMING) == 3 * one
    said = [record.getMessage() for record in caplog.records if "retention" in record.getMessage()]
    assert sorted(said) == [
        f"retention has deleted 2..4 of TopicPartition(topic='{settings.topic_prefix}"
        f"pipeline.events.v1', partition={partition}) before they were processed"
        for partition in range(one)
    ]
    assert sorted(await copied(settings)) == sorted([*numbered(2 * one), *later[3 * one :]])


async def test_what_is_deleted_under_a_mover_that_runs_is_counted_too(settings: Settings) -> None:
    produce(settings, *numbered(10 * settings.partitions))
    async with Copying(settings) as mover:
        await eventually(lambda: mover.moved == 10 * settings.partitions, within=300)
        delete_before(settings, Name.INCOMING, 8)
        for partition in mover.consumer.assignment():
            mover.consumer.seek(partition, 1)  # as far as a slow one would be
        await eventually(lambda: mover.moved == 12 * settings.partitions, within=300)
    assert lost(settings, Name.INCOMING) == 7 * settings.partitions


async def test_positions_that_are_kept_in_postgresql_are_compared_too(settings: Settings) -> None:
    topic = Topics(settings).name(Name.FACTS)
    client = await connect_client(settings.postgres)
    await client.execute(
        "INSERT INTO projections (name, topic, partition, position)"
        " SELECT 'recipients', $1, p, 1 FROM generate_series(0, $2) p",
        *(topic, settings.partitions - 1),
    )
    await client.close()
    producer = Producer({"bootstrap.servers": settings.kafka})
    for number in range(4 * settings.partitions):
        producer.produce(topic, b"no fact", partition=number % settings.partitions)
    producer.flush(10)
    delete_before(settings, Name.FACTS, 4)
    async with Project(None, settings):
        await eventually(lambda: lost(settings, Name.FACTS) == 3 * settings.partitions, within=300)


def test_a_mover_that_reads_old_records_is_warned_about_once_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [1_000_000.0]
    age = Age("ingest", (Name.INCOMING, Name.GRANTS), lambda: now[0])
    assert age.half == 1.5 * 86_400  # the shorter of 7 and 3 days

    def saw(seconds: float) -> float:
        age.saw({"p": [SimpleNamespace(timestamp=(now[0] - seconds) * 1000)]})
        return float(metrics.OLDEST_UNREAD.labels("ingest")._value.get())

    assert saw(age.half) == age.half and not caplog.records
    for _ in range(3):
        assert saw(age.half + 60) == age.half + 60
    assert len(caplog.records) == 1 and "36 h old: retention deletes after 72 h" in caplog.text
    now[0] += 3601
    saw(age.half + 60)
    assert len(caplog.records) == 2
    assert saw(-5) == 0
    age.saw({})
    assert metrics.OLDEST_UNREAD.labels("ingest")._value.get() == 0
    assert Age("x", (Name.STATS,)).half == 0
