"""Emission from outside: a supervised worker, grants as the throttle sends them, and what another
client finds, read committed.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from confluent_kafka import Producer

from streams.contracts.envelope import encode
from streams.records.facts import Kind, decode_batch, unpack
from streams.records.message_id import SHARD_SIZE, MessageIds
from streams.records.messages import Message, decode_message
from streams.records.sending import CHUNK, BatchSent, Grant, Retire, decode_sending, lane
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.agents.sending.audience import Campaign
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.workers import Role, Slot, Worker


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
    worker = Worker("emit", folder / "emit.log", environment(settings), module="agents.worker")
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
        self._producer, self._topics = (
            Producer({"bootstrap.servers": settings.kafka, "linger.ms": 0}),
            Topics(settings),
        )

    def send(self, record: bytes, partition: int, at: datetime | None = None) -> None:
        """`at` is the time that the record carries, now by default."""
        milliseconds = 0 if at is None else round(at.timestamp() * 1000)
        topic = self._topics.name(Name.GRANTS)
        self._producer.produce(topic, record, partition=partition, timestamp=milliseconds)

    def grant(
        self,
        campaign: Campaign,
        ranges: Iterable[tuple[int, int]],
        variant: str | None = None,
        at: datetime | None = None,
    ) -> None:
        for start, stop in ranges:
            grant = Grant(
                tenant_id=campaign.tenant,
                campaign_id=campaign.id,
                number=campaign.number,
                start=start,
                stop=stop,
                variant_id=variant,
            )
            self.send(encode(grant), lane(start, self._topics.partitions), at)
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
    sent: defaultdict[int, list[int]] = field(
        default_factory=lambda: defaultdict(list)
    )  # ordinals of the facts
    skipped: defaultdict[int, list[tuple[int, str | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    feedback: defaultdict[tuple[str, int], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )  # by tenant and number
    dead: dict[bytes, bytes] = field(default_factory=dict)

    def is_complete(self, campaigns: Iterable[Campaign]) -> bool:
        return all(
            self.feedback[each.tenant, each.number].total() >= each.size for each in campaigns
        )


def read(settings: Settings) -> Log:
    topics, log = Topics(settings), Log()
    ids = MessageIds.of(settings)

    def records(name: Name, count: int) -> Iterable[raw_kafka.Raw]:
        return (
            record
            for partition in raw_kafka.read_all(settings.kafka, topics.name(name), count)
            for record in partition
        )

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
    for partition, records in enumerate(
        raw_kafka.read_all(settings.kafka, topics.name(Name.SENDING), settings.partitions)
    ):
        for record in records:
            sent = decode_sending(record.value or b"")
            assert isinstance(sent, BatchSent)
            assert partition == topics.partition(sent.tenant_id)
            log.feedback[sent.tenant_id, sent.number].update(sent=sent.sent, skipped=sent.skipped)


async def complete(settings: Settings, *campaigns: Campaign, within: float = 300) -> Log:
    """The log, once every ordinal of these campaigns is reported to the throttle."""

    async def is_reported() -> bool:
        log = Log()
        await asyncio.to_thread(read_feedback, settings, log)
        return log.is_complete(campaigns)

    await eventually(is_reported, within)
    return await asyncio.to_thread(read, settings)


async def dead_letters(settings: Settings, count: int) -> Log:
    """The log, once that many grants were put aside."""

    async def ask() -> Log | None:
        log = await asyncio.to_thread(read, settings)
        return log if len(log.dead) >= count else None

    log = await eventually(ask, within=300)
    assert log is not None
    return log


def has_met(slot: Slot, count: int) -> bool:
    return slot.role.met.total() >= count


def check(log: Log, campaign: Campaign, skips: dict[int, str]) -> None:
    """Every ordinal is exactly one message or exactly one skip; messages, facts and feedback
    agree.
    """
    expected = sorted(set(range(campaign.size)) - skips.keys())
    messages = log.messages[campaign.number]
    assert sorted(message.recipient_number for message in messages) == expected
    assert sorted(log.sent[campaign.number]) == expected
    assert sorted(log.skipped[campaign.number]) == sorted(skips.items())
    reported = log.feedback[campaign.tenant, campaign.number]
    assert reported == {"sent": len(expected), "skipped": len(skips)}
    for message in messages:
        assert (message.tenant_id, message.campaign_id) == (campaign.tenant, campaign.id)
        assert message.to == f"u{message.recipient_number}@example.com"
        assert (
            message.content["subject"] == f"Ana{message.recipient_number % 1000}, the sale starts"
        )
