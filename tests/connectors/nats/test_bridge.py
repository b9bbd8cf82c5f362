"""The bridge on real Kafka, PostgreSQL and NATS: what it publishes, and what faults cannot change
about it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import nats
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.nats import Nats
from connectors.nats.bridge import Bridge
from connectors.nats.failures import NatsDownError
from connectors.nats.jetstream import JetStreamConnection
from streams.contracts.envelope import Envelope, encode
from streams.records.facts import Batch, Group, Kind, encode_batch, pack
from streams.records.message_id import MessageIds
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tests.connectors.nats.jetstream_reader import Stored, count, stored
from tests.environment import environment
from tests.eventually import eventually
from tests.postgres import connect as connect_client

TENANT = "acme"
BASE = 1_800_000_000  # Unix seconds


@asynccontextmanager
async def kafka_producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all") as producer:
        yield producer


async def make_campaign(settings: Settings, channel: str = "email") -> tuple[int, UUID]:
    connection = await connect_client(settings.postgres)
    try:
        row = await connection.fetchrow(
            "INSERT INTO campaigns (tenant_id, name, channel, created_by, key_epoch) "
            "VALUES ($1, 'n', $2::text::campaign_channel, $3, 0) RETURNING number, id",
            TENANT,
            channel,
            uuid4(),
        )
        assert row is not None
        return row["number"], row["id"]
    finally:
        await connection.close()


async def send_event(
    producer: AIOKafkaProducer, settings: Settings, kind: str, campaign: UUID, identity: str
) -> None:
    topics = Topics(settings)
    envelope = Envelope(
        tenant_id=TENANT,
        correlation_id="c1",
        timestamp="2026-01-28T09:00:00.000Z",
        data={"campaignId": str(campaign)},
    )
    await producer.send_and_wait(
        topics.name(Name.EVENTS),
        encode(envelope),
        key=str(campaign).encode(),
        partition=topics.partition(str(campaign)),
        headers=[("type", kind.encode()), ("id", identity.encode())],
    )


async def send_outcomes(
    producer: AIOKafkaProducer, settings: Settings, number: int, shard: int, groups: Sequence[Group]
) -> None:
    topics = Topics(settings)
    value = encode_batch(Batch(TENANT, number, shard, BASE, tuple(groups)))
    partition = topics.shard_partition(number, shard)
    await producer.send_and_wait(
        topics.name(Name.MESSAGE_EVENTS), value, key=shard_key(number, shard), partition=partition
    )


def delivered(ordinals: range) -> Group:
    return Group(Kind.DELIVERED, pack(ordinals), pack(0 for _ in ordinals))


def stream(settings: Settings) -> str:
    return f"{settings.topic_prefix}CAMPAIGNS"


async def all_stored(settings: Settings, expected: int, within: float = 300) -> list[Stored]:
    async def arrived() -> bool:
        return await count(settings.nats, stream(settings)) >= expected

    await eventually(arrived, within)
    return await stored(settings.nats, stream(settings))


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[RunningEngine]:
    """A server of this test's own, to be killed."""
    engine = RunningEngine(Nats(tmp_path / "nats", free_port(), OPEN), tmp_path / "nats.log")
    engine.start()
    yield engine
    engine.stop()


async def test_lifecycle_events_keep_their_id_their_order_and_their_bytes(
    settings: Settings,
) -> None:
    campaign = uuid4()
    kinds = [
        "campaign.created",
        "campaign.started",
        "campaign.paused",
        "campaign.resumed",
        "campaign.completed",
    ]
    async with kafka_producer(settings) as producer, Bridge(None, settings):
        for kind in kinds:
            await send_event(producer, settings, kind, campaign, f"event-{kind}")
        messages = await all_stored(settings, len(kinds))
    assert [message.subject for message in messages] == [
        settings.topic_prefix + kind for kind in kinds
    ]
    assert [message.message_id for message in messages] == [f"event-{kind}" for kind in kinds]
    assert {message.tenant_id for message in messages} == {TENANT}
    assert messages[0].payload["data"] == {"campaignId": str(campaign)}


