"""Ingest, fold and the views on a real broker: exact counts, each first occurrence once, under
everything that goes wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from connectors.local.engines.engine import RunningEngine
from connectors.setup import topics
from streams.records.facts import Batch, Group, Kind, decode_batch, encode_batch, pack, unpack
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.stats.views import StatsView
from tests.agents.counting.reported import IDS, KEY, Sent, Truth, reports, truth
from tests.conftest import run
from tests.eventually import eventually
from tests.faults.raw_kafka import Raw, read_all
from tests.faults.workers import Role, Slot, Worker, settings_environment

PARTITIONS = 4


@contextmanager
def installation(kafka: str) -> Iterator[Settings]:
    """Settings of one that needs nothing but Kafka, with its topics."""
    made = Settings(
        kafka=kafka,
        postgres="postgresql://not-needed",
        nats="nats://not-needed",
        topic_prefix=f"f{secrets.token_hex(4)}-",
        partitions=PARTITIONS,
        message_keys=(SecretStr(KEY.hex()),),
    )
    run(topics.create(made))
    yield made
    run(topics.delete(made))


@pytest.fixture
def settings(kafka: str) -> Iterator[Settings]:
    with installation(kafka) as made:
        yield made


@dataclass
class StatsWorker(Worker):
    """The process under test."""

    module: str = "tests.agents.processes.stats_worker"


@asynccontextmanager
async def workers(
    settings: Settings, folder: Path, *points: Iterable[str]
) -> AsyncIterator[list[Slot]]:
    """One supervised worker per list of crash points."""
    environment = settings_environment(settings.kafka, settings.topic_prefix, PARTITIONS)
    slots = [
        Slot(
            Role("stats", list(todo)), StatsWorker("stats", folder / f"worker-{i}.log", environment)
        )
        for i, todo in enumerate(points)
    ]
    tasks = [asyncio.create_task(slot.supervise()) for slot in slots]
    try:
        yield slots
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            *(slot.worker.stop() for slot in slots if slot.worker.process is not None)
        )


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        request_timeout_ms=60_000,
    )
    async with producer:
        yield producer


async def send(
    settings: Settings,
    producer: AIOKafkaProducer,
    campaigns: Iterable[Sent],
    events: Iterable[bytes],
) -> None:
    """What emission says first, then the events, spread over the partitions."""
    names = Topics(settings)
    sent = []
    for campaign in campaigns:
        for shard, fact in campaign.facts():
            partition = names.shard_partition(campaign.number, shard)
            sent.append(
                await producer.send(
                    names.name(Name.FACTS),
                    fact,
                    key=shard_key(campaign.number, shard),
                    partition=partition,
                )
            )
    for i, event in enumerate(events):
        sent.append(await producer.send(names.name(Name.INCOMING), event, partition=i % PARTITIONS))
    await asyncio.gather(*sent)


def log_of(settings: Settings, topic: Name) -> list[Raw]:
    names = Topics(settings)
    return [
        record
        for records in read_all(settings.kafka, names.name(topic), names.count(topic))
        for record in records
    ]


def counted(view: StatsView, campaigns: Iterable[Sent]) -> dict[tuple[int, str | None, str], int]:
    found: dict[tuple[int, str | None, str], int] = {}
    for campaign in campaigns:
        stats = view.campaign(campaign.number)
        for variant, counts in [(None, stats.total), *stats.variants.items()]:
            found |= {
                (campaign.number, variant, name): getattr(counts, name)
                for name in counts.__struct_fields__
            }
    return found


def put_aside(settings: Settings) -> set[tuple[int, int]]:
    """Partition and offset of the events that are dead letters now."""
    letters = [
        json.loads(record.value or b"")["source"] for record in log_of(settings, Name.DEAD_LETTERS)
    ]
    return {(letter["partition"], letter["offset"]) for letter in letters}


async def ingested(settings: Settings, expected: Truth) -> None:
    """Everything has been read: counts can be right before the last events, which repeat what is
    known or are of no use.
    """
    await eventually(lambda: put_aside(settings) >= expected.unusable, within=300)


def check_logs(settings: Settings, campaigns: Iterable[Sent], expected: Truth) -> None:
    """Every outcome is there exactly once with its variant, every dead letter names its source,
    versions and counts never went back.
    """
    plans = {campaign.number: campaign for campaign in campaigns}
    outcomes: list[tuple[int, int, str]] = []
    for record in log_of(settings, Name.MESSAGE_EVENTS):
        batch = decode_batch(record.value or b"")
        for group in batch.groups:
            ordinals = [(batch.shard << 16) + o for o in unpack(group.ordinals)]
            outcomes += [(batch.number, o, group.kind.name.lower()) for o in ordinals]
            variants = {"AB"[o % 2] if plans[batch.number].has_variants else None for o in ordinals}
            assert variants == {group.variant_id}
            assert batch.campaign_id == f"id-{batch.number}"
    assert max(Counter(outcomes).values()) == 1
    assert set(outcomes) == expected.firsts
    assert put_aside(settings) == expected.unusable
    versions: dict[bytes | None, int] = {}
    for record in log_of(settings, Name.STATS):
        version = json.loads(record.value or b"")["version"]
        assert version > versions.get(record.key, 0)
        versions[record.key] = version


async def test_events_become_exact_live_stats_one_by_one_and_many_at_once(
    settings: Settings, tmp_path: Path
) -> None:
    campaigns = [Sent("acme", 1, 4000, has_variants=True), Sent("globex", 2, 500)]
    events = reports(campaigns, random.Random(1), unusable=200)
    async with (
        workers(settings, tmp_path, ()) as slots,
        StatsView(settings) as view,
        producing(settings) as producer,
    ):
        await asyncio.wait_for(view.ready.wait(), 300)
        await send(settings, producer, campaigns, events)
        expected = truth(campaigns, log_of(settings, Name.INCOMING))
        assert len(expected.unusable) == 200
        await eventually(lambda: counted(view, campaigns) == expected.counts, within=300)
        await ingested(settings, expected)
        check_logs(settings, campaigns, expected)

        late = {
            "type": "replied",
            "messageId": IDS.make(2, 3, "globex", 0),
            "tenantId": "globex",
            "timestamp": "2026-11-24T12:00:00Z",
        }
        for ordinal in range(10):  # one after the other, all of different recipients
            late["messageId"] = IDS.make(2, ordinal, "globex", 0)
            await producer.send_and_wait(
                Topics(settings).name(Name.INCOMING),
                json.dumps(late).encode(),
                partition=ordinal % 4,
            )
            await eventually(partial(_has_replies, view, ordinal + 1))
    assert slots[0].exits == Counter()


def _has_replies(view: StatsView, replies: int) -> bool:
    return view.campaign(2).total.replied == replies


async def test_poison_facts_become_dead_letters_and_the_stream_goes_on(
    settings: Settings, tmp_path: Path
) -> None:
    names, campaign = Topics(settings), Sent("acme", 7, 10)
    (_, good), partition = next(campaign.facts()), names.shard_partition(7, 0)
    foreign = encode_batch(Batch("other", 7, 0, 0, decode_batch(good).groups))
    poison = [b"", b"\xc1", b"\x93\x01", good[:-3], foreign, b"\x91" * 100_000]
    async with (
        workers(settings, tmp_path, ()) as slots,
        StatsView(settings) as view,
        producing(settings) as producer,
    ):
        await send(settings, producer, [campaign], [])
        for value in poison:
            await producer.send_and_wait(
                names.name(Name.FACTS), value, key=b"7:0", partition=partition
            )
        elsewhere = (partition + 1) % PARTITIONS
        await producer.send_and_wait(names.name(Name.FACTS), good, key=b"7:0", partition=elsewhere)
        opened = encode_batch(
            Batch("acme", 7, 0, 1_795_000_000, (Group(Kind.OPENED, pack([3]), pack([60])),))
        )
        await producer.send_and_wait(
            names.name(Name.FACTS), opened, key=b"7:0", partition=partition
        )
        early = encode_batch(
            Batch("acme", 7, 0, 1_795_000_000, (Group(Kind.OPENED, pack([4]), pack([2])),))
        )  # two seconds after sending
        await producer.send_and_wait(names.name(Name.FACTS), early, key=b"7:0", partition=partition)
        await eventually(
            lambda: (
                (view.campaign(7).total.opened, view.campaign(7).total.machine_opened) == (1, 1)
            ),
            within=300,
        )
        await eventually(lambda: len(log_of(settings, Name.DEAD_LETTERS)) == len(poison) + 1)
        outcomes = [
            group
            for record in log_of(settings, Name.MESSAGE_EVENTS)
            for group in decode_batch(record.value or b"").groups
        ]
        assert [
            list(unpack(group.ordinals)) for group in outcomes if group.kind is Kind.MACHINE_OPENED
        ] == [[4]]
        codes = [
            json.loads(letter.value or b"")["code"]
            for letter in log_of(settings, Name.DEAD_LETTERS)
        ]
        assert codes == ["invalid-facts"] * (len(poison) + 1)
    assert slots[0].exits == Counter()


async def test_stats_equal_the_truth_however_often_workers_are_killed(
    settings: Settings, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1 << 32)))
    print(f"CHAOS_SEED={seed}", file=sys.stderr)  # noqa: T201  # pytest shows it when the test fails
    chance = random.Random(seed)
    campaigns = [
        Sent("acme", 11, 8000, start=62_000),
        Sent("globex", 12, 4000, has_variants=True),
        Sent("acme", 13, 1),
    ]
    events = reports(campaigns, chance, unusable=500)
    nth = partial(chance.randrange, 2, 6)
    points = [
        [f"fold:before-commit:{nth()}", f"ingest:acknowledged:{nth()}"],
        [f"fold:after-commit:{nth()}", "restore:1", f"fold:body:{nth()}"],
    ]
    async with (
        workers(settings, tmp_path, *points) as slots,
        StatsView(settings) as view,
        producing(settings) as producer,
    ):
        await send(settings, producer, campaigns, [])
        await eventually(
            lambda: view.campaign(13).total.sent == 1, within=300
        )  # the workers are there
        slices = [events[start : start + 500] for start in range(0, len(events), 500)]
        for some in slices:
            await send(settings, producer, [], some)
            await asyncio.sleep(0.1)  # the pace of the events, so that the faults fall among them
        deadline = time.monotonic() + 240
        while (
            any(slot.role.todo or slot.role.armed for slot in slots) and time.monotonic() < deadline
        ):
            await send(
                settings, producer, [], chance.choice(slices)
            )  # repeats change nothing, but keep the workers busy
            await asyncio.sleep(0.2)
        expected = truth(campaigns, log_of(settings, Name.INCOMING))
        await eventually(lambda: counted(view, campaigns) == expected.counts, within=300)
        await ingested(settings, expected)
        check_logs(settings, campaigns, expected)
        assert sum((slot.role.met for slot in slots), Counter()).total() == sum(map(len, points))


async def test_a_broker_crash_loses_and_repeats_nothing(
    own_broker: RunningEngine, tmp_path: Path
) -> None:
    campaigns = [Sent("acme", 21, 1500)]
    events = reports(campaigns, random.Random(2))
    half = len(events) // 2
    with installation(own_broker.address) as settings:
        async with (
            workers(settings, tmp_path, ()),
            StatsView(settings) as view,
            producing(settings) as producer,
        ):
            await send(settings, producer, campaigns, events[:half])
            await eventually(lambda: view.campaign(21).total.delivered > 0, within=300)
            own_broker.kill()
            before = view.campaign(21)
            own_broker.start()  # not in a pool's thread: the broker would end with it
            assert view.campaign(21).version >= before.version  # readable all the time
            await send(settings, producer, [], events[half:])
            expected = truth(campaigns, log_of(settings, Name.INCOMING))
            await eventually(lambda: counted(view, campaigns) == expected.counts, within=300)
            await ingested(settings, expected)
            check_logs(settings, campaigns, expected)
