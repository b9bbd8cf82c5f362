"""A start says who gets nothing, and warns when that is most people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api.limits.slots import COUNTS, Room, Slots
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest


async def _campaign(rest: Rest, people: list[dict[str, Any]], text: str = "Hi") -> str:
    """A draft for these people."""
    content = {"subject": "s", "text": text}
    body = {"name": "t", "channel": "email", "content": content}
    template = (await rest.admin.post("/templates", json=body)).json()["data"]["id"]
    rows = [{"externalId": f"p{number}", **one} for number, one in enumerate(people)]
    joined = await rest.admin.post("/contacts/bulk?segment=people", json=rows)
    assert joined.json()["data"]["rejected"] == 0, joined.text
    segment = joined.json()["data"]["segmentId"]
    draft = await rest.draft(templateId=template, segmentIds=[segment], excludeSegmentIds=[])
    return str(draft["id"])


async def _started(rest: Rest, campaign_id: str, **headers: str) -> dict[str, Any]:
    answer = await rest.admin.post(f"/campaigns/{campaign_id}/start", headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


async def test_a_start_says_who_is_left_out_and_warns_when_that_is_most_of_them(
    rest: Rest,
) -> None:
    people = [{"email": "a@example.com"}, *({"phone": f"+1202555010{n}"} for n in range(2))]
    campaign_id = await _campaign(rest, people)
    started = await _started(rest, campaign_id)
    dry_run = started["dryRun"]
    assert (dry_run["total"], dry_run["inSegments"], dry_run["excluded"]["no-address"]) == (1, 3, 2)
    assert (dry_run["sampled"], dry_run["unrendered"]) == (1, 0)
    assert started["warning"] == "2 of 3 contacts in the segments get nothing: no-address 2"
    assert started["status"] == "running"


async def test_a_start_warns_when_the_message_cannot_be_rendered_for_most(rest: Rest) -> None:
    people: list[dict[str, Any]] = [{"email": f"{n}@example.com"} for n in range(3)]
    people[0]["attributes"] = {"plan": "pro"}
    started = await _started(rest, await _campaign(rest, people, "{{ contact.attributes.plan }}"))
    assert (started["dryRun"]["sampled"], started["dryRun"]["unrendered"]) == (3, 2)
    assert started["warning"].startswith(
        "for 2 of 3 contacts looked at the message cannot be rendered, for one because of"
        " content.text: text, line 1: "
    )


async def test_a_start_that_reaches_most_has_no_warning_and_a_repeat_says_the_same(
    rest: Rest,
) -> None:
    people = [{"email": "a@example.com"}, {"email": "b@example.com"}, {"phone": "+12025550100"}]
    campaign_id = await _campaign(rest, people)
    key = {"Idempotency-Key": "start-once"}
    started = await _started(rest, campaign_id, **key)
    assert started["warning"] is None and started["dryRun"]["total"] == 2
    assert await _started(rest, campaign_id, **key) == started
    problem(await rest.admin.post(f"/campaigns/{campaign_id}/start"), 409)


async def test_a_start_whose_audience_cannot_be_counted_is_a_start(rest: Rest) -> None:
    campaign_id = await _campaign(rest, [{"email": "a@example.com"}])

    class Busy(Slots):
        @asynccontextmanager
        async def slot(self, room: Room, tenant: str) -> AsyncIterator[None]:
            if room is COUNTS:
                raise room.refusal()
            async with super().slot(room, tenant):
                yield

    rest.use(slots=Busy())
    started = await _started(rest, campaign_id)
    assert (started["status"], started["dryRun"], started["warning"]) == ("running", None, None)
