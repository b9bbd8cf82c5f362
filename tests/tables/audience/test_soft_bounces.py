"""Soft bounces in a row, and people told from machines in the ledger; on a real PostgreSQL, as the
projection does it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from streams.records.facts import Batch, Group, Kind
from streams.records.message_id import MessageIds
from tables.audience.projection import Rules, merge
from tables.audience.recipient_updates import RecipientUpdates
from tables.campaigns.numbers import CampaignNumbers
from tests.agents.counting.recipient_rows import BASE, group
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

ADDRESS, LIMIT = "ana@example.com", 3
RULES = Rules(2, LIMIT)
SOFT = "soft:mailbox full"


class Ledger:
    """Campaigns to one contact, numbered from 0, whose messages have been sent one second after
    another.
    """

    def __init__(self, world: World, contact: UUID) -> None:
        self.world, self.contact = world, contact
        self.campaigns: list[UUID] = []

    async def send(self, count: int, channel: str = "email", version: str | None = None) -> None:
        """Rows of ordinal 0, pending until the facts come, which may name an address's version."""
        for _ in range(count):
            template = None if channel != "email" else str(self.world.template)
            campaign = await self.world.created(channel=channel, templateId=template)
            await sql(self.world.pool).execute(
                "INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id)"
                " SELECT recipient_id(number, 0), tenant_id, id, $2 FROM campaigns WHERE id = $1",
                *(campaign, self.contact),
            )
            self.campaigns.append(campaign)
            await self.apply(
                len(self.campaigns) - 1, group(Kind.SENT, [0], 100 * len(self.campaigns), version)
            )

    async def apply(self, campaign: int, *groups: Group, rules: Rules = RULES) -> None:
        """Facts of a campaign, in a transaction of their own."""
        number = await sql(self.world.pool).fetchval(
            "SELECT number FROM campaigns WHERE id = $1", self.campaigns[campaign]
        )
        numbers, updates = CampaignNumbers(), RecipientUpdates(MessageIds.of(self.world.settings))
        async with self.world.pool.transaction() as connection:
            await numbers.load(connection, [number])
            known = numbers.get(number)
            assert known is not None
            updates.add(Batch(self.world.tenant, number, 0, BASE, groups), known)
            await merge(connection, updates, "test", "facts", {0: 1}, rules)

    async def report(
        self, campaign: int, kind: Kind, detail: str | None = None, after: int = 50
    ) -> None:
        await self.apply(campaign, group(kind, [0], 100 * (campaign + 1) + after, detail))

    async def suppressed(self) -> list[tuple[str, str | None, str]]:
        rows = await sql(self.world.pool).fetch(
            "SELECT channel::text, address, reason FROM suppressions"
        )
        return [(row["channel"], row["address"], row["reason"]) for row in rows]

    async def row(self, campaign: int) -> dict[str, Any]:
        row = await sql(self.world.pool).fetchrow(
            "SELECT * FROM campaign_recipients WHERE campaign_id = $1", self.campaigns[campaign]
        )
        assert row is not None
        return dict(row)


@pytest.fixture
async def ledger(world: World) -> AsyncIterator[Ledger]:
    contact = uuid4()
    await sql(world.pool).execute(
        "INSERT INTO contacts (id, tenant_id, email, phone) VALUES ($1, $2, $3, '+4915112345678')",
        contact,
        world.tenant,
        ADDRESS,
    )
    yield Ledger(world, contact)


_SUPPRESSED = [("email", ADDRESS, "soft-bounces")]


async def test_soft_bounces_in_a_row_suppress_the_address_at_the_limit_and_repeats_count_nothing(
    ledger: Ledger,
) -> None:
    await ledger.send(LIMIT)
    for campaign in range(LIMIT - 1):
        for _ in range(5):  # the same message, again and again
            await ledger.report(campaign, Kind.BOUNCED, SOFT)
    assert await ledger.suppressed() == []
    for _ in range(2):
        await ledger.report(LIMIT - 1, Kind.BOUNCED, SOFT)
        assert await ledger.suppressed() == _SUPPRESSED


async def test_a_corrected_address_begins_a_streak_of_its_own_and_the_old_one_ends_its_own(
    ledger: Ledger,
) -> None:
    await ledger.send(LIMIT)
    for campaign in range(LIMIT - 1):
        await ledger.report(campaign, Kind.BOUNCED, SOFT)
    client = sql(ledger.world.pool)
    await client.execute("UPDATE contacts SET email = 'right@example.com'")
    await ledger.send(LIMIT - 1, version="1")
    for campaign in range(LIMIT, 2 * LIMIT - 1):
        await ledger.report(campaign, Kind.BOUNCED, SOFT)
        assert await ledger.suppressed() == []
    await ledger.report(LIMIT - 1, Kind.BOUNCED, SOFT)  # the last message to the old address
    assert await ledger.suppressed() == [("email", None, "soft-bounces")]
    is_it = "SELECT address_hash = address_hash($1) FROM suppressions"
    assert await client.fetchval(is_it, ADDRESS)
    await client.execute("DELETE FROM contacts")
    await ledger.send(1, version="1")  # to an erased contact's address, before it was erased
    await ledger.report(2 * LIMIT - 1, Kind.BOUNCED, SOFT)
    assert await client.fetchval(f"{is_it} ORDER BY seq DESC LIMIT 1", "right@example.com")