async def test_every_kind_of_outcome_is_published_with_its_own_fields(settings: Settings) -> None:
    number, campaign = await make_campaign(settings)
    one = (pack([7]), pack([2]))
    groups = [
        Group(Kind.SENT, *one, "B"),
        Group(Kind.ACCEPTED, *one),
        Group(Kind.DELIVERED, *one),
        Group(Kind.OPENED, *one),
        Group(Kind.MACHINE_OPENED, *one),
        Group(Kind.CLICKED, *one, None, 'https://example.com/?a=100%&b="x"'),
        Group(Kind.BOUNCED, *one, None, "hard:mailbox full"),
        Group(Kind.BOUNCED, pack([8]), pack([2]), None, ":550 5.1.1: no such user"),
        Group(Kind.SKIPPED, *one, None, "suppressed"),
        Group(Kind.UNSUBSCRIBED, *one),
    ]
    async with kafka_producer(settings) as producer, Bridge(None, settings):
        await send_outcomes(producer, settings, number, 3, groups)
        messages = await all_stored(settings, len(groups))
    message_id = MessageIds.of(settings).make(number, 3 * 65536 + 7, TENANT, 0)
    by_suffix = {
        message.message_id.removeprefix(message_id + ":"): message
        for message in messages
        if message.message_id.startswith(message_id)
    }
    assert set(by_suffix) == {
        "sent",
        "accepted",
        "delivered",
        "opened",
        "machine-opened",
        "clicked",
        "bounced",
        "skipped",
        "unsubscribed",
    }
    sent = by_suffix["sent"]
    at = "2027-01-15T08:00:02.000Z"
    assert sent.subject == settings.topic_prefix + "campaign.message.sent"
    assert sent.payload == {
        "version": "1.0",
        "source": "campaigns",
        "type": "campaign.message.sent",
        "tenantId": TENANT,
        "correlationId": message_id,
        "timestamp": at,
        "data": {
            "campaignId": str(campaign),
            "messageId": message_id,
            "recipientNumber": 3 * 65536 + 7,
            "at": at,
            "channel": "email",
            "variantId": "B",
        },
    }
    assert by_suffix["opened"].payload["data"]["isMachine"] is False
    assert by_suffix["machine-opened"].payload["data"]["isMachine"] is True
    assert by_suffix["machine-opened"].subject == by_suffix["opened"].subject
    assert by_suffix["clicked"].payload["data"]["url"] == 'https://example.com/?a=100%&b="x"'
    bounced = by_suffix["bounced"].payload["data"]
    assert (bounced["bounceType"], bounced["reason"]) == ("hard", "mailbox full")
    (untyped,) = [
        message.payload["data"]
        for message in messages
        if not message.message_id.startswith(message_id)
    ]
    assert "bounceType" not in untyped and untyped["reason"] == "550 5.1.1: no such user"
    assert by_suffix["skipped"].payload["data"]["reason"] == "suppressed"


async def test_a_second_bridge_goes_on_where_the_first_stopped(settings: Settings) -> None:
    number, _ = await make_campaign(settings)
    async with kafka_producer(settings) as producer:
        async with Bridge(None, settings):
            await send_outcomes(producer, settings, number, 0, [delivered(range(100))])
            await all_stored(settings, 100)
            await eventually(lambda: is_committed(settings), 300)
        await send_outcomes(producer, settings, number, 0, [delivered(range(100, 150))])
        second = Bridge(None, settings)
        async with second:
            await all_stored(settings, 150)
            assert second.publisher.duplicates == 0


async def is_committed(settings: Settings) -> bool:
    """Whether everything in the outcomes topic has been committed by the bridge's group."""
    topic = settings.topic_prefix + Name.MESSAGE_EVENTS
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, group_id=f"{settings.topic_prefix}campaigns-bridge"
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        ends = await consumer.end_offsets(partitions)
        return all([ends[p] == 0 or await consumer.committed(p) == ends[p] for p in partitions])


async def test_poison_goes_to_the_dead_letters_and_the_stream_goes_on(settings: Settings) -> None:
    number, _ = await make_campaign(settings)
    topics = Topics(settings)
    uneven = encode_batch(
        Batch(TENANT, number, 0, BASE, (Group(Kind.SENT, pack([1, 2]), pack([1])),))
    )
    foreign = encode_batch(Batch("globex", number, 0, BASE, (delivered(range(1)),)))
    unknown = encode_batch(Batch(TENANT, number + 999, 0, BASE, (delivered(range(1)),)))
    async with kafka_producer(settings) as producer, Bridge(None, settings):
        for poison in (b"\xc1", b"", None, uneven, foreign, unknown):
            await producer.send_and_wait(
                topics.name(Name.MESSAGE_EVENTS),
                poison,
                key=b"k",
                partition=topics.shard_partition(number, 0),
            )
        for headers in (
            [("type", b"campaign.x y"), ("id", b"1")],
            [("type", b"campaign.started"), ("id", b"a\r\nb")],
            [],
        ):
            body = encode({"tenantId": TENANT})
            await producer.send_and_wait(
                topics.name(Name.EVENTS), body, key=b"k", partition=0, headers=headers
            )
        await send_outcomes(producer, settings, number, 0, [delivered(range(5))])
        assert len(await all_stored(settings, 5)) == 5
    async with AIOKafkaConsumer(
        topics.name(Name.DEAD_LETTERS),
        bootstrap_servers=settings.kafka,
        auto_offset_reset="earliest",
    ) as reader:
        letters = [await reader.getone() for _ in range(9)]
    assert len({letter.key for letter in letters}) == 9


