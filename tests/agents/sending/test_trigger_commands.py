"""`campaign.trigger` on a real broker: killed between SQL and Kafka it is done once and answered
once.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import UUID

from streams.records.sending import SpansAdded, decode_sending
from streams.settings import Settings
from streams.topics import Name
from tables.database.connection import Database
from tests.agents.processes.control_workers import Written, process, produce, read
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.audience.audience_world import Directory, ledger
from tests.tables.campaigns.campaign_world import make_world

POINTS = (
    "commands:carried-out:1",
    "commands:before-commit:1",
    "commands:after-commit:1",
    "outbox:published:1",
)


def trigger(
    campaign_id: UUID, contacts: list[UUID], correlation_id: str
) -> tuple[str, bytes, dict[str, str]]:
    data = {"campaignId": str(campaign_id), "contactIds": list(map(str, contacts))}
    value = {
        "version": "1.0",
        "source": "shop",
        "tenantId": "acme",
        "correlationId": correlation_id,
        "data": data,
    }
    return "acme", json.dumps(value).encode(), {"type": "campaign.trigger"}


async def results(settings: Settings, count: int) -> list[Written]:
    async def enough() -> list[Written] | None:
        found = await asyncio.to_thread(read, settings, Name.COMMAND_RESULTS)
        return found if len(found) >= count else None

    return await eventually(enough, within=300) or []


async def test_kill_9_at_every_point_takes_each_contact_in_once(
    settings: Settings, tmp_path: Path
) -> None:
    pool = Database(settings)
    world = await make_world(pool, settings)
    directory = Directory(world)
    contacts = await directory.add(
        world.segment, *(f"u{n}@example.com" for n in range(10 * len(POINTS)))
    )
    campaign_id = await world.started(type="triggered", segmentIds=[])
    async with (
        process(settings, "commands", tmp_path, *POINTS[:3]) as slot,
        process(settings, "relay", tmp_path, POINTS[3]) as relay,
    ):
        for n in range(len(POINTS)):
            some = contacts[10 * n : 10 * n + 10]
            produce(
                settings,
                Name.COMMANDS,
                [trigger(campaign_id, some, f"t-{n}"), trigger(campaign_id, some, f"t-{n}")],
            )
            found = await results(settings, 2 * (n + 1))
        assert (slot.role.met.total(), relay.role.met.total()) == (3, 1)

        async def heard() -> list[SpansAdded] | None:
            records = [
                decode_sending(json.dumps(r.value).encode())
                for r in await asyncio.to_thread(read, settings, Name.SENDING)
            ]
            added = [record for record in records if isinstance(record, SpansAdded)]
            return added if added and added[-1].total == len(contacts) else None

        added = await eventually(heard, within=300) or []
    outcomes = [record.value["data"] for record in found]
    assert all(
        data["accepted"] and data["outcome"] == {"accepted": 10, "refused": {}} for data in outcomes
    )
    assert len(outcomes) == 2 * len(POINTS)
    number = int(
        await sql(pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign_id)
    )
    assert await ledger(world, number) == contacts
    totals = [
        record.total for record in added
    ]  # the relay may repeat, in order, what the throttle then ignores
    assert sorted(set(totals)) == [10 * (n + 1) for n in range(len(POINTS))]
    await pool.close()
