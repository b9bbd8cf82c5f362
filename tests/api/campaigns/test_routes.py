"""The campaign routes: lifecycle, concurrency control, idempotency, lists and the limit of running
campaigns.
"""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import httpx

from tests.api import specified
from tests.api.world import Rest

_IDS = ("templateId", "segmentIds", "excludeSegmentIds")  # of the directory: a test has its own
SPECIFIED = {name: value for name, value in specified.CREATE.items() if name not in _IDS}


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """The problem document of a refusal, its common members checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, object] = answer.json()
    assert (
        found["success"] is False
        and found["status"] == status
        and found["title"]
        and found["detail"]
        and found["correlationId"]
    )
    assert isinstance(found["type"], str) and found["type"].startswith("urn:campaigns:problem:")
    return found


async def test_the_body_of_the_specification_comes_back_as_a_draft(rest: Rest) -> None:
    body = rest.world.draft(**SPECIFIED)
    answer = await rest.admin.post("/campaigns", json=body)
    assert (answer.status_code, answer.json()["success"], answer.headers["etag"]) == (
        201,
        True,
        '"1"',
    )
    campaign = answer.json()["data"]
    assert campaign["scheduledAt"] == "2026-01-28T09:00:00.000Z"
    assert {name: campaign[name] for name in body if name != "scheduledAt"} == {
        n: v for n, v in body.items() if n != "scheduledAt"
    }
    assert (
        campaign["status"],
        campaign["tenantId"],
        campaign["startedAt"],
        campaign["deletedAt"],
    ) == ("draft", "acme", None, None)
    again = await rest.admin.get(f"/campaigns/{campaign['id']}")
    assert again.headers["etag"] == '"1"'
    assert again.json()["data"] == {**campaign, "waiting": None, "progress": None}


async def test_a_campaign_goes_through_its_life_and_every_answer_names_the_new_status(
    rest: Rest,
) -> None:
    campaign = await rest.draft()
    for verb, status in (
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "cancelled"),
    ):
        answer = await rest.admin.post(f"/campaigns/{campaign['id']}/{verb}")
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["status"] == status
        assert ("inFlight" in answer.json()["data"]) is (verb in ("pause", "cancel"))
        assert (
            answer.json()["data"].get("inFlight") is None
        )  # without Kafka nobody knows, and nothing is claimed
    answer = await rest.admin.delete(f"/campaigns/{campaign['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(await rest.admin.get(f"/campaigns/{campaign['id']}"), 404)


async def test_why_a_campaign_is_paused_is_kept(rest: Rest) -> None:
    campaign = await rest.running()
    answer = await rest.admin.post(
        f"/campaigns/{campaign['id']}/pause", json={"reason": "wrong price"}
    )
    assert answer.json()["data"]["statusReason"] == "wrong price"
    shown = (await rest.admin.get(f"/campaigns/{campaign['id']}")).json()["data"]
    assert shown["waiting"] == {"reason": "paused", "until": None}


async def test_an_illegal_transition_names_both_states(rest: Rest) -> None:
    campaign = await rest.draft()
    for verb, target in (("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        found = problem(await rest.admin.post(f"/campaigns/{campaign['id']}/{verb}"), 409)
        assert "is draft" in str(found["detail"]) and target in str(found["detail"])


async def test_a_patch_changes_what_it_names_and_nothing_else(rest: Rest) -> None:
    campaign = await rest.draft(description="first")
    answer = await rest.admin.patch(f"/campaigns/{campaign['id']}", json={"name": "February"})
    changed = answer.json()["data"]
    assert (
        changed["name"],
        changed["description"],
        changed["version"],
        answer.headers["etag"],
    ) == ("February", "first", 2, '"2"')
    cleared = await rest.admin.patch(f"/campaigns/{campaign['id']}", json={"description": None})
    assert cleared.json()["data"]["description"] is None


async def test_a_running_campaign_keeps_its_audience(rest: Rest) -> None:
    campaign = await rest.running()
    problem(await rest.admin.patch(f"/campaigns/{campaign['id']}", json={"segmentIds": []}), 409)
    answer = await rest.admin.patch(
        f"/campaigns/{campaign['id']}", json={"throttleConfig": {"messagesPerHour": 100}}
    )
    assert answer.json()["data"]["throttleConfig"] == {"messagesPerHour": 100}


async def test_if_match_lets_only_one_of_two_editors_through(rest: Rest) -> None:
    campaign = await rest.draft()
    path, seen = f"/campaigns/{campaign['id']}", {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(rest.admin.patch(path, json={"name": f"edit {n}"}, headers=seen) for n in range(2))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert (
        problem(next(a for a in answers if a.status_code == 412), 412)["type"]
        == "urn:campaigns:problem:precondition-failed"
    )
    problem(await rest.admin.post(f"{path}/start", headers=seen), 412)
    problem(await rest.admin.delete(path, headers=seen), 412)
    problem(await rest.admin.patch(path, json={"name": "x"}, headers={"If-Match": "banana"}), 400)
    assert (await rest.admin.delete(path, headers={"If-Match": '"2"'})).status_code == 204


async def test_a_repeat_under_the_same_idempotency_key_gets_the_first_answer(rest: Rest) -> None:
    body, key = rest.world.draft(), {"Idempotency-Key": "once"}
    answers = await asyncio.gather(
        *(rest.admin.post("/campaigns", json=body, headers=key) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert all(answer.json() == answers[0].json() for answer in answers)
    problem(await rest.admin.post("/campaigns", json={**body, "name": "other"}, headers=key), 409)
    assert (await rest.admin.get("/campaigns")).json()["meta"]["total"] == 1
    first = answers[0].json()["data"]["id"]
    started = [
        await rest.admin.post(f"/campaigns/{first}/start", headers={"Idempotency-Key": "start"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in started] == [200, 200] and started[
        0
    ].json() == started[1].json()
    foreign = await rest.stranger.post("/campaigns", json=body, headers=key)
    assert foreign.status_code == 422  # the key is the other tenant's own, and so are its segments


async def test_an_idempotency_key_that_cannot_be_one_is_malformed(rest: Rest) -> None:
    for key in (b"", b"x" * 129, "caf\u00e9".encode("latin-1")):
        found = problem(
            await rest.admin.post(
                "/campaigns", json=rest.world.draft(), headers={b"Idempotency-Key": key}
            ),
            400,
        )
        assert "Idempotency-Key" in str(found["detail"])


async def test_of_twenty_racing_starts_five_win_and_the_others_learn_the_limit(rest: Rest) -> None:
    ids = [(await rest.draft(name=f"c{n}"))["id"] for n in range(20)]
    answers = await asyncio.gather(
        *(rest.admin.post(f"/campaigns/{campaign}/start") for campaign in ids)
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [409] * 15
    lost = problem(next(answer for answer in answers if answer.status_code == 409), 409)
    assert "5 campaigns of this tenant are running" in str(lost["detail"])
    assert (await rest.admin.get("/campaigns?status=running")).json()["meta"]["total"] == 5


async def test_lists_are_paged_filtered_and_searched(rest: Rest) -> None:
    for n in range(5):
        await rest.draft(name=f"Sale {n}" if n % 2 else f"100% news {n}")
    answer = (await rest.admin.get("/campaigns?page=2&pageSize=2")).json()
    assert answer["meta"] == {"page": 2, "pageSize": 2, "total": 5, "totalPages": 3}
    assert [campaign["name"] for campaign in answer["data"]] == ["100% news 2", "Sale 1"]
    assert [
        c["name"]
        for c in (await rest.admin.get("/campaigns", params={"search": "sale"})).json()["data"]
    ] == ["Sale 3", "Sale 1"]
    assert (await rest.admin.get("/campaigns", params={"search": "100%"})).json()["meta"][
        "total"
    ] == 3
    assert (await rest.admin.get("/campaigns", params={"search": "nul\0"})).json()["meta"][
        "total"
    ] == 0
    assert (await rest.admin.get("/campaigns?status=paused&channel=sms")).json()["data"] == []
    assert (await rest.stranger.get("/campaigns")).json()["meta"] == {
        "page": 1,
        "pageSize": 20,
        "total": 0,
        "totalPages": 0,
    }


async def test_a_bad_query_parameter_is_named(rest: Rest) -> None:
    bad = (
        "page=0",
        "page=x",
        "page=" + "9" * 40,
        "pageSize=101",
        "status=lost",
        "status=",
        "channel=fax",
        "search=" + "x" * 256,
    )
    for query in bad:
        found = problem(await rest.admin.get(f"/campaigns?{query}"), 422)
        assert (
            isinstance(found["errors"], list)
            and found["errors"][0]["field"] == query.partition("=")[0]
        )


async def test_a_broken_rule_names_field_rule_and_limit(rest: Rest) -> None:
    rules: list[tuple[dict[str, object], str, str]] = [
        ({"name": ""}, "name", "at least 1 character"),
        ({"name": "x" * 256}, "name", "at most 255 characters"),
        ({"name": "nul\0"}, "name", "one line"),
        ({"name": None}, "name", "valid string"),
        ({"description": "nul\0"}, "description", "NUL"),
        ({"channel": "fax"}, "channel", "'email', 'sms', 'whatsapp' or 'push'"),
        ({"throttleConfig": {"messagesPerHour": 99}}, "throttleConfig.messagesPerHour", "100"),
        (
            {"throttleConfig": {"messagesPerDay": 10**30}},
            "throttleConfig.messagesPerDay",
            "2147483647",
        ),
        (
            {"throttleConfig": {"messagesPerHour": "1000"}},
            "throttleConfig.messagesPerHour",
            "integer",
        ),
        ({"segmentIds": []}, "segmentIds", "at least 1 segment"),
        ({"segmentIds": ["x"]}, "segmentIds.0", "UUID"),
        ({"segmentIds": [str(UUID(int=7))]}, "segmentIds", "there is no segment"),
        ({"templateId": str(UUID(int=7))}, "templateId", "there is no template"),
        ({"scheduledAt": "tomorrow"}, "scheduledAt", "RFC 3339"),
        ({"scheduledAt": 1769590800}, "scheduledAt", "RFC 3339"),
        ({"timezone": "Mars/Base"}, "timezone", "IANA"),
        ({"settings": {"fromEmail": "nobody"}}, "settings.fromEmail", "email address"),
        ({"settings": {"colour": "red"}}, "settings.colour", "not permitted"),
        ({"colour": "red"}, "colour", "not permitted"),
        ({"settings": {"trackOpens": 10**400}}, "settings.trackOpens", "boolean"),
    ]
    for change, field, words in rules:
        found = problem(await rest.admin.post("/campaigns", json=rest.world.draft(**change)), 422)
        assert isinstance(found["errors"], list)
        assert field in [error["field"] for error in found["errors"]], found
        assert words in str(found["detail"]), found
        assert "Value error" not in str(found)


async def test_a_template_or_segment_of_another_tenant_is_unknown(rest: Rest) -> None:
    found = problem(await rest.stranger.post("/campaigns", json=rest.world.draft()), 422)
    assert isinstance(found["errors"], list)
    assert {error["field"] for error in found["errors"]} == {"templateId", "segmentIds"}


async def test_a_campaign_that_never_was_is_not_found(rest: Rest) -> None:
    problem(await rest.admin.get(f"/campaigns/{uuid4()}"), 404)
