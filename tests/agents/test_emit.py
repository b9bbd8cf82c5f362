"""Emission on a real broker and a real database, compared with what SQL says the audience is, by another Kafka client."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka import Producer

from streams.envelope import encode
from streams.facts import Kind, decode_batch, unpack
from streams.message_id import SHARD_SIZE, MessageIds
from streams.messages import Message, decode_message
from streams.sending import CHUNK, BatchSent, Grant, Retire, decode_sending, lane
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.agents import audience
from tests.agents.audience import Campaign
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.workers import Role, Slot, Worker

POINTS = ("read:1", "composed:2", "body:2", "begun:2", "before-commit:2", "after-commit:2", "restore:1")


def environment(settings: Settings) -> dict[str, str]:
    return {
        "CAMPAIGNS_KAFKA": settings.kafka,
        "CAMPAIGNS_POSTGRES": settings.postgres,
        "CAMPAIGNS_NATS": settings.nats,
        "CAMPAIGNS_MESSAGE_KEYS": ",".join(key.get_secret_value() for key in settings.message_keys),
        "CAMPAIGNS_TOPIC_PREFIX": settings.topic_prefix,
        "CAMPAIGNS_PARTITIONS": str(settings.partitions),
    }


@asynccontextmanager
async def emitting(settings: Settings, folder: Path, *points: str) -> AsyncIterator[Slot]:
    """A supervised worker; it meets the crash points one after the other."""
    worker = Worker("emit", folder / "emit.log", environment(settings), module="tests.agents.emit_process")
    slot = Slot(Role("emit", list(points)), worker)
    task = asyncio.create_task(slot.supervise())
    try:
        yield slot
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if worker.process is not None:
            await worker.stop()


class Grants:
    """Sends grants as the throttle would."""

    def __init__(self, settings: Settings) -> None:
        self._producer, self._topics = Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0}), Topics(settings)

    def send(self, record: bytes, partition: int) -> None:
        self._producer.produce(self._topics.name(Name.GRANTS), record, partition=partition)

    def grant(self, campaign: Campaign, ranges: Iterable[tuple[int, int]], variant: str | None = None) -> None:
        for start, stop in ranges:
            grant = Grant(
                tenant_id=campaign.tenant, campaign_id=campaign.id, number=campaign.number, start=start, stop=stop, variant_id=variant
            )
            self.send(encode(grant), lane(start, self._topics.partitions))
        self._producer.flush(10)

    def retire(self, campaign: Campaign) -> None:
        for partition in range(self._topics.partitions):
            self.send(encode(Retire(tenant_id=campaign.tenant, number=campaign.number)), partition)
        self._producer.flush(10)


def pieces(size: int, step: int) -> list[tuple[int, int]]:
    """Ranges of at most `step` that never cross a chunk."""
    return [
        (start, min(start + step, chunk + CHUNK, size))
        for chunk in range(0, size, CHUNK)
        for start in range(chunk, min(chunk + CHUNK, size), step)
    ]


@dataclass
class Log:
    """What a read_committed reader finds, by campaign number."""

    messages: defaultdict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))
    sent: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))  # ordinals of the facts
    skipped: defaultdict[int, list[tuple[int, str | None]]] = field(default_factory=lambda: defaultdict(list))
    feedback: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    dead: dict[bytes, bytes] = field(default_factory=dict)

    def is_complete(self, campaigns: Iterable[Campaign]) -> bool:
        return all(self.feedback[c.number]["sent"] + self.feedback[c.number]["skipped"] >= c.size for c in campaigns)


def read(settings: Settings) -> Log:
    topics, log = Topics(settings), Log()
    ids = MessageIds.of(settings)

    def records(name: Name, count: int) -> Iterable[raw_kafka.Raw]:
        return (record for partition in raw_kafka.read_all(settings.kafka, topics.name(name), count) for record in partition)

    for record in records(Name.MESSAGES, settings.partitions):
        assert record.value is not None
        message = decode_message(record.value)
        number, ordinal = ids.verify(message.message_id, message.tenant_id)
        assert (ordinal, record.key) == (message.recipient_number, message.message_id.encode())
        assert record.partition == lane(ordinal, settings.partitions)
        log.messages[number].append(message)
    for record in records(Name.FACTS, settings.partitions):
        assert record.value is not None
        batch = decode_batch(record.value)
        assert record.partition == topics.shard_partition(batch.number, batch.shard)
        for group in batch.groups:
            ordinals = [batch.shard * SHARD_SIZE + within for within in unpack(group.ordinals)]
            assert len(unpack(group.seconds)) == len(ordinals)
            if group.kind is Kind.SENT:
                log.sent[batch.number] += ordinals
            else:
                log.skipped[batch.number] += [(ordinal, group.detail) for ordinal in ordinals]
    read_feedback(settings, log)
    log.dead = {record.key or b"": record.value or b"" for record in records(Name.DEAD_LETTERS, 1)}
    return log


def read_feedback(settings: Settings, log: Log) -> None:
    topics = Topics(settings)
    for partition, records in enumerate(raw_kafka.read_all(settings.kafka, topics.name(Name.SENDING), settings.partitions)):
        for record in records:
            sent = decode_sending(record.value or b"")
            assert isinstance(sent, BatchSent)
            assert partition == topics.partition(sent.tenant_id)
            log.feedback[sent.number].update(sent=sent.sent, skipped=sent.skipped)


async def complete(settings: Settings, *campaigns: Campaign, within: float = 60) -> Log:
    """The log, once every ordinal of these campaigns is reported to the throttle."""

    async def is_reported() -> bool:
        log = Log()
        await asyncio.to_thread(read_feedback, settings, log)
        return log.is_complete(campaigns)

    await eventually(is_reported, within)
    return await asyncio.to_thread(read, settings)


def check(log: Log, campaign: Campaign, skips: dict[int, str]) -> None:
    """Every ordinal is exactly one message or exactly one skip; messages, facts and feedback agree."""
    expected = sorted(set(range(campaign.size)) - skips.keys())
    messages = log.messages[campaign.number]
    assert sorted(message.recipient_number for message in messages) == expected
    assert sorted(log.sent[campaign.number]) == expected
    assert sorted(log.skipped[campaign.number]) == sorted(skips.items())
    assert log.feedback[campaign.number] == {"sent": len(expected), "skipped": len(skips)}
    for message in messages:
        assert (message.tenant_id, message.campaign_id) == (campaign.tenant, campaign.id)
        assert message.to == f"u{message.recipient_number}@example.com"
        assert message.content["subject"] == f"Ana{message.recipient_number % 1000}, the sale starts"


async def blemish(connection: asyncpg.Connection, campaign: Campaign) -> dict[int, str]:
    """Gives some recipients every reason to be skipped; answers ordinal -> reason."""
    reasons = {
        "suppressed": range(3, campaign.size, 50),
        "no-address": range(5, campaign.size, 70),
        "render-error": range(7, campaign.size, 110),
    }
    reasons["erased"] = range(11, campaign.size, 130)
    skips: dict[int, str] = {}
    for reason, ordinals in reasons.items():
        skips |= {ordinal: reason for ordinal in ordinals if ordinal not in skips}
    by_reason = {reason: [str(ordinal) for ordinal, why in skips.items() if why == reason] for reason in reasons}
    tenant, suppressed = campaign.tenant, by_reason["suppressed"]
    await connection.execute(
        "INSERT INTO suppressions (tenant_id, channel, contact_id) SELECT tenant_id, 'email', id FROM contacts"
        " WHERE tenant_id = $1 AND external_id = ANY($2)",
        *(tenant, suppressed[::2]),
    )
    await connection.execute(
        "INSERT INTO suppressions (tenant_id, channel, address) SELECT tenant_id, 'email', email FROM contacts"
        " WHERE tenant_id = $1 AND external_id = ANY($2)",
        *(tenant, suppressed[1::2]),
    )
    where = "WHERE tenant_id = $1 AND external_id = ANY($2)"
    await connection.execute(f"UPDATE contacts SET email = NULL {where}", tenant, by_reason["no-address"])
    await connection.execute(f"UPDATE contacts SET attributes = '{{}}' {where}", tenant, by_reason["render-error"])
    erased = by_reason["erased"]
    await connection.execute(f"DELETE FROM contacts {where}", tenant, erased[::2])
    await connection.execute(
        "DELETE FROM campaign_recipients WHERE id IN (SELECT recipient_id($1, o::int) FROM unnest($2::text[]) o)",
        campaign.number,
        erased[1::2],
    )
    return skips


@pytest.mark.timeout(240)
async def test_every_recipient_gets_one_message_or_one_skip_whatever_point_the_worker_is_killed_at(
    settings: Settings, tmp_path: Path
) -> None:
    connection = await audience.connect(settings.postgres)
    campaigns, skips = [], {}
    for tenant, size in (("acme", 9_500), ("globex", 6_200)):
        await audience.contacts(connection, tenant, size)
        campaigns.append(await audience.campaign(connection, tenant, size))
        skips[campaigns[-1].number] = await blemish(connection, campaigns[-1])
    await connection.close()
    dice, grants = random.Random(7), Grants(settings)
    todo = [(campaign, piece) for campaign in campaigns for piece in pieces(campaign.size, dice.choice((90, 250)))]
    dice.shuffle(todo)
    share = len(todo) // (len(POINTS) + 1)
    async with emitting(settings, tmp_path, *POINTS) as slot:
        for met in range(len(POINTS)):
            for campaign, piece in todo[met * share : (met + 1) * share]:
                grants.grant(campaign, [piece])
            await eventually(lambda met=met: slot.role.met.total() > met, within=60)
        for campaign, piece in todo[len(POINTS) * share :]:
            grants.grant(campaign, [piece])
        for campaign in campaigns:  # all of it again, cut otherwise: a grant that is issued twice is harmless
            grants.grant(campaign, pieces(campaign.size, 400))
        await complete(settings, *campaigns)
        grants.send(b"the last one", 0)  # so that everything before it has been read when its dead letter appears
        log = await eventually(lambda: found if len((found := read(settings)).dead) == 1 else None, within=20)
        assert log is not None
    for campaign in campaigns:
        check(log, campaign, skips[campaign.number])
    assert slot.role.met == {point.partition(":")[0]: 1 for point in POINTS}
