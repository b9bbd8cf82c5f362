"""Two people who edit: of those who saw the same version one succeeds, on every route; and where
there is no version, a condition is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import uuid4

import httpx
import pytest

from tests.api.campaigns.test_routes import problem
from tests.api.http.routes import Operation, guarded
from tests.api.http.test_authorization import ROUTE, snapshot, things
from tests.api.world import Rest

#: Changed by adding to a set and taking from it, in any order: there is no version.
_WITHOUT_VERSION = {("DELETE", "/api/v1/segments/{segmentId}/members/{contactId}")}
_WRITERS = 6


class Edit(NamedTuple):
    """A way to change a thing."""

    method: str
    path: str
    field: str
    shown: str = ""  # where it is read, if not at `path`

    def body(self, number: int) -> dict[str, Any]:
        """Another one for each number."""
        if self.field == "messagesPerHour":
            return {self.field: 1_000 + number}
        if self.field == "gracePeriod":
            return {self.field: f"PT{number + 1}H"}
        if self.field == "weight":
            return {**ROUTE, "username": "x", "password": "x", self.field: number + 1}
        return {self.field: f"edit {number} of many, which is long enough for a secret"}

    def of(self, named: Mapping[str, str]) -> tuple[str, str]:
        """Where it is changed and read."""
        return self.path.format(**named), (self.shown or self.path).format(**named)


EDITS = (
    Edit("PATCH", "/campaigns/{campaignId}", "name"),
    Edit("PATCH", "/templates/{templateId}", "name"),
    Edit("PATCH", "/segments/{segmentId}", "name"),
    Edit("PATCH", "/contacts/{contactId}", "firstName"),
    Edit("PATCH", "/tenant", "messagesPerHour"),
    Edit("POST", "/api-keys/{keyId}/rotate", "gracePeriod", "/api-keys/{keyId}"),
    Edit("PUT", "/tenant/webhooks/mailgun", "secret"),
    Edit("PUT", "/tenant/routes/{route}", "weight"),
)
DELETIONS = (
    *("/campaigns/{campaignId}", "/templates/{templateId}", "/segments/{segmentId}"),
    *("/contacts/{contactId}", "/suppressions/{suppressionId}", "/tenant/webhooks/mailgun"),
    *("/sender-domains/{domain}", "/tenant/routes/{route}"),
)
_IDS = [f"{edit.method} {edit.path}" for edit in EDITS]


async def _named(rest: Rest) -> dict[str, str]:
    """One of everything, with no campaign that needs the template and the segment."""
    named = await things(rest.admin)
    await rest.admin.delete(f"/campaigns/{named['campaignId']}")
    secret = {"secret": "the first secret of mailgun"}
    assert (await rest.admin.put("/tenant/webhooks/mailgun", json=secret)).status_code == 200
    for operation in guarded(rest.app):
        if operation.method == "PUT":
            assert (await operation.call(rest.admin, named)).status_code == 200, operation
    return {**named, "campaignId": str((await rest.draft())["id"])}


async def _tag(client: httpx.AsyncClient, path: str) -> str:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["etag"])


def _changes(operation: Operation) -> bool:
    return operation.method in ("PUT", "PATCH", "DELETE")


async def test_no_route_ignores_if_match_and_each_that_edits_checks_it(rest: Rest) -> None:
    named = await _named(rest)
    before = await snapshot(rest)
    for operation in guarded(rest.app):
        answer = await operation.call(rest.admin, named, headers={"If-Match": '"of-yesterday"'})
        if operation.method == "GET" and answer.status_code in (404, 409):
            plain = await operation.call(rest.admin, named)  # RFC 9110, section 13.2.1
            assert plain.status_code == answer.status_code, operation
            continue
        found = problem(answer, 412)
        assert found["type"] == "urn:campaigns:problem:precondition-failed", operation
        is_checked = "If-Match" in operation.headers
        if _changes(operation):
            assert is_checked != ((operation.method, operation.path) in _WITHOUT_VERSION)
        if is_checked:
            current = answer.headers.get("etag")
            assert current is None or current in str(found["detail"]), operation
            assert operation.described["responses"].keys() >= {"412"}, operation
    assert await snapshot(rest) == before


async def test_no_route_ignores_a_condition_that_nothing_be_there(rest: Rest) -> None:
    named = await _named(rest)
    before = await snapshot(rest)
    for operation in guarded(rest.app):
        if operation.method != "GET":
            answer = await operation.call(rest.admin, named, headers={"If-None-Match": "*"})
            problem(answer, 412)
    assert await snapshot(rest) == before


async def test_a_caller_that_may_not_is_told_so_before_a_condition_is_looked_at(
    rest: Rest,
) -> None:
    named = await things(rest.admin)
    for operation in guarded(rest.app):
        for value in ('"x"', "banana") if operation.path.startswith("/api/") else ():
            answer = await operation.call(rest.nobody, named, headers={"If-Match": value})
            problem(answer, 401)


async def test_what_cannot_be_read_as_tags_is_malformed(rest: Rest) -> None:
    named = await _named(rest)
    for edit in EDITS:
        path, _ = edit.of(named)
        for value in ("banana", '"1', "", "1"):
            answer = await rest.admin.request(
                edit.method, path, json=edit.body(0), headers={"If-Match": value}
            )
            problem(answer, 400)


@pytest.mark.parametrize("edit", EDITS, ids=_IDS)
async def test_an_edit_of_what_was_seen_goes_through_and_one_of_an_older_version_does_not(
    rest: Rest, edit: Edit
) -> None:
    named = await _named(rest)
    path, shown = edit.of(named)
    first = await _tag(rest.admin, shown)

    async def tried(number: int, *values: str) -> httpx.Response:
        headers = [("If-Match", value) for value in values]
        return await rest.admin.request(edit.method, path, json=edit.body(number), headers=headers)

    second = (await tried(1, first)).headers["etag"]
    assert second != first and await _tag(rest.admin, shown) == second
    refused = await tried(2, first)
    found = problem(refused, 412)
    assert refused.headers["etag"] == second and second in str(found["detail"])
    assert found["errors"] == [{"field": "ETag", "message": second}]
    problem(await tried(3, f"W/{second}"), 412)
    problem(await tried(4, '"a"', f'"b", W/{second}'), 412)
    assert await _tag(rest.admin, shown) == second
    for number, values in enumerate((['"a"', '"b", {}'], ["{} , W/{}"], ["*"], []), 5):
        now = await _tag(rest.admin, shown)
        answer = await tried(number, *(value.replace("{}", now) for value in values))
        assert answer.is_success, (values, answer.text)


@pytest.mark.parametrize("edit", EDITS, ids=_IDS)
async def test_of_all_editors_of_one_version_exactly_one_succeeds(rest: Rest, edit: Edit) -> None:
    named = await _named(rest)
    path, shown = edit.of(named)
    for begin in range(0, 3 * _WRITERS, _WRITERS):
        seen = {"If-Match": await _tag(rest.admin, shown)}
        answers = await asyncio.gather(
            *(
                rest.admin.request(edit.method, path, json=edit.body(number), headers=seen)
                for number in range(begin, begin + _WRITERS)
            )
        )
        done = [answer for answer in answers if answer.is_success]
        assert sorted(a.status_code for a in answers)[1:] == [412] * (_WRITERS - 1)
        assert [answer.headers["etag"] for answer in done] == [await _tag(rest.admin, shown)]


@pytest.mark.parametrize("path", DELETIONS)
async def test_of_all_who_delete_what_they_saw_one_does_and_what_has_changed_stays(
    rest: Rest, path: str
) -> None:
    named = await _named(rest)
    await rest.admin.delete(f"/campaigns/{(await rest.draft())['id']}")
    if "campaign" not in path:  # it would need the template and the segment
        await rest.admin.delete(f"/campaigns/{named['campaignId']}")
    path = path.format(**named)
    seen = {"If-Match": await _tag(rest.admin, path)}
    why = {"reason": "asked by phone"} if path.startswith("/suppressions") else None
    refused = await rest.admin.delete(path, params=why, headers={"If-Match": '"another"'})
    problem(refused, 412)
    answers = await asyncio.gather(
        *(rest.admin.delete(path, params=why, headers=seen) for _ in range(_WRITERS))
    )
    assert sorted(answer.status_code for answer in answers) == [204] + [404] * (_WRITERS - 1)


async def test_a_change_by_another_way_in_changes_the_tag(rest: Rest) -> None:
    named = await _named(rest)
    path = f"/contacts/{named['contactId']}"
    before = await rest.admin.get(path)
    row = {"email": before.json()["data"]["email"], "attributes": {"plan": "pro"}}
    assert (await rest.admin.post("/contacts/bulk", json=[row])).json()["data"]["updated"] == 1
    seen = {"If-Match": before.headers["etag"]}
    problem(await rest.admin.patch(path, json={"firstName": "x"}, headers=seen), 412)
    problem(await rest.admin.delete(path, headers=seen), 412)


async def test_whoever_has_the_current_version_is_told_so_without_it(rest: Rest) -> None:
    named = await _named(rest)
    whole = [
        operation
        for operation in guarded(rest.app)
        if operation.method == "GET" and "If-None-Match" in operation.headers
    ]
    assert {operation.path.removeprefix("/api/v1") for operation in whole} == {
        "/templates/{templateId}",
        "/contacts/{contactId}",
        "/suppressions/{suppressionId}",
        "/sender-domains/{domain}",
        "/tenant/routes/{route}",
    }
    for operation in whole:
        tag = (await operation.call(rest.admin, named)).headers["etag"]
        for value in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            answer = await operation.call(rest.admin, named, headers={"If-None-Match": value})
            assert (answer.status_code, answer.content) == (304, b""), operation
            assert answer.headers["etag"] == tag
        answer = await operation.call(rest.admin, named, headers={"If-None-Match": '"x"'})
        assert answer.status_code == 200 and answer.content


async def test_live_figures_are_answered_to_whoever_has_the_version(rest: Rest) -> None:
    campaign = f"/campaigns/{(await rest.draft())['id']}"
    for path in (campaign, "/tenant"):
        known = {"If-None-Match": await _tag(rest.admin, path)}
        assert (await rest.admin.get(path, headers=known)).status_code == 200


async def test_of_all_who_set_up_what_is_not_there_exactly_one_does(rest: Rest) -> None:
    path, absent = "/tenant/webhooks/mailgun", {"If-None-Match": "*"}
    problem(await rest.admin.put(path, json={"secret": "x" * 20}, headers={"If-Match": "*"}), 412)
    answers = await asyncio.gather(
        *(
            rest.admin.put(path, json={"secret": f"secret number {number}"}, headers=absent)
            for number in range(_WRITERS)
        )
    )
    assert sorted(a.status_code for a in answers) == [200] + [412] * (_WRITERS - 1)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/templates", {"name": "t", "channel": "sms", "content": {"text": "Hi"}}),
        ("/segments", {"name": "a segment with a tag"}),
    ],
)
async def test_a_repeat_of_a_creation_has_the_tag_of_the_first_answer(
    rest: Rest, path: str, body: dict[str, Any]
) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = [await rest.admin.post(path, json=body, headers=key) for _ in range(2)]
    assert again.json() == first.json() and again.status_code == first.status_code == 201
    one = f"{path}/{first.json()['data']['id']}"
    assert first.headers["etag"] == again.headers["etag"] == await _tag(rest.admin, one)


async def test_each_that_is_made_comes_with_its_tag(rest: Rest) -> None:
    made = {
        "/contacts": {"email": "tagged@example.com"},
        "/suppressions": {"channel": "email", "address": "tagged@example.com"},
        "/api-keys": {"role": "viewer"},
    }
    for path, body in made.items():
        answer = await rest.admin.post(path, json=body)
        one = f"{path}/{answer.json()['data']['id']}"
        assert answer.headers["etag"] == await _tag(rest.admin, one), path
