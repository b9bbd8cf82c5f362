"""Templates and segments over REST: what is refused and why, what a campaign that is not over holds
on to.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.postgres import sql

_TEMPLATE = {
    "name": "Welcome",
    "channel": "email",
    "content": {"subject": "Hello", "html": "<p>{{ firstName }}</p>"},
}


async def created(rest: Rest, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await rest.admin.post(path, json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


async def contact(rest: Rest, email: str) -> str:
    return str((await created(rest, "/contacts", {"email": email}))["id"])


def fields(found: dict[str, object]) -> dict[str, str]:
    errors = found["errors"]
    assert isinstance(errors, list)
    return {error["field"]: error["message"] for error in errors}


async def test_a_template_is_created_read_changed_and_deleted(rest: Rest) -> None:
    made = await created(rest, "/templates", _TEMPLATE)
    assert {name: made[name] for name in _TEMPLATE} == _TEMPLATE and made["hints"] == {
        "bytes": 7,
        "limit": 102_000,
        "isExact": False,
    }
    path = f"/templates/{made['id']}"
    assert (await rest.of["viewer"].get(path)).json()["data"] == made
    changed = (
        await rest.admin.patch(path, json={"content": {"subject": "Hi", "text": "x"}})
    ).json()["data"]
    assert (changed["name"], changed["content"]) == ("Welcome", {"subject": "Hi", "text": "x"})
    assert (await rest.admin.patch(path, json={"name": "Other"})).json()["data"][
        "content"
    ] == changed["content"]
    assert (await rest.admin.delete(path)).status_code == 204
    for answer in (
        await rest.admin.get(path),
        await rest.admin.patch(path, json={"name": "x"}),
        await rest.admin.delete(path),
    ):
        problem(answer, 404)


async def test_a_template_that_cannot_be_rendered_names_part_line_and_rule(rest: Rest) -> None:
    broken = {**_TEMPLATE, "content": {"subject": "Hello", "html": "<p>\n{% if %}</p>"}}
    wrong = fields(problem(await rest.admin.post("/templates", json=broken), 422))
    assert list(wrong) == ["content.html"] and "line 2" in wrong["content.html"]
    made = await created(rest, "/templates", _TEMPLATE)
    for content in (
        broken["content"],
        {"subject": "x"},
        {"text": "x"},
        {"subject": "x", "html": 1},
        {},
    ):
        problem(await rest.admin.patch(f"/templates/{made['id']}", json={"content": content}), 422)
    assert (await rest.admin.get(f"/templates/{made['id']}")).json()["data"] == made
    for body in (
        {**_TEMPLATE, "channel": "fax"},
        {**_TEMPLATE, "name": " "},
        {**_TEMPLATE, "more": 1},
        {"name": "x", "channel": "sms"},
    ):
        problem(await rest.admin.post("/templates", json=body), 422)


async def test_templates_are_listed_by_page_channel_and_part_of_the_name(rest: Rest) -> None:
    for number in range(5):
        await created(
            rest,
            "/templates",
            {"name": f"Text 100%_{number}", "channel": "sms", "content": {"text": "x"}},
        )
    await created(rest, "/templates", _TEMPLATE)
    answer = (
        await rest.admin.get("/templates?pageSize=2&page=2&channel=sms&search=T 100%25_")
    ).json()
    assert [one["name"] for one in answer["data"]] == ["Text 100%_2", "Text 100%_1"]
    assert answer["meta"] == {"page": 2, "pageSize": 2, "total": 5, "totalPages": 3}
    assert (await rest.admin.get("/templates?search=1000")).json()["data"] == []
    for query in ("page=0", "pageSize=101", "pageSize=x", "channel=fax", "page=10001"):
        problem(await rest.admin.get(f"/templates?{query}"), 422)


async def test_a_template_in_use_stays_and_one_of_a_finished_campaign_goes(rest: Rest) -> None:
    campaign = await rest.draft()
    path = f"/templates/{rest.world.template}"
    assert "January (draft)" in str(problem(await rest.admin.delete(path), 409)["detail"])
    await rest.admin.post(f"/campaigns/{campaign['id']}/start")
    assert "January (running)" in str(problem(await rest.admin.delete(path), 409)["detail"])
    await rest.admin.post(f"/campaigns/{campaign['id']}/cancel")
    assert (await rest.admin.delete(path)).status_code == 204
    shown = (await rest.admin.get(f"/campaigns/{campaign['id']}")).json()["data"]
    assert shown["templateId"] == str(rest.world.template)
    wrong = fields(problem(await rest.admin.post("/campaigns", json=rest.world.draft()), 422))
    assert list(wrong) == ["templateId"]


async def test_a_template_and_a_campaign_that_needs_it_never_miss_each_other(rest: Rest) -> None:
    """Whoever comes second is refused: a campaign without its template cannot arise."""
    for _ in range(10):
        template = await created(rest, "/templates", _TEMPLATE)
        draft = rest.world.draft(templateId=template["id"])
        deleted, made = await asyncio.gather(
            rest.admin.delete(f"/templates/{template['id']}"),
            rest.admin.post("/campaigns", json=draft),
        )
        assert (deleted.status_code, made.status_code) in ((204, 422), (409, 201))


@pytest.mark.parametrize(
    ("path", "body"),
    [("/templates", _TEMPLATE), ("/segments", {"name": "Customers"})],
    ids=["template", "segment"],
)
async def test_a_repeated_request_with_its_key_gets_the_first_answer_and_makes_nothing(
    rest: Rest, path: str, body: dict[str, Any]
) -> None:
    before = (await rest.admin.get(path)).json()["meta"]["total"]
    headers = {"Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(rest.admin.post(path, json=body, headers=headers) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["id"] for answer in answers}) == 1
    assert (await rest.admin.get(path)).json()["meta"]["total"] == before + 1
    problem(await rest.admin.post(path, json={**body, "name": "Other"}, headers=headers), 409)
    refused = [
        await rest.admin.post(
            path, json={**body, "name": "everybody" if path == "/segments" else ""}
        )
        for _ in range(2)
    ]
    assert {answer.status_code for answer in refused} <= {409, 422}


async def test_a_segment_has_a_name_of_its_own(rest: Rest) -> None:
    made = await created(rest, "/segments", {"name": " Customers "})
    assert (made["name"], made["memberCount"]) == ("Customers", 0)
    assert fields(problem(await rest.admin.post("/segments", json={"name": "Customers"}), 409)) == {
        "name": "another segment of this tenant has this name"
    }
    path = f"/segments/{made['id']}"
    problem(await rest.admin.patch(path, json={"name": "everybody"}), 409)
    assert (await rest.admin.patch(path, json={"name": "Clients"})).json()["data"] == {
        **made,
        "name": "Clients",
    }
    assert (await rest.stranger.post("/segments", json={"name": "Clients"})).status_code == 201
    assert (await rest.admin.delete(path)).status_code == 204
    for answer in (
        await rest.admin.get(path),
        await rest.admin.patch(path, json={"name": "x"}),
        await rest.admin.delete(path),
    ):
        problem(answer, 404)


async def test_members_are_added_counted_listed_and_removed(rest: Rest) -> None:
    contacts = sorted([await contact(rest, f"u{number}@example.com") for number in range(5)])
    segment = await created(rest, "/segments", {"name": "Customers"})
    path = f"/segments/{segment['id']}"
    assert (await rest.admin.post(f"{path}/members", json={"contactIds": contacts})).json()[
        "data"
    ] == {"added": 5}
    assert (await rest.admin.post(f"{path}/members", json={"contactIds": contacts[:2]})).json()[
        "data"
    ] == {"added": 0}
    assert (await rest.admin.get(path)).json()["data"]["memberCount"] == 5
    listed = (await rest.admin.get("/segments?search=CUST")).json()
    assert [(one["name"], one["memberCount"]) for one in listed["data"]] == [("Customers", 5)]
    seen, cursor = [], ""
    while True:
        answer = (await rest.admin.get(f"{path}/members?limit=2{cursor}")).json()
        seen += [one["id"] for one in answer["data"]]
        if (following := answer["meta"]["nextCursor"]) is None:
            break
        cursor = f"&cursor={following}"
    assert seen == contacts
    removed = await rest.admin.post(
        f"{path}/members/remove", json={"contactIds": [contacts[0], str(uuid4())]}
    )
    assert removed.json()["data"] == {"removed": 1}
    assert (await rest.admin.delete(f"{path}/members/{contacts[1]}")).status_code == 204
    problem(await rest.admin.delete(f"{path}/members/{contacts[1]}"), 404)
    assert (await rest.admin.get(path)).json()["data"]["memberCount"] == 3


async def test_an_unknown_or_foreign_member_is_refused_and_nobody_is_put_in(rest: Rest) -> None:
    mine = await contact(rest, "a@example.com")
    foreign = (await rest.stranger.post("/contacts", json={"email": "a@example.com"})).json()[
        "data"
    ]["id"]
    path = f"/segments/{rest.world.segment}/members"
    for wrong in (foreign, str(uuid4())):
        assert (
            wrong
            in fields(
                problem(await rest.admin.post(path, json={"contactIds": [mine, wrong]}), 422)
            )["contactIds"]
        )
    bodies: list[dict[str, list[str]]] = [
        {"contactIds": ids} for ids in ([], [str(uuid4())] * 10_001, ["x"])
    ]
    for body in (*bodies, {}):
        problem(await rest.admin.post(path, json=body), 422)
    assert (await rest.admin.get(path)).json()["data"] == []


@pytest.mark.parametrize("role", ["segmentIds", "excludeSegmentIds"])
async def test_a_segment_in_use_stays(rest: Rest, role: str) -> None:
    segment = await created(rest, "/segments", {"name": "Customers"})
    campaign = await rest.draft(**{role: [segment["id"]]})
    path = f"/segments/{segment['id']}"
    assert "January (draft)" in str(problem(await rest.admin.delete(path), 409)["detail"])
    await rest.admin.delete(f"/campaigns/{campaign['id']}")
    assert (await rest.admin.delete(path)).status_code == 204


async def test_a_copy_of_another_service_is_changed_there(rest: Rest) -> None:
    template, segment = rest.world.template, rest.world.segment
    await sql(rest.world.pool).execute("UPDATE templates SET is_mirrored = true")
    await sql(rest.world.pool).execute("UPDATE segments SET is_mirrored = true")
    someone = {"contactIds": [await contact(rest, "a@example.com")]}
    for answer in (
        await rest.admin.patch(f"/templates/{template}", json={"name": "x"}),
        await rest.admin.delete(f"/templates/{template}"),
        await rest.admin.patch(f"/segments/{segment}", json={"name": "x"}),
        await rest.admin.post(f"/segments/{segment}/members", json=someone),
        await rest.admin.post(f"/segments/{segment}/members/remove", json=someone),
    ):
        assert "another service" in str(problem(answer, 409)["detail"])


async def test_others_are_served_while_a_template_is_read_that_is_written_to_take_long(
    rest: Rest,
) -> None:
    loop, end = "{% for x in [1] %}<a href=x", "{% endfor %}"
    html = f"{loop * 16}{'<p>' * 60_000}{end * 16}"
    body = {"name": "long", "channel": "email", "content": {"subject": "s", "html": html}}
    long = asyncio.create_task(rest.admin.post("/templates", json=body))
    served = 0
    while not long.done():
        assert (await rest.stranger.get("/templates")).status_code == 200
        served += 1
    assert (await long).status_code == 201
    assert served >= 5
