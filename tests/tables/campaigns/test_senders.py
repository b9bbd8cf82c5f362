"""Where senders have to be verified, nothing is set going from a domain that is not: whatever the
verb, its way in, the type of the campaign, or the moment at which the domain was removed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from streams.contracts.commands import Verb
from streams.errors import CampaignError
from streams.settings import Settings
from tables.commands import suspension
from tables.commands.execute import run
from tables.database.connection import Database
from tables.tenants.audit import COMMAND_LINE
from tables.tenants.sender_domains import Finding, add_domain, note_finding, remove_domain
from tests.agents.jobs.contexts import contexts
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.campaigns.series_world import HOURLY, MINUTE, Make, hour, series, start_due
from tests.tables.commands.test_due import now, scheduled
from tests.tables.installation.as_roles import with_roles

FIELD = "settings.fromEmail"
AB_TEST = {
    "variants": [
        {"variantId": letter, "name": letter, "subject": letter, "weight": 50} for letter in "AB"
    ],
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}
TOMORROW = {"scheduledAt": (now() + timedelta(days=1)).isoformat()}


@pytest.fixture
def strict(sql_settings: Settings) -> Settings:
    return sql_settings.model_copy(update={"sender_domains": "verified"})


@pytest.fixture
async def world(pool: Database, strict: Settings) -> World:
    """Its drafts are sent from news@acme.example."""
    return await make_world(pool, strict)


@pytest.fixture
async def make(strict: Settings) -> AsyncIterator[Make]:
    async with contexts(strict) as make:
        yield make


async def verify(
    world: World,
    domain: str = "acme.example",
    finding: Finding = Finding.VERIFIED,
    tenant: str = "acme",
) -> None:
    """The domain is added and DNS has answered."""
    async with world.pool.transaction() as session:
        added = await add_domain(session, tenant, domain)
        await note_finding(session, added, finding)


async def remove(world: World, domain: str = "acme.example") -> None:
    async with world.pool.transaction() as session:
        await remove_domain(session, world.tenant, domain)


async def refusal(world: World, verb: Verb, campaign_id: UUID, body: object = None) -> str:
    """What the only error says, which names the field."""
    with pytest.raises(CampaignError) as refused:
        await world.do(verb, campaign_id, body)
    assert refused.value.status == 422
    [error] = refused.value.errors
    assert error.field == FIELD and refused.value.detail == f"{FIELD}: {error.message}"
    return error.message


@pytest.mark.parametrize(
    ("verb", "body"), [(Verb.START, None), (Verb.SCHEDULE, TOMORROW)], ids=["start", "schedule"]
)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"type": "triggered", "segmentIds": []},
        {"type": "recurring", "recurringSchedule": HOURLY},
        {"abTestConfig": AB_TEST},
    ],
    ids=["once", "triggered", "series", "A/B"],
)
async def test_nothing_starts_from_a_domain_that_is_not_verified(
    world: World, more: dict[str, Any], verb: Verb, body: object
) -> None:
    campaign_id = await world.created(**more)
    before = await sql(world.pool).fetch("SELECT * FROM outbox")
    message = await refusal(world, verb, campaign_id, body)
    assert "acme.example is not a verified sender domain" in message
    assert "POST /api/v1/sender-domains" in message
    async with world.pool.transaction() as session:
        added = await add_domain(session, "acme", "acme.example")
    message = await refusal(world, verb, campaign_id, body)
    assert added.record_name in message and added.record_value in message
    assert "/sender-domains/acme.example/verify" in message
    assert await sql(world.pool).fetch("SELECT * FROM outbox") == before
    await remove(world)
    await verify(world)
    await world.do(verb, campaign_id, body)


@pytest.mark.parametrize(
    ("verified", "sender", "may"),
    [
        ("acme.example", "news@acme.example", True),
        ("acme.example", "news@ACME.Example", True),
        ("acme.example", "news@mail.acme.example", True),
        ("acme.example", "news@a.b.c.acme.example", True),
        ("mail.acme.example", "news@mail.acme.example", True),
        ("mail.acme.example", "news@acme.example", False),
        ("acme.example", "news@evil-acme.example", False),
        ("acme.example", "news@notacme.example", False),
        ("acme.example", "news@acme.example.evil.example", False),
        ("acme.example", "acme.example@evil.example", False),
        ("acme.example", "news@acme.example.com", False),
        ("xn--bcher-kva.example", "news@bücher.example", True),
        ("xn--bcher-kva.example", "аня@mail.bücher.example", True),
        ("xn--bcher-kva.example", "news@bucher.example", False),
    ],
)
async def test_a_verified_domain_covers_itself_and_its_subdomains(
    world: World, verified: str, sender: str, may: bool
) -> None:
    await verify(world, verified)
    campaign_id = await world.created(settings={"fromEmail": sender})
    if may:
        await world.do(Verb.START, campaign_id)
    else:
        await refusal(world, Verb.START, campaign_id)


async def test_what_an_earlier_version_stored_is_compared_in_the_same_spelling(
    world: World,
) -> None:
    await verify(world, "xn--bcher-kva.example")
    statement = "UPDATE campaigns SET settings = $2 WHERE id = $1"
    for sender in ("news@bücher.example", "News@BÜCHER.example"):
        campaign_id = await world.created()
        await sql(world.pool).execute(statement, campaign_id, {"fromEmail": sender})
        await world.do(Verb.START, campaign_id)
    campaign_id = await world.created()
    await sql(world.pool).execute(statement, campaign_id, {"fromEmail": "news@localhost"})
    assert "no domain" in await refusal(world, Verb.START, campaign_id)


@pytest.mark.parametrize("finding", [one for one in Finding if one is not Finding.VERIFIED])
async def test_a_domain_is_verified_while_the_last_answer_was_its_record(
    world: World, finding: Finding
) -> None:
    campaign_id = await world.created()
    await verify(world, finding=finding)
    await refusal(world, Verb.START, campaign_id)
    await remove(world)
    await verify(world)
    async with world.pool.transaction() as session:
        [row] = await sql(session).fetch("SELECT token FROM sender_domains")
        assert row["token"]
    await world.do(Verb.START, campaign_id)


async def test_the_domain_of_another_tenant_is_not_ours(world: World) -> None:
    other = await make_world(world.pool, world.settings, "globex")
    await verify(world, tenant="globex")
    await refusal(world, Verb.START, await world.created())
    await other.do(Verb.START, await other.created())
    await verify(world)  # each of two may verify it
    await world.started()


async def test_a_campaign_without_a_sender_or_of_another_channel_needs_no_domain(
    world: World,
) -> None:
    nobody = await world.do(Verb.CREATE, body={**world.draft(), "settings": {}})
    await world.do(Verb.START, UUID(nobody["id"]))
    await verify(world, "acme.example", Finding.NO_TXT)
    replies = await world.do(
        Verb.CREATE,
        body={**world.draft(), "settings": {"replyTo": "a@other.example", "fromName": "x@y.z"}},
    )
    await world.do(Verb.START, UUID(replies["id"]))


async def test_where_any_sender_may_be_named_no_query_is_made(
    pool: Database, sql_settings: Settings
) -> None:
    lenient = await make_world(pool, sql_settings)
    await sql(pool).execute("ALTER TABLE sender_domains RENAME TO elsewhere")
    await lenient.started()
    made = await lenient.do(Verb.CREATE, body=lenient.draft())
    assert made["warning"] is None


async def test_a_draft_may_be_saved_and_its_author_is_warned(world: World) -> None:
    made = await world.do(Verb.CREATE, body=world.draft())
    assert made["warning"].startswith(f"{FIELD}: acme.example is not a verified sender domain")
    campaign_id = UUID(made["id"])
    edited = await world.do(Verb.UPDATE, campaign_id, {"name": "February"})
    assert edited["warning"] == made["warning"]
    await verify(world)
    assert (await world.do(Verb.UPDATE, campaign_id, {"name": "March"}))["warning"] is None


async def test_a_scheduled_campaign_takes_no_such_sender_and_may_be_put_off_without_its_domain(
    world: World,
) -> None:
    await verify(world)
    campaign_id = await world.created()
    await world.do(Verb.SCHEDULE, campaign_id, TOMORROW)
    other = {"settings": {"fromEmail": "news@other.example"}}
    assert "other.example" in await refusal(world, Verb.UPDATE, campaign_id, other)
    await remove(world)
    later = {"scheduledAt": (now() + timedelta(days=2)).isoformat()}
    assert (await world.do(Verb.UPDATE, campaign_id, later))["status"] == "scheduled"
    await refusal(world, Verb.SCHEDULE, campaign_id, later)
    await world.do(Verb.CANCEL, campaign_id)


async def test_a_campaign_whose_domain_is_removed_before_it_is_due_fails_and_says_why(
    world: World, make: Make
) -> None:
    await verify(world)
    campaign_id = await scheduled(world, now())
    await remove(world)
    assert await start_due(make, now()) == {"failed": 1}
    shown = await sql(world.pool).fetchrow(
        "SELECT status::text, status_reason, started_at FROM campaigns WHERE id = $1", campaign_id
    )
    assert shown is not None and (shown["status"], shown["started_at"]) == ("cancelled", None)
    expected = f"cannot-start: {FIELD}: acme.example is not a verified sender domain of this tenant"
    assert shown["status_reason"].startswith(expected)
    kinds = [kind for kind, _ in await world.events()]
    assert kinds[-2:] == ["campaign.cancelled", "campaign.failed"]
    assert not [topic for topic, _, _ in await world.outbox() if topic != "campaigns.events.v1"]


async def test_an_occurrence_of_a_series_fails_likewise(world: World, make: Make) -> None:
    await verify(world)
    series_id = await series(world, hour() + MINUTE)
    await remove(world)
    assert await start_due(make, hour(1)) == {"failed": 1}
    reasons = await sql(world.pool).fetch(
        "SELECT status_reason FROM campaigns WHERE parent_id = $1 AND status = 'cancelled'",
        series_id,
    )
    assert len(reasons) == 1 and FIELD in reasons[0]["status_reason"]


@pytest.mark.parametrize("kind", ["triggered", "recurring", "one_time"])
async def test_what_is_paused_goes_on_only_while_its_domain_is_verified(
    world: World, kind: str
) -> None:
    await verify(world)
    more: dict[str, Any] = {"segmentIds": []} if kind == "triggered" else {}
    more |= {"recurringSchedule": HOURLY} if kind == "recurring" else {}
    campaign_id = await world.started(type=kind, **more)
    await world.do(Verb.PAUSE, campaign_id)
    await remove(world)
    await refusal(world, Verb.RESUME, campaign_id)
    await verify(world)
    assert (await world.do(Verb.RESUME, campaign_id))["status"] == "running"


async def test_nobody_is_sent_to_by_a_trigger_and_a_repeat_gets_the_first_answer(
    world: World,
) -> None:
    await verify(world)
    campaign_id = await world.started(type="triggered", segmentIds=[])
    body = {"contactIds": [str(uuid4())]}
    once: dict[str, Any] = {"correlation_id": "once", "is_once": True}
    first = await world.answer(Verb.TRIGGER, campaign_id, body, **once)
    await remove(world)
    assert (await world.answer(Verb.TRIGGER, campaign_id, body, **once)).outcome == first.outcome
    await refusal(world, Verb.TRIGGER, campaign_id, body)


async def test_a_tenant_that_is_resumed_leaves_such_campaigns_paused_and_names_them(
    world: World,
) -> None:
    await verify(world)
    campaign_id = await world.started()
    await remove(world)
    told: dict[str, Any] = {"by": COMMAND_LINE, "reason": "a test", "at": now()}
    async with world.pool.transaction() as session:
        await suspension.suspend(session, world.settings, "acme", **told)
    async with world.pool.transaction() as session:
        done = await suspension.resume(session, world.settings, "acme", **told)
    assert done.campaigns == 0 and FIELD in done.refused[campaign_id]


async def test_the_workers_ask_with_the_rights_of_their_own_role(
    world: World, strict: Settings
) -> None:
    await verify(world)
    ours, theirs = await world.created(), await world.created(settings={"fromEmail": "a@b.example"})
    async with with_roles(strict.postgres) as roles:
        limited = strict.model_copy(update={"postgres": roles.of("workers")})
        async with Database(limited, max_size=1) as pool:
            answers = [
                await run(pool, limited, world.command(Verb.START, one), scope="command")
                for one in (ours, theirs)
            ]
    started, refused = answers
    assert started.refusal is None
    assert refused.refusal is not None and FIELD in refused.refusal.detail
