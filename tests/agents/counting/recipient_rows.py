"""A campaign with pending recipients in PostgreSQL, and facts about them on Kafka, for tests of the
projection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from streams.records.facts import Batch, Group, Kind, encode_batch, pack
from streams.settings import Settings
from streams.topics import Name, Topics, shard_key
from tests.postgres import connect as connect_client

TENANT = "acme"
BASE = 1_800_000_000  # Unix seconds

_CAMPAIGN = """
INSERT INTO campaigns (tenant_id, name, channel, created_by, key_epoch)
VALUES ($1, 'n', 'email', $2, 0) RETURNING number, id
"""
_RECIPIENTS = """
INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id)
SELECT recipient_id($1, ordinal), $2, $3, gen_random_uuid() FROM generate_series(0, $4 - 1) ordinal
"""


async def make_recipients(settings: Settings, count: int) -> tuple[int, UUID]:
    """Number and id of a campaign with `count` pending recipients."""
    connection = await connect_client(settings.postgres)
    try:
        row = await connection.fetchrow(_CAMPAIGN, TENANT, uuid4())
        assert row is not None
        await connection.execute("SELECT ensure_recipient_partitions($1)", row["number"])
        await connection.execute(_RECIPIENTS, row["number"], TENANT, row["id"], count)
        return row["number"], row["id"]
    finally:
        await connection.close()


def group(kind: Kind, ordinals: Iterable[int], second: int = 0, detail: str | None = None) -> Group:
    """All at the same second."""
    ordinals = list(ordinals)
    return Group(kind, pack(ordinals), pack(second for _ in ordinals), None, detail)


async def send_facts(
    producer: AIOKafkaProducer, settings: Settings, number: int, shard: int, groups: Sequence[Group]
) -> None:
    """One record, acknowledged."""
    topics = Topics(settings)
    value = encode_batch(Batch(TENANT, number, shard, BASE, tuple(groups)))
    partition = topics.shard_partition(number, shard)
    await producer.send_and_wait(
        topics.name(Name.FACTS), value, key=shard_key(number, shard), partition=partition
    )