async def test_killed_nats_gets_everything_once(
    settings: Settings, own_nats: RunningEngine
) -> None:
    settings = settings.model_copy(update={"nats": own_nats.address})
    number, _ = await make_campaign(settings)
    async with kafka_producer(settings) as producer, Bridge(None, settings):
        for round_ in range(4):
            for shard in range(4):
                await send_outcomes(
                    producer,
                    settings,
                    number,
                    shard,
                    [delivered(range(round_ * 3000, round_ * 3000 + 3000))],
                )
            own_nats.kill()
            own_nats.start()
        messages = await all_stored(settings, 4 * 4 * 3000, within=300)
    assert len({message.message_id for message in messages}) == len(messages) == 48_000


async def test_wiped_storage_is_filled_again_from_kafka(
    settings: Settings, own_nats: RunningEngine, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"nats": own_nats.address})
    number, campaign = await make_campaign(settings)
    async with kafka_producer(settings) as producer, Bridge(None, settings) as bridge:
        await send_event(producer, settings, "campaign.started", campaign, "e1")
        await send_outcomes(producer, settings, number, 0, [delivered(range(2000))])
        await all_stored(settings, 2001)
        first = bridge.publisher.identity
        own_nats.kill()
        shutil.rmtree(tmp_path / "nats")
        own_nats.start()
        await send_outcomes(producer, settings, number, 0, [delivered(range(2000, 2500))])
        messages = await all_stored(settings, 2501, within=300)
        assert bridge.publisher.identity != first
    assert len({message.message_id for message in messages}) == len(messages) == 2501


async def test_storage_wiped_while_the_bridge_was_away_is_filled_again(
    settings: Settings, own_nats: RunningEngine, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"nats": own_nats.address})
    number, _ = await make_campaign(settings)
    async with kafka_producer(settings) as producer:
        async with Bridge(None, settings):
            await send_outcomes(producer, settings, number, 0, [delivered(range(500))])
            await all_stored(settings, 500)
            await eventually(lambda: is_committed(settings), 300)
        own_nats.kill()
        shutil.rmtree(tmp_path / "nats")
        own_nats.start()
        async with Bridge(None, settings):
            assert len(await all_stored(settings, 500)) == 500


async def test_killed_bridge_repeats_nothing_within_the_duplicate_window(
    settings: Settings, tmp_path: Path
) -> None:
    number, _ = await make_campaign(settings)
    async with kafka_producer(settings) as producer:
        await send_outcomes(producer, settings, number, 0, [delivered(range(5000))])
        with bridge_process(settings, tmp_path, crash="bridge:stored:1") as doomed:
            assert doomed.wait(120) == -signal.SIGKILL
        assert await count(settings.nats, stream(settings)) == 5000
        with bridge_process(settings, tmp_path):
            await send_outcomes(producer, settings, number, 1, [delivered(range(10))])
            messages = await all_stored(settings, 5010, within=300)
    assert len({message.message_id for message in messages}) == len(messages) == 5010


class bridge_process:  # noqa: N801  # reads as a verb: with bridge_process(...)
    """`tests.connectors.nats.bridge_process` as a process, killed at the end."""

    def __init__(self, settings: Settings, folder: Path, crash: str = "") -> None:
        variables = environment(
            settings, CAMPAIGNS_CRASH=crash, CAMPAIGNS_READY_FILE=str(folder / "ready.json")
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.connectors.nats.bridge_process"], env=variables
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


async def test_a_stream_with_a_short_duplicate_window_is_corrected(settings: Settings) -> None:
    client = await nats.connect(settings.nats)
    try:
        await client.jsm().add_stream(
            name=stream(settings),
            subjects=[f"{settings.topic_prefix}campaign.created"],
            duplicate_window=60,
        )
        async with kafka_producer(settings) as producer, Bridge(None, settings):
            await send_event(producer, settings, "campaign.started", uuid4(), "e1")
            await all_stored(settings, 1)
        config = (await client.jsm().stream_info(stream(settings))).config
        assert config.duplicate_window == 600
        assert f"{settings.topic_prefix}campaign.>" in (config.subjects or [])
    finally:
        await client.close()


async def test_no_server_is_an_error_that_can_be_retried() -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    keys = (SecretStr("00" * 32),)
    with pytest.raises(NatsDownError):
        await JetStreamConnection.open(
            Settings(kafka="", postgres="", nats=nowhere, message_keys=keys)
        )
