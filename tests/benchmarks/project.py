"""How fast facts become recipient rows: everything sent, everything delivered, a third opened,
through Kafka into PostgreSQL.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from aiokafka import AIOKafkaProducer

from agents.counting.project import Project
from streams.records.facts import Kind
from streams.records.message_id import SHARD_SIZE
from streams.settings import Settings
from tests.agents.counting.recipient_rows import group, make_recipients, send_facts
from tests.eventually import eventually
from tests.postgres import connect as connect_client

_COUNTS = """
SELECT count(*) FILTER (WHERE sent_at IS NOT NULL AND message_id IS NOT NULL),
       count(delivered_at), count(opened_at)
  FROM campaign_recipients WHERE campaign_id = $1
"""


async def measure(settings: Settings, recipients: int) -> dict[str, Any]:
    """Rows and facts a second from a standing start with all facts in Kafka. Raises AssertionError
    when a row is wrong.
    """
    number, campaign = await make_recipients(settings, recipients)
    opened = range(0, recipients, 3)
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", max_batch_size=1 << 20
    ) as producer:
        for kind, ordinals in (
            (Kind.SENT, range(recipients)),
            (Kind.DELIVERED, range(recipients)),
            (Kind.OPENED, opened),
        ):
            for start in range(0, len(ordinals), 1000):
                piece = ordinals[start : start + 1000]
                for shard in {piece[0] // SHARD_SIZE, piece[-1] // SHARD_SIZE}:
                    within = [
                        ordinal % SHARD_SIZE for ordinal in piece if ordinal // SHARD_SIZE == shard
                    ]
                    await send_facts(
                        producer,
                        settings,
                        number,
                        shard,
                        [group(kind, within, 60 * (kind is Kind.OPENED))],
                    )
    connection = await connect_client(settings.postgres)
    try:
        started = time.monotonic()
        async with Project(None, settings):

            async def is_done() -> bool:
                row = await connection.fetchrow(_COUNTS, campaign)
                return row is not None and tuple(row) == (recipients, recipients, len(opened))

            await eventually(is_done, timedelta(minutes=5).total_seconds())
        seconds = time.monotonic() - started
    finally:
        await connection.close()
    facts = 2 * recipients + len(opened)
    return {
        "recipients": recipients,
        "facts": facts,
        "seconds": seconds,
        "factsPerSecond": facts / seconds,
    }