@pytest.mark.parametrize(
    "kind", [Kind.DELIVERED, Kind.OPENED, Kind.CLICKED], ids=lambda kind: kind.name.lower()
)
async def test_any_delivery_open_or_click_in_between_ends_the_streak(
    ledger: Ledger, kind: Kind
) -> None:
    await ledger.send(2 * LIMIT)
    for campaign in range(2 * LIMIT - 1):
        if campaign == LIMIT - 1:
            await ledger.report(campaign, kind)
        else:
            await ledger.report(campaign, Kind.BOUNCED, SOFT)
        assert await ledger.suppressed() == [], campaign
    await ledger.report(2 * LIMIT - 1, Kind.BOUNCED, SOFT)
    assert await ledger.suppressed() == _SUPPRESSED


async def test_a_message_that_arrived_after_all_ends_the_streak_too(ledger: Ledger) -> None:
    await ledger.send(LIMIT)
    for campaign in range(LIMIT - 1):
        await ledger.report(campaign, Kind.BOUNCED, SOFT)
    await ledger.report(LIMIT - 2, Kind.DELIVERED, after=90)
    await ledger.report(LIMIT - 1, Kind.BOUNCED, SOFT)
    assert await ledger.suppressed() == []


async def test_what_is_not_known_and_other_channels_are_passed_over(ledger: Ledger) -> None:
    await ledger.send(1)
    await ledger.send(1, "sms")
    await ledger.send(2)  # one of which nothing is heard
    await ledger.send(1)
    await ledger.report(1, Kind.DELIVERED)
    for campaign in (0, 2, 4):
        await ledger.report(campaign, Kind.BOUNCED, SOFT)
    assert await ledger.suppressed() == _SUPPRESSED


@pytest.mark.parametrize(
    "detail", [None, ":full", "hard", "softly:x"], ids=["none", "untold", "hard", "another word"]
)
async def test_other_bounces_are_not_soft(ledger: Ledger, detail: str | None) -> None:
    await ledger.send(LIMIT)
    for campaign in range(LIMIT):
        await ledger.report(campaign, Kind.BOUNCED, detail)
    assert ("email", ADDRESS, "soft-bounces") not in await ledger.suppressed()


@pytest.mark.parametrize("seed", range(4))
async def test_order_and_repeats_of_what_is_reported_do_not_matter(
    ledger: Ledger, seed: int
) -> None:
    rnd = random.Random(seed)
    reports: Sequence[tuple[int, Kind, str | None]] = [
        (n, Kind.BOUNCED, SOFT) for n in range(5)
    ] + [(rnd.choice([0, 1]), Kind.DELIVERED, None)]
    await ledger.send(5)
    repeated = [*reports, *rnd.choices(reports, k=12)]
    rnd.shuffle(repeated)
    for campaign, kind, detail in repeated:
        await ledger.report(campaign, kind, detail)
    assert await ledger.suppressed() == _SUPPRESSED  # the last three bounced, whatever came when


async def test_first_open_and_click_are_the_earliest_of_people(ledger: Ledger) -> None:
    await ledger.send(2)
    sent = 100
    times = [sent + 1, sent + 500, sent + 40, sent + 2, sent + 90]  # two within the window
    for at in times:
        await ledger.apply(
            0, group(Kind.OPENED, [0], at), group(Kind.CLICKED, [0], at + 1, "https://a.example/")
        )
    await ledger.apply(0, group(Kind.MACHINE_OPENED, [0], sent + 5))
    row = await ledger.row(0)
    assert (row["status"], row["opened_at"], row["clicked_at"]) == (
        "clicked",
        _instant(sent + 40),
        _instant(sent + 3),
    )
    await ledger.apply(
        1, group(Kind.OPENED, [0], 201), group(Kind.CLICKED, [0], 202, "https://a.example/")
    )
    row = await ledger.row(1)
    assert (row["status"], row["opened_at"], row["clicked_at"]) == ("delivered", None, None)


async def test_the_sent_fact_may_come_in_the_same_batch(ledger: Ledger) -> None:
    await ledger.send(1)
    await sql(ledger.world.pool).execute(
        "UPDATE campaign_recipients SET sent_at = NULL, status = 'pending'"
    )
    await ledger.apply(0, group(Kind.OPENED, [0], 101), group(Kind.SENT, [0], 100))
    assert (await ledger.row(0))["status"] == "delivered"
    await ledger.apply(
        0, group(Kind.OPENED, [0], 101), rules=Rules(0, LIMIT)
    )  # no window: as reported
    assert (await ledger.row(0))["opened_at"] == _instant(101)


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(BASE + second, UTC)
