"""`POST /campaigns/{id}/trigger`: who may, what it answers, and what makes two requests the same
trigger.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.tables.audience.audience_world import Directory


@pytest.fixture
def directory(rest: Rest) -> Directory:
    return Directory(rest.world)


async def welcome(rest: Rest, **more: Any) -> str:
    """The path of a running triggered campaign that anybody may enter."""
    return f"/campaigns/{(await rest.running(type='triggered', segmentIds=[], **more))['id']}"


async def test_a_trigger_answers_202_with_counts_and_the_campaign_shows_the_total(
    rest: Rest, directory: Directory
) -> None:
    path = await welcome(rest)
    contacts = list(
        map(str, await directory.add(rest.world.segment, "a@example.com", "b@example.com"))
    )
    answer = await rest.of["sender"].post(
        f"{path}/trigger", json={"contactIds": [*contacts, str(uuid4())]}
    )
    assert (answer.status_code, answer.json()) == (
        202,
        {"success": True, "data": {"accepted": 2, "refused": {"unknown": 1}}},
    )
    shown = await rest.of["viewer"].get(path)
    campaign = shown.json()["data"]
    assert (campaign["totalRecipients"], campaign["version"], shown.headers["etag"]) == (
        2,
        2,
        '"2"',
    )
    listed = (await rest.of["viewer"].get(f"{path}/recipients")).json()
    assert [row["contactId"] for row in listed["data"]] == contacts
    assert listed["meta"]["total"] == 2


async def test_only_a_sender_of_the_same_tenant_may_trigger(rest: Rest) -> None:
    path, body = await welcome(rest), {"contactIds": [str(uuid4())]}
    problem(await rest.nobody.post(f"{path}/trigger", json=body), 401)
    for role in ("viewer", "editor"):
        problem(await rest.of[role].post(f"{path}/trigger", json=body), 403)
    problem(await rest.stranger.post(f"{path}/trigger", json=body), 404)
    problem(await rest.admin.post(f"/campaigns/{uuid4()}/trigger", json=body), 404)


async def test_twenty_identical_requests_are_one_trigger(rest: Rest, directory: Directory) -> None:
    path = await welcome(rest, settings={"reentry": {"policy": "always"}})
    one, two = map(str, await directory.add(rest.world.segment, "a@example.com", "b@example.com"))

    async def trigger(contact: str) -> Any:
        return await rest.admin.post(
            f"{path}/trigger",
            json={"contactIds": [contact]},
            headers={"Idempotency-Key": "order-17"},
        )

    answers = await asyncio.gather(*(trigger(one) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert [answer.json()["data"] for answer in answers] == [{"accepted": 1, "refused": {}}] * 20
    repeats = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert (repeats.count(None), repeats.count("true")) == (1, 19)
    assert (await rest.admin.get(path)).json()["data"]["totalRecipients"] == 1
    problem(await trigger(two), 409)
    without = [
        (await rest.admin.post(f"{path}/trigger", json={"contactIds": [one]})).json()["data"][
            "accepted"
        ]
        for _ in range(2)
    ]
    assert without == [1, 1]


async def test_a_trace_id_makes_no_repeats_of_orders(rest: Rest, directory: Directory) -> None:
    """Gateways give one X-Correlation-Id to all requests of a session."""
    path = await welcome(rest, settings={"reentry": {"policy": "always"}})
    one, two = map(str, await directory.add(rest.world.segment, "a@example.com", "b@example.com"))
    for contact in (one, one, two, one):
        answer = await rest.admin.post(
            f"{path}/trigger",
            json={"contactIds": [contact]},
            headers={"X-Correlation-Id": "session-1"},
        )
        assert (answer.status_code, answer.json()["data"]["accepted"]) == (202, 1)
        assert "idempotency-replayed" not in answer.headers
    assert (await rest.admin.get(path)).json()["data"]["totalRecipients"] == 4


async def test_every_repeat_is_marked_and_only_a_repeat(rest: Rest) -> None:
    campaign = await rest.draft()
    requests: list[tuple[str, object]] = [
        ("/campaigns", rest.world.draft(name="February")),
        ("/segments", {"name": "Customers"}),
        ("/segments", {"name": "Customers"}),  # a refusal is repeated, too
        (f"/campaigns/{campaign['id']}/pause", None),
        (f"/campaigns/{campaign['id']}/start", None),
    ]
    for place, (path, body) in enumerate(requests):
        key = {"Idempotency-Key": f"order-{place}"}
        first = await rest.admin.post(path, json=body, headers=key)
        again = await rest.admin.post(path, json=body, headers=key)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (
            first.status_code,
            "true",
        ), path
        assert "idempotency-replayed" not in first.headers


async def test_a_trigger_that_was_refused_may_be_repeated_once_the_campaign_runs(
    rest: Rest, directory: Directory
) -> None:
    path = await welcome(rest)
    [contact] = await directory.add(rest.world.segment, "a@example.com")
    await rest.admin.post(f"{path}/pause")
    request: dict[str, Any] = {
        "json": {"contactIds": [str(contact)]},
        "headers": {"X-Correlation-Id": "signup-1"},
    }
    found = problem(await rest.admin.post(f"{path}/trigger", **request), 409)
    assert (
        found["detail"]
        == "The campaign is paused, which does not allow trigger. It must be running."
    )
    await rest.admin.post(f"{path}/resume")
    assert (await rest.admin.post(f"{path}/trigger", **request)).json()["data"]["accepted"] == 1


async def test_a_trigger_names_1_to_10_000_contacts(rest: Rest) -> None:
    path = await welcome(rest)
    bad: list[tuple[object, str]] = [
        ({"contactIds": []}, "contactIds"),
        ({"contactIds": ["x"]}, "contactIds.0"),
        ({"contactIds": [7]}, "contactIds.0"),
        ({}, "contactIds"),
        ({"contactIds": [str(uuid4())], "colour": "red"}, "colour"),
        ({"contactIds": [str(uuid4())] * 10_001}, "contactIds"),
    ]
    for body, field in bad:
        found = problem(await rest.admin.post(f"{path}/trigger", json=body), 422)
        assert isinstance(found["errors"], list) and found["errors"][0]["field"] == field
    answer = await rest.admin.post(f"{path}/trigger", json={"contactIds": [str(uuid4())] * 10_000})
    assert answer.json()["data"] == {"accepted": 0, "refused": {"duplicate": 9_999, "unknown": 1}}


async def test_a_campaign_of_another_type_is_not_triggered(rest: Rest) -> None:
    campaign = await rest.running()
    found = problem(
        await rest.admin.post(
            f"/campaigns/{campaign['id']}/trigger", json={"contactIds": [str(uuid4())]}
        ),
        409,
    )
    assert "one_time" in str(found["detail"])
