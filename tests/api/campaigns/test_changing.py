"""What holds for every change of a campaign: PATCH by status, Idempotency-Key, ETag and If-Match,
and the known limits.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from streams.contracts.fields import Status
from tables.commands import milestones
from tests.api.campaigns.test_routes import problem
from tests.api.specified import AB_TEST, CREATE, SCHEDULE, WINNER, create, furnish
from tests.api.world import Rest

# What may change when; design: rules of PATCH by status.
CHANGES: dict[str, Any] = {
    "name": "changed",
    "description": "changed",
    "throttleConfig": {"messagesPerHour": 500},
    "channel": "sms",
    "type": "triggered",
    "templateId": None,
    "segmentIds": ["550e8400-e29b-41d4-a716-446655440003"],
    "excludeSegmentIds": [],
    "scheduledAt": "2031-01-28T09:00:00Z",
    "timezone": "Europe/Berlin",
    "settings": {},
    "abTestConfig": AB_TEST,
    "recurringSchedule": {"cron": "0 9 * * 1"},
}
WHILE_SENT, AFTERWARDS = {"name", "description", "throttleConfig"}, {"name", "description"}
EDITABLE = {
    Status.RUNNING: WHILE_SENT,
    Status.PAUSED: WHILE_SENT,
    Status.COMPLETED: AFTERWARDS,
    Status.CANCELLED: AFTERWARDS,
}
WAYS: dict[Status, tuple[str, ...]] = {
    Status.DRAFT: (),
    Status.SCHEDULED: ("schedule",),
    Status.RUNNING: ("start",),
    Status.PAUSED: ("start", "pause"),
    Status.COMPLETED: ("start",),  # and then the engine
    Status.CANCELLED: ("start", "cancel"),
}


@pytest.fixture
async def acme(rest: Rest) -> Rest:
    """With what the specification's bodies name."""
    return await furnish(rest)


@pytest.mark.parametrize("status", list(Status))
async def test_what_a_patch_may_change_depends_on_the_status_and_the_rest_names_both_states(
    acme: Rest, status: Status
) -> None:
    campaign = await _in_status(acme, status)
    allowed = {
        Status.RUNNING: WHILE_SENT,
        Status.PAUSED: WHILE_SENT,
        Status.COMPLETED: AFTERWARDS,
        Status.CANCELLED: AFTERWARDS,
    }.get(status, set(CHANGES))
    for field in CHANGES.keys() - allowed:
        refused = problem(
            await acme.admin.patch(f"/campaigns/{campaign}", json={field: CHANGES[field]}), 409
        )
        assert f"The campaign is {status}: {field} can no longer be changed" in str(
            refused["detail"]
        )
        assert "it must be draft or scheduled" in str(refused["detail"])
    own_rules = {
        "channel",
        "type",
        "templateId",
        "recurringSchedule",
    }  # refused for what they are, not for the status
    for field in sorted(allowed):
        answer = await acme.admin.patch(f"/campaigns/{campaign}", json={field: CHANGES[field]})
        assert answer.status_code in ((200, 422) if field in own_rules else (200,)), answer.text


async def _in_status(rest: Rest, status: Status) -> str:
    campaign = str((await create(rest, scheduledAt="2030-01-28T09:00:00Z"))["id"])
    for verb in WAYS[status]:
        body = {**SCHEDULE, "scheduledAt": "2030-01-28T09:00:00Z"} if verb == "schedule" else {}
        assert (
            await rest.admin.post(f"/campaigns/{campaign}/{verb}", json=body)
        ).status_code == 200
    if status is Status.COMPLETED:
        async with rest.world.pool.transaction() as connection:
            await milestones.finished(
                connection, "acme", UUID(campaign), sent=1, skipped=0, at=datetime.now(UTC)
            )
    return campaign


async def test_twenty_requests_under_one_idempotency_key_are_one(acme: Rest) -> None:
    async def twenty(path: str, body: Any, key: str) -> Any:
        answers = await asyncio.gather(
            *(acme.admin.post(path, json=body, headers={"Idempotency-Key": key}) for _ in range(20))
        )
        assert {answer.is_success for answer in answers} == {True}
        assert all(answer.json() == answers[0].json() for answer in answers)
        return answers[0].json()["data"]

    campaign = await twenty("/campaigns", CREATE, "create")
    assert (await acme.admin.get("/campaigns")).json()["meta"]["total"] == 1
    path, versions = f"/campaigns/{campaign['id']}", []
    later = {**SCHEDULE, "scheduledAt": "2031-01-28T09:00:00Z"}
    for verb, body in (
        ("schedule", later),
        ("ab-test", AB_TEST),
        ("start", {}),
        ("pause", {}),
        ("resume", {}),
        ("cancel", {}),
    ):
        versions.append((await twenty(f"{path}/{verb}", body, verb))["version"])
    assert versions == [2, 3, 4, 5, 6, 7]


async def test_every_change_takes_if_match_and_answers_an_etag(acme: Rest) -> None:
    campaign = await create(acme)
    path, version = f"/campaigns/{campaign['id']}", 1
    later = {**SCHEDULE, "scheduledAt": "2031-01-28T09:00:00Z"}
    steps: list[tuple[str, str, Any]] = [
        ("PATCH", "", {"name": "x"}),
        ("POST", "/ab-test", AB_TEST),
        ("POST", "/schedule", later),
        ("POST", "/start", None),
        ("POST", "/ab-test/winner", WINNER),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/cancel", None),
        ("DELETE", "", None),
    ]
    for method, route, body in steps:
        stale = await acme.admin.request(
            method, path + route, json=body, headers={"If-Match": '"99"'}
        )
        problem(stale, 412)
        answer = await acme.admin.request(
            method, path + route, json=body, headers={"If-Match": f'"{version}"'}
        )
        assert answer.is_success, answer.text
        if method != "DELETE":
            version = answer.json()["data"]["version"]
            assert answer.headers["etag"] == f'"{version}"'


async def test_the_known_limits_are_rules_with_their_numbers(acme: Rest) -> None:
    variants = [
        {"variantId": letter, "name": letter, "subject": letter, "weight": weight}
        for letter, weight in zip("ABCDEF", [20, 20, 20, 20, 10, 10], strict=True)
    ]
    half_hourly = {"cron": "*/30 * * * *", "timezone": "Europe/Berlin"}
    broken: list[tuple[dict[str, Any], str]] = [
        ({"throttleConfig": {"messagesPerHour": 99}}, "100"),
        ({"abTestConfig": {**AB_TEST, "variants": variants}}, "5"),
        ({"abTestConfig": {**AB_TEST, "variants": variants[:1]}}, "2"),
        ({"type": "recurring", "recurringSchedule": half_hourly}, "60 min"),
    ]
    for change, number in broken:
        assert number in str(
            problem(await acme.admin.post("/campaigns", json={**CREATE, **change}), 422)["detail"]
        )
    running = [(await create(acme, name=f"n{n}"))["id"] for n in range(6)]
    started = [(await acme.admin.post(f"/campaigns/{campaign}/start")) for campaign in running]
    assert [answer.status_code for answer in started] == [200] * 5 + [409]
    assert "limit is 5 running campaigns" in str(problem(started[5], 409)["detail"])
