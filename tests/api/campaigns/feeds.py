"""Plain producers write what the pipeline would: stats of shards, and the throttle's table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from aiokafka import AIOKafkaProducer

from streams.contracts.envelope import encode, rfc3339
from streams.records.stats import Counts, ShardStats, encode_stats
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tables.throttle.state import CampaignSending, TenantSending


async def feed_stats(
    settings: Settings,
    number: int,
    total: Counts,
    *,
    version: int = 1,
    skipped: Mapping[str, int] | None = None,
    variants: Mapping[str, Counts] | None = None,
) -> None:
    """The counts of the campaign's first shard, as `fold` writes them."""
    topics = Topics(settings)
    value = ShardStats(
        tenant_id="acme",
        number=number,
        shard=0,
        version=version,
        total=total,
        updated_at=rfc3339(datetime.now(UTC)),
        skipped=dict(skipped or {}),
        variants=dict(variants or {}),
    )
    await _send(
        settings,
        Name.STATS,
        shard_key(number, 0),
        encode_stats(value),
        topics.shard_partition(number, 0),
    )


async def feed_sending(settings: Settings, campaigns: Mapping[int, CampaignSending]) -> None:
    """The throttle's row of the tenant acme."""
    row = TenantSending(campaigns=dict(campaigns))
    await _send(
        settings, Name.CONTROL_STATE, b"sending\0" + msgspec.json.encode("acme"), encode(row), 0
    )


async def _send(settings: Settings, topic: Name, key: bytes, value: bytes, partition: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:
        await producer.send_and_wait(
            Topics(settings).name(topic), value, key=key, partition=partition
        )
