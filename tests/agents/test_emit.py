"""Emission on a real broker and a real database, compared with what SQL says the audience is, by another Kafka client."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka import Producer

from connectors.local.engine import RunningEngine
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


async def dead_letters(settings: Settings, count: int) -> Log:
    """The log, once that many grants were put aside."""

    async def ask() -> Log | None:
        log = await asyncio.to_thread(read, settings)
        return log if len(log.dead) >= count else None

    log = await eventually(ask, within=30)
    assert log is not None
    return log


def has_met(slot: Slot, count: int) -> bool:
    return slot.role.met.total() >= count


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
            await eventually(partial(has_met, slot, met + 1), within=60)
        for campaign, piece in todo[len(POINTS) * share :]:
            grants.grant(campaign, [piece])
        for campaign in campaigns:  # all of it again, cut otherwise: a grant that is issued twice is harmless
            grants.grant(campaign, pieces(campaign.size, 400))
        await complete(settings, *campaigns)
        grants.send(b"the last one", 0)  # so that everything before it has been read when its dead letter appears
        log = await dead_letters(settings, 1)
    for campaign in campaigns:
        check(log, campaign, skips[campaign.number])
    assert slot.role.met == {point.partition(":")[0]: 1 for point in POINTS}


def reason(value: bytes) -> tuple[str, str]:
    found = json.loads(value)
    return found["code"], found["reason"]


async def test_one_worker_many_campaigns_and_unusable_grants(settings: Settings, tmp_path: Path) -> None:
    """Channels, variants, a broken template, an edited contact, what nobody can use, and the end of a campaign, on one worker."""
    connection, grants = await audience.connect(settings.postgres), Grants(settings)
    await audience.contacts(connection, "acme", 2_100)
    await audience.contacts(connection, "globex", 10)
    await connection.execute("UPDATE contacts SET phone = '+4930' || external_id, push_token = 'token' || external_id")
    plain = await audience.campaign(connection, "acme", 2_100)
    sms = await audience.campaign(connection, "acme", 20, channel="sms", content={"text": "Hi {{ firstName }}"}, settings={})
    push = await audience.campaign(connection, "acme", 20, channel="push", content={"title": "a", "body": "b"}, settings={})
    broken = await audience.campaign(connection, "acme", 30, content={"subject": "s", "text": "{% if %}"})
    tested = await audience.campaign(connection, "acme", 200)
    await assign_variants(connection, tested)
    async with emitting(settings, tmp_path) as slot:
        for number, unusable in enumerate(
            [
                (b"not json", 0),
                (encode({"type": "grant", "tenantId": "acme"}), 1),
                (encode(Grant(tenant_id="acme", campaign_id=plain.id, number=plain.number, start=900, stop=1100)), 0),
                (encode(Grant(tenant_id="acme", campaign_id=plain.id, number=plain.number, start=0, stop=10)), 2),
                (encode(Grant(tenant_id="globex", campaign_id=plain.id, number=plain.number, start=0, stop=10)), 0),
                (encode(Grant(tenant_id="acme", campaign_id=plain.id, number=9_999_999, start=0, stop=10)), 0),
                (encode(Grant(tenant_id="acme", campaign_id=plain.id, number=1 << 63, start=0, stop=10)), 0),
                (encode(Grant(tenant_id="ac\0me", campaign_id=plain.id, number=plain.number, start=0, stop=10)), 0),
            ]
        ):
            grants.send(*unusable)
            grants.grant(plain, [(number * 10, number * 10 + 10)])  # the stream goes on behind each of them
        grants.grant(plain, pieces(plain.size, 1000))
        for campaign in (sms, push, broken):
            grants.grant(campaign, pieces(campaign.size, 1000))
        grants.grant(tested, [(0, 100)])
        grants.grant(tested, [(100, 200)], "B")
        await complete(settings, plain, sms, push, broken, tested)
        for campaign in (plain, sms, push, broken, tested):
            grants.retire(campaign)
        grants.send(b"the last one", 0)
        log = await dead_letters(settings, 9)
        await eventually(partial(is_forgotten, settings), within=20)
    check(log, plain, {})
    assert [m.content for m in log.messages[sms.number][:1]] == [{"text": "Hi Ana0"}]
    assert {m.to for m in log.messages[sms.number]} == {f"+4930{i}" for i in range(20)}
    assert all(m.headers is None and m.sender is None for m in log.messages[sms.number])
    assert {m.to for m in log.messages[push.number]} == {f"token{i}" for i in range(20)}
    assert sorted(log.skipped[broken.number]) == [(ordinal, "render-error") for ordinal in range(30)]
    by_ordinal = {m.recipient_number: m for m in log.messages[tested.number]}
    assert [by_ordinal[i].variant_id for i in (0, 1, 100, 199)] == ["A", "B", "B", "B"]
    assert [by_ordinal[i].content["subject"] for i in (0, 1)] == ["Short", "Ana1, the sale starts"]
    assert sorted(code for code, _ in map(reason, log.dead.values())) == [
        *("malformed",) * 3,
        *("not-grantable",) * 4,
        *("unknown-campaign",) * 2,
    ]
    first = log.messages[plain.number][0]
    assert first.headers == {
        "List-Unsubscribe": f"<{settings.public_url}/u/{first.message_id}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert first.sender == {"name": "Acme", "email": "news@acme.example", "replyTo": "help@acme.example"}
    assert f"{settings.public_url}/t/c/{first.message_id}/0" in first.content["html"]
    assert f"{settings.public_url}/t/o/{first.message_id}.gif" in first.content["html"]
    assert slot.worker.log.read_text().count("[SEND] campaign batch") >= 6
    await connection.close()


async def assign_variants(connection: asyncpg.Connection, campaign: Campaign) -> None:
    """The first hundred recipients test A, which has a subject of its own, against B."""
    await connection.execute(
        "INSERT INTO campaign_variants (campaign_id, variant_id, name, template_id, subject, weight)"
        " SELECT c.id, v, v, c.template_id, CASE v WHEN 'A' THEN 'Short' END, 50 FROM campaigns c, unnest('{A,B}'::text[]) v"
        " WHERE c.id = $1::uuid",
        campaign.id,
    )
    await connection.execute(
        "UPDATE campaign_recipients r SET variant_id = CASE external_id::int % 2 WHEN 0 THEN 'A' ELSE 'B' END FROM contacts c"
        " WHERE c.id = r.contact_id AND r.campaign_id = $1::uuid AND external_id::int < 100",
        campaign.id,
    )


def is_forgotten(settings: Settings) -> bool:
    """Every progress row that was written is a tombstone now."""
    rows: dict[bytes, bytes | None] = {}
    for partition in raw_kafka.read_all(settings.kafka, Topics(settings).name(Name.EMIT_STATE), settings.partitions):
        for record in partition:
            assert record.key is not None
            if record.key.startswith(b"progress\0"):
                rows[b"%d %s" % (record.partition, record.key)] = record.value
    return len(rows) > 0 and not any(rows.values())


async def test_a_database_that_is_down_delays_emission_and_loses_nothing(
    settings: Settings, tmp_path: Path, postgres_engine: RunningEngine
) -> None:
    connection, grants = await audience.connect(settings.postgres), Grants(settings)
    await audience.contacts(connection, "acme", 3_000)
    campaign = await audience.campaign(connection, "acme", 3_000)
    await connection.close()
    async with emitting(settings, tmp_path):
        grants.grant(campaign, pieces(1_000, 100))
        await eventually(lambda: read(settings).feedback[campaign.number]["sent"] >= 1_000, within=30)
        postgres_engine.stop()
        grants.grant(campaign, pieces(3_000, 500))
        await eventually(lambda: "PostgreSQL does not answer" in (tmp_path / "emit.log").read_text(), within=30)
        assert read(settings).feedback[campaign.number]["sent"] == 1_000
        postgres_engine.start()  # not on another thread: an engine ends with the thread that started it
        log = await complete(settings, campaign)
    check(log, campaign, {})
