"""Who may enter a triggered campaign, what a trigger leaves behind, and that the same trigger does
it once, on a real PostgreSQL.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from streams.contracts.commands import Verb
from streams.errors import CampaignError, ConflictError, IllegalTransitionError, NotFoundError
from streams.records.sending import Limits, PlanOpened, RowsReady, Span, SpansAdded, decode_sending
from streams.topics import Name
from tables.directory.suppressions import put_suppression
from tests.postgres import sql
from tests.tables.audience.audience_world import Directory, ledger, segment
from tests.tables.campaigns.campaign_world import World, make_world
from tests.tables.commands.expired import forget_expired

AB_TEST = {
    "variants": [
        {"variantId": letter, "name": letter, "subject": letter, "weight": 50} for letter in "AB"
    ],
    "winnerCriteria": "open_rate",
    "testDurationHours": 4,
    "testSamplePercent": 20,
}
REFUSED = {
    "duplicate": 2,
    "excluded": 1,
    "no-address": 1,
    "not-in-segment": 1,
    "re-entry": 1,
    "suppressed": 2,
    "unknown": 2,
}


@pytest.fixture
def directory(world: World) -> Directory:
    return Directory(world)


async def triggered(
    world: World, campaign_id: UUID, *contacts: UUID, **more: Any
) -> dict[str, Any]:
    """The counts. Raises the refusal."""
    answer = await world.answer(
        Verb.TRIGGER, campaign_id, {"contactIds": list(map(str, contacts))}, **more
    )
    answer.result()
    assert answer.status == 202
    return answer.outcome or {}


async def to_throttle(world: World) -> list[Any]:
    return [
        decode_sending(msgspec.json.encode(value))
        for topic, _, value in await world.outbox()
        if topic == Name.SENDING
    ]


async def number(world: World, campaign_id: UUID) -> int:
    return int(
        await sql(world.pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign_id)
    )


async def total(world: World, campaign_id: UUID) -> int:
    return int(
        await sql(world.pool).fetchval(
            "SELECT total_recipients FROM campaigns WHERE id = $1", campaign_id
        )
    )


async def test_a_triggered_campaign_runs_at_once_with_nobody_and_needs_no_segment(
    world: World,
) -> None:
    await sql(world.pool).execute("UPDATE tenants SET hourly_limit = 700 WHERE id = 'acme'")
    campaign_id = await world.created(
        type="triggered", segmentIds=[], throttleConfig={"messagesPerHour": 100}
    )
    campaign = await world.do(Verb.START, campaign_id, correlation_id="c-1")
    assert (campaign["status"], campaign["totalRecipients"], campaign["type"]) == (
        "running",
        0,
        "triggered",
    )
    assert campaign["startedAt"]
    [started] = [data for kind, data in await world.events() if kind == "campaign.started"]
    assert (started["totalRecipients"], started["startedAt"]) == (0, campaign["startedAt"])
    assert not [topic for topic, _, _ in await world.outbox() if topic == Name.EXPANSIONS]
    identity = ("acme", str(campaign_id), await number(world, campaign_id), "email")
    assert await to_throttle(world) == [
        PlanOpened(*identity, 0, (), Limits(100), Limits(700), is_endless=True, version=2)
    ]


async def test_contacts_enter_in_the_order_given_and_the_throttle_hears_of_them_in_that_order(
    directory: Directory,
) -> None:
    world = directory.world
    campaign_id = await world.started(type="triggered", segmentIds=[])
    one, two, three = await directory.add(
        world.segment, "a@example.com", "b@example.com", "c@example.com"
    )
    assert await triggered(world, campaign_id, three, one) == {"accepted": 2, "refused": {}}
    assert await triggered(world, campaign_id, two) == {"accepted": 1, "refused": {}}
    assert await ledger(world, await number(world, campaign_id)) == [three, one, two]
    assert await total(world, campaign_id) == 3
    mine = "acme", await number(world, campaign_id)
    first, second = SpansAdded(*mine, (Span(0, 2),), 2), SpansAdded(*mine, (Span(2, 3),), 3)
    assert (await to_throttle(world))[1:] == [
        first,
        RowsReady(*mine, 2),
        second,
        RowsReady(*mine, 3),
    ]
    ids = await sql(world.pool).fetch("SELECT event_id FROM outbox")
    assert len({row["event_id"] for row in ids}) == len(ids)


async def test_every_refused_contact_is_counted_under_its_first_reason(
    directory: Directory,
) -> None:
    world = directory.world
    other = Directory(await make_world(world.pool, world.settings, "globex"))
    excluded, elsewhere = await segment(world, "out"), await segment(world, "elsewhere")
    again, good, silent, mute, out, mail_less = await directory.add(
        world.segment,
        "a@example.com",
        "b@example.com",
        "c@example.com",
        "d@example.com",
        "e@example.com",
        None,
    )
    [outside] = await directory.add(elsewhere, "f@example.com")
    [foreign] = await other.add(other.world.segment, "g@example.com")
    await directory.join(excluded, out)
    async with world.pool.transaction() as connection:
        await put_suppression(connection, "acme", "email", contact_id=silent)
        await put_suppression(connection, "acme", "email", address="d@example.com")
        await put_suppression(connection, "acme", "sms", contact_id=good)
    campaign_id = await world.started(type="triggered", excludeSegmentIds=[str(excluded)])
    assert await triggered(world, campaign_id, again) == {"accepted": 1, "refused": {}}
    contacts = [good, again, silent, mute, out, mail_less, outside, foreign, uuid4(), good, again]
    assert await triggered(world, campaign_id, *contacts) == {"accepted": 1, "refused": REFUSED}
    assert await ledger(world, await number(world, campaign_id)) == [again, good]


async def test_a_trigger_that_takes_nobody_in_tells_the_throttle_nothing(world: World) -> None:
    campaign_id = await world.started(type="triggered", segmentIds=[])
    before = await world.outbox()
    assert await triggered(world, campaign_id, uuid4()) == {
        "accepted": 0,
        "refused": {"unknown": 1},
    }
    assert await world.outbox() == before


async def test_the_same_correlation_id_gets_the_first_answer_and_takes_nobody_in(
    directory: Directory,
) -> None:
    world = directory.world
    campaign_id = await world.started(
        type="triggered", segmentIds=[], settings={"reentry": {"policy": "always"}}
    )
    one, two = await directory.add(world.segment, "a@example.com", "b@example.com")
    first = await triggered(world, campaign_id, one, uuid4(), correlation_id="order-17")
    answers = await asyncio.gather(
        *(
            world.answer(
                Verb.TRIGGER, campaign_id, {"contactIds": [str(one)]}, correlation_id="order-18"
            )
            for _ in range(20)
        )
    )
    assert [answer.outcome for answer in answers] == [{"accepted": 1, "refused": {}}] * 20
    assert await ledger(world, await number(world, campaign_id)) == [one, one]
    with pytest.raises(ConflictError, match="other contacts"):
        await triggered(world, campaign_id, two, correlation_id="order-17")
    await world.do(Verb.PAUSE, campaign_id)
    again = await sql(world.pool).fetchval(
        "SELECT answer -> 'outcome' FROM answers WHERE scope = 'trigger' AND correlation_id = $1",
        f"{campaign_id}:order-17",
    )
    assert again == first
    repeat = await world.answer(
        Verb.TRIGGER, campaign_id, {"contactIds": [str(one)]}, correlation_id="order-18"
    )
    assert (repeat.status, repeat.outcome) == (202, {"accepted": 1, "refused": {}})
    another = await world.created(type="triggered", segmentIds=[])
    await world.do(Verb.START, another)
    assert await triggered(world, another, one, correlation_id="order-17") == {
        "accepted": 1,
        "refused": {},
    }


async def test_a_trigger_is_remembered_for_a_week_and_then_forgotten(directory: Directory) -> None:
    world, now, week = directory.world, datetime.now(UTC), timedelta(days=7)
    always = {"reentry": {"policy": "always"}}
    campaign_id = await world.started(type="triggered", segmentIds=[], settings=always)
    one, two = await directory.add(world.segment, "a@example.com", "b@example.com")
    campaign_number = await number(world, campaign_id)
    for n in range(3):
        await triggered(world, campaign_id, one, correlation_id=f"order-{n}", at=now)

    async def forgotten(after: timedelta, **limit: int) -> int:
        async with world.pool.transaction() as connection:
            return await forget_expired(connection, now + after, **limit)

    almost = week - timedelta(seconds=1)
    assert await forgotten(almost) == 0
    await triggered(world, campaign_id, one, correlation_id="order-0", at=now + almost)
    assert len(await ledger(world, campaign_number)) == 3  # it was remembered
    await triggered(world, campaign_id, two, correlation_id="order-0", at=now + week)
    assert await ledger(world, campaign_number) == [one, one, one, two]
    with pytest.raises(ConflictError, match="other contacts"):  # the new one is remembered instead
        await triggered(world, campaign_id, one, correlation_id="order-0", at=now + week)
    assert [await forgotten(week, limit=1) for _ in range(3)] == [1, 1, 0]
    left = await sql(world.pool).fetch("SELECT scope, correlation_id FROM answers")
    assert [tuple(row) for row in left] == [("trigger", f"{campaign_id}:order-0")]


@pytest.mark.parametrize(
    ("reentry", "after_a_day", "after_a_week"),
    [
        (None, 0, 0),
        ({"policy": "never"}, 0, 0),
        ({"policy": "after", "after": "P7D"}, 0, 1),
        ({"policy": "always"}, 1, 1),
    ],
    ids=["default", "never", "after", "always"],
)
async def test_re_entry_follows_the_policy(
    directory: Directory, reentry: dict[str, str] | None, after_a_day: int, after_a_week: int
) -> None:
    world, now = directory.world, datetime.now(UTC)
    settings = {"settings": {"reentry": reentry}} if reentry else {}
    campaign_id = await world.started(type="triggered", segmentIds=[], **settings)
    [contact] = await directory.add(world.segment, "a@example.com")
    entered = [
        (await triggered(world, campaign_id, contact, at=now + later))["accepted"]
        for later in (timedelta(0), timedelta(days=1))
    ]
    last = timedelta(days=1) if entered[1] else timedelta(0)
    entered.append(
        (await triggered(world, campaign_id, contact, at=now + last + timedelta(days=7)))[
            "accepted"
        ]
    )
    assert entered == [1, after_a_day, after_a_week]


async def test_a_period_longer_than_time_is_for_ever(directory: Directory) -> None:
    world = directory.world
    long = {"reentry": {"policy": "after", "after": "P999999999D"}}
    campaign_id = await world.started(type="triggered", segmentIds=[], settings=long)
    [contact] = await directory.add(world.segment, "a@example.com")
    assert [(await triggered(world, campaign_id, contact))["accepted"] for _ in range(2)] == [1, 0]


async def test_two_triggers_at_once_take_in_disjoint_contacts_both_and_the_same_contacts_once(
    directory: Directory,
) -> None:
    world = directory.world
    campaign_id = await world.started(type="triggered", segmentIds=[])
    contacts = await directory.add(world.segment, *(f"u{n}@example.com" for n in range(60)))
    answers = await asyncio.gather(
        triggered(world, campaign_id, *contacts[:20]),
        triggered(world, campaign_id, *contacts[20:40]),
        *(triggered(world, campaign_id, *contacts[40:]) for _ in range(8)),
    )
    assert [answer["accepted"] for answer in answers[:2]] == [20, 20]
    assert sorted(answer["accepted"] for answer in answers[2:]) == [0] * 7 + [20]
    assert sorted(await ledger(world, await number(world, campaign_id))) == sorted(contacts)
    heard = [record for record in await to_throttle(world) if isinstance(record, SpansAdded)]
    assert [record.spans[0].stop for record in heard] == [20, 40, 60]
    assert [record.spans[0].start for record in heard] == [0, 20, 40]


async def test_a_campaign_takes_in_no_more_than_the_limit_of_recipients(
    directory: Directory,
) -> None:
    world = directory.world
    world.settings = world.settings.model_copy(update={"max_recipients": 3})
    campaign_id = await world.started(type="triggered", segmentIds=[])
    contacts = await directory.add(world.segment, *(f"u{n}@example.com" for n in range(5)))
    assert await triggered(world, campaign_id, *contacts[:2]) == {"accepted": 2, "refused": {}}
    limited = await triggered(world, campaign_id, contacts[2], uuid4(), *contacts[3:])
    assert limited == {"accepted": 1, "refused": {"recipient-limit": 2, "unknown": 1}}
    assert await ledger(world, await number(world, campaign_id)) == contacts[:3]


async def test_only_a_running_triggered_campaign_can_be_triggered(directory: Directory) -> None:
    world = directory.world
    [contact] = await directory.add(world.segment, "a@example.com")
    plain, campaign_id = await world.started(), await world.created(type="triggered", segmentIds=[])
    with pytest.raises(IllegalTransitionError, match="type is one_time: only a triggered"):
        await triggered(world, plain, contact)
    with pytest.raises(
        IllegalTransitionError, match=r"is draft, which does not allow trigger\. It must be running"
    ):
        await triggered(world, campaign_id, contact)
    for verb, status in ((Verb.START, ""), (Verb.PAUSE, "paused"), (Verb.CANCEL, "cancelled")):
        await world.do(verb, campaign_id)
        if status:
            with pytest.raises(
                IllegalTransitionError, match=f"is {status}, which does not allow trigger"
            ):
                await triggered(world, campaign_id, contact)
    other = await make_world(world.pool, world.settings, "globex")
    with pytest.raises(NotFoundError):
        await triggered(other, campaign_id, contact)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "triggered", "recurringSchedule": {"cron": "0 9 * * 1"}}, "recurringSchedule"),
        ({"type": "triggered", "abTestConfig": AB_TEST}, "abTestConfig"),
        (
            {"type": "triggered", "settings": {"reentry": {"policy": "sometimes"}}},
            "settings.reentry.policy",
        ),
        ({"type": "triggered", "settings": {"reentry": {"policy": "after"}}}, "settings.reentry"),
        (
            {"type": "triggered", "settings": {"reentry": {"policy": "after", "after": "a week"}}},
            "settings.reentry.after",
        ),
        (
            {"type": "triggered", "settings": {"reentry": {"policy": "never", "after": "P7D"}}},
            "settings.reentry",
        ),
        ({"settings": {"reentry": {"policy": "always"}}}, "settings.reentry"),
        ({"segmentIds": []}, "segmentIds"),
    ],
    ids=[
        "recurring",
        "ab-test",
        "policy",
        "no-period",
        "bad-period",
        "two-policies",
        "one-time",
        "no-segment",
    ],
)
async def test_what_does_not_fit_the_type_is_refused(
    world: World, change: dict[str, Any], field: str
) -> None:
    with pytest.raises(CampaignError) as refused:
        await world.do(Verb.CREATE, body=world.draft(**change))
    assert field in [wrong.field for wrong in refused.value.errors]


async def test_a_triggered_campaign_gets_no_ab_test_by_its_verb_either(world: World) -> None:
    campaign_id = await world.created(type="triggered", segmentIds=[])
    with pytest.raises(CampaignError, match="a triggered campaign has none"):
        await world.do(Verb.AB_TEST, campaign_id, AB_TEST)


async def test_a_segment_of_another_service_is_refused_because_nobody_knows_its_members(
    world: World,
) -> None:
    await sql(world.pool).execute("UPDATE segments SET is_mirrored = true")
    for field in ("segmentIds", "excludeSegmentIds"):
        with pytest.raises(CampaignError) as refused:
            await world.created(type="triggered", **{"segmentIds": [], field: [str(world.segment)]})
        assert [wrong.field for wrong in refused.value.errors] == [field]
    await world.created()


async def test_a_draft_that_becomes_one_time_needs_what_a_one_time_campaign_needs(
    world: World,
) -> None:
    campaign_id = await world.created(
        type="triggered", segmentIds=[], settings={"reentry": {"policy": "always"}}
    )
    assert (await world.do(Verb.UPDATE, campaign_id, {"segmentIds": []}))["version"] == 1
    with pytest.raises(CampaignError) as refused:
        await world.do(Verb.UPDATE, campaign_id, {"type": "one_time"})
    assert {wrong.field for wrong in refused.value.errors} == {"segmentIds", "settings.reentry"}
    body = {"type": "one_time", "segmentIds": [str(world.segment)], "settings": {}}
    assert (await world.do(Verb.UPDATE, campaign_id, body))["type"] == "one_time"
    back = await world.do(Verb.UPDATE, campaign_id, {"type": "triggered", "segmentIds": []})
    assert (back["type"], back["segmentIds"]) == ("triggered", [])


async def test_the_time_of_a_trigger_grows_with_its_contacts_whatever_the_statistics_say(
    directory: Directory,
) -> None:
    world = directory.world
    contacts = await directory.add(world.segment, *(f"u{n}@example.com" for n in range(30_000)))
    excluded = await segment(world, "out")
    campaign_id = await world.started(type="triggered", excludeSegmentIds=[str(excluded)])
    times = dict[int, list[float]]({1_000: [], 9_000: []})
    for start in range(0, len(contacts), 10_000):
        for size, first in ((1_000, start), (9_000, start + 1_000)):
            began = time.perf_counter()
            accepted = await triggered(world, campaign_id, *contacts[first : first + size])
            times[size].append(time.perf_counter() - began)
            assert accepted == {"accepted": size, "refused": {}}
    # nine times as many take at most in proportion, and not 81 times as long
    assert min(times[9_000]) < 30 * min(times[1_000]), times
    assert await total(world, campaign_id) == 30_000
