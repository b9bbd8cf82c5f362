"""Contacts over REST: identity, search, change, erasure, and what of them is suppressed."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api.campaigns.test_routes import problem
from tests.api.directory.test_templates_and_segments import created, fields
from tests.api.world import Rest
from tests.postgres import DatabaseError, sql

ASKED = {"reason": "asked by phone"}


async def put(rest: Rest, status: int, **body: Any) -> dict[str, Any]:
    answer = await rest.admin.post("/contacts", json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json()["data"])


async def found(rest: Rest, search: str) -> list[str]:
    answer = await rest.admin.get("/contacts", params={"search": search})
    assert answer.status_code == 200, answer.text
    return [one["firstName"] for one in answer.json()["data"]]


async def test_a_contact_is_found_again_by_id_external_id_and_address(rest: Rest) -> None:
    ana = await put(
        rest,
        201,
        externalId="7",
        email="Ana@Example.COM",
        firstName="Ana",
        attributes={"plan": "pro"},
    )
    assert (ana["email"], ana["phone"], ana["attributes"]) == (
        "ana@example.com",
        None,
        {"plan": "pro"},
    )
    again = await put(rest, 200, externalId="7", phone="+49 30 123456", attributes={"city": "Köln"})
    assert (again["id"], again["phone"], again["attributes"]) == (
        ana["id"],
        "+4930123456",
        {"plan": "pro", "city": "Köln"},
    )
    assert (await put(rest, 200, email="ANA@example.com", lastName="B"))["id"] == ana["id"]
    assert (await put(rest, 200, id=ana["id"], email="new@example.com"))["externalId"] == "7"
    assert (await rest.admin.get(f"/contacts/{ana['id']}")).json()["data"][
        "email"
    ] == "new@example.com"
    chosen = str(uuid4())
    assert (await put(rest, 201, id=chosen, email="c@example.com"))["id"] == chosen


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"firstName": "Nobody"}, "id"),
        ({"email": "x"}, "email"),
        ({"phone": "0170 1"}, "phone"),
        ({"email": "a@example.com", "timeZone": "Mars"}, "timeZone"),
        ({"email": "a@example.com", "firstName": "a\0b"}, "firstName"),
        ({"email": "a@example.com", "attributes": {"a": "\0"}}, "attributes"),
        ({"email": "a@example.com", "attributes": {"a": "x" * 20_000}}, "attributes"),
        ({"email": "a@example.com", "plan": "pro"}, "plan"),
        ({"id": "7"}, "id"),
    ],
    ids=[
        "nobody",
        "email",
        "phone",
        "zone",
        "nul",
        "attribute-nul",
        "attribute-size",
        "unknown",
        "id",
    ],
)
async def test_a_wrong_field_is_named_and_never_quoted(
    rest: Rest, body: dict[str, Any], field: str
) -> None:
    assert list(fields(problem(await rest.admin.post("/contacts", json=body), 422))) == [field]


async def test_a_patch_empties_with_null_and_merges_attributes(rest: Rest) -> None:
    ana = await put(
        rest,
        201,
        externalId="7",
        email="a@example.com",
        firstName="Ana",
        attributes={"plan": "pro", "old": 1},
    )
    await put(rest, 201, externalId="8", email="b@example.com")
    path = f"/contacts/{ana['id']}"
    answer = await rest.admin.patch(
        path,
        json={"firstName": None, "email": "N@example.com", "attributes": {"old": None, "new": [1]}},
    )
    changed = answer.json()["data"]
    assert (changed["firstName"], changed["email"], changed["attributes"]) == (
        None,
        "n@example.com",
        {"plan": "pro", "new": [1]},
    )
    assert fields(problem(await rest.admin.patch(path, json={"externalId": "8"}), 409)) == {
        "externalId": "belongs to another contact"
    }
    for body, field in (
        ({"email": "x"}, "email"),
        ({"id": ana["id"]}, "id"),
        ({"attributes": {"x": "y" * 20_000}}, "attributes"),
    ):
        assert list(fields(problem(await rest.admin.patch(path, json=body), 422))) == [field]
    assert (await rest.admin.get(path)).json()["data"] == changed


async def test_a_search_finds_the_beginning_of_addresses_external_ids_and_names(rest: Rest) -> None:
    await put(
        rest,
        201,
        externalId="Kd-1",
        email="anna.b@example.com",
        firstName="Anna",
        lastName="Ångström",
    )
    await put(
        rest,
        201,
        externalId="Kd-2",
        email="bob@example.com",
        firstName="Bob",
        lastName="Annan",
        phone="+4930123456",
    )
    await put(rest, 201, externalId="x", email="x_y@example.com", firstName="X%")
    assert await found(rest, "ANN") == ["Anna", "Bob"]
    assert await found(rest, "Kd-") == ["Anna", "Bob"]
    assert await found(rest, "ång") == await found(rest, "ÅNG") == ["Anna"]
    assert await found(rest, "+49 30") == ["Bob"]
    assert await found(rest, "x_") == ["X%"] and await found(rest, "x%") == ["X%"]
    for nobody in ("nna", "%", "_", "\0", "a\\"):
        assert await found(rest, nobody) == ([] if nobody != "\0" else ["Anna", "Bob", "X%"])
    page = (await rest.admin.get("/contacts?limit=1&search=ann")).json()
    rest_of = (
        await rest.admin.get(f"/contacts?limit=1&search=ann&cursor={page['meta']['nextCursor']}")
    ).json()
    assert [one["firstName"] for one in page["data"] + rest_of["data"]] == [
        "Anna",
        "Bob",
    ] and rest_of["meta"]["nextCursor"] is None
    for query in ("limit=0", "limit=1001", "cursor=x", f"search={'x' * 256}"):
        problem(await rest.admin.get(f"/contacts?{query}"), 422)


async def test_an_erased_contact_leaves_nothing_that_says_who_it_was(rest: Rest) -> None:
    ana = await put(
        rest, 201, externalId="7", email="ana@example.com", phone="+4930123456", firstName="Ana"
    )
    await rest.admin.post(
        f"/segments/{rest.world.segment}/members", json={"contactIds": [ana["id"]]}
    )
    await created(
        rest, "/suppressions", {"channel": "sms", "contactId": ana["id"], "reason": "asked"}
    )
    await created(rest, "/suppressions", {"channel": "email", "address": "ana@example.com"})
    campaign = UUID((await rest.running())["id"])
    reasons = (
        "550 <ana@example.com> unknown",
        "no such number +49 30 123456 here",
        "skipped:suppressed",
        None,
    )
    for ordinal, reason in enumerate(reasons):
        await sql(rest.world.pool).execute(
            "INSERT INTO campaign_recipients"
            " (id, tenant_id, campaign_id, contact_id, failure_reason)"
            " SELECT recipient_id(number, $3), tenant_id, id, $2, $4 FROM campaigns WHERE id = $1",
            *(campaign, UUID(ana["id"]), ordinal, reason),
        )
    assert (await rest.admin.delete(f"/contacts/{ana['id']}")).status_code == 204
    problem(await rest.admin.delete(f"/contacts/{ana['id']}"), 404)
    rows = await sql(rest.world.pool).fetch("SELECT * FROM campaign_recipients ORDER BY id")
    assert [row["failure_reason"] for row in rows] == [
        "550 <(erased)> unknown",
        "no such number (erased) here",
        "skipped:suppressed",
        None,
    ]
    assert {str(row["contact_id"]) for row in rows} == {ana["id"]}
    for table in ("contacts", "segment_members", "campaign_recipients", "outbox"):
        stored = str(
            [dict(row) for row in await sql(rest.world.pool).fetch(f"SELECT * FROM {table}")]
        )
        assert "ana@example" not in stored and "30123456" not in stored and "Ana" not in stored, (
            table
        )
    left = (await rest.admin.get("/suppressions")).json()["data"]
    assert [one["address"] for one in left] == [
        "ana@example.com"
    ]  # or the next import would bring it back
    assert (await rest.admin.get(f"/segments/{rest.world.segment}")).json()["data"][
        "memberCount"
    ] == 0


async def test_a_suppression_is_made_once_found_by_address_and_let_go(rest: Rest) -> None:
    made = await created(
        rest, "/suppressions", {"channel": "email", "address": "Ana@Example.com", "reason": "asked"}
    )
    assert (made["address"], made["contactId"], made["reason"]) == (
        "ana@example.com",
        None,
        "asked",
    )
    again = await rest.admin.post(
        "/suppressions", json={"channel": "email", "address": "ana@example.com", "reason": "later"}
    )
    assert (again.status_code, again.json()["data"]) == (200, made)
    ana = await put(rest, 201, email="ana@example.com", phone="+4930123456")
    by_contact = await created(rest, "/suppressions", {"channel": "sms", "contactId": ana["id"]})

    async def listed(**query: str) -> list[str]:
        answer = (await rest.admin.get("/suppressions", params=query)).json()
        assert answer["meta"]["total"] == len(answer["data"])
        return [one["id"] for one in answer["data"]]

    assert await listed() == [by_contact["id"], made["id"]]
    assert await listed(channel="sms") == await listed(contactId=ana["id"]) == [by_contact["id"]]
    assert await listed(search="ANA@") == await listed(address="ANA@example.com") == [made["id"]]
    assert (
        await listed(search="na@")
        == await listed(address="b@example.com")
        == await listed(address="%")
        == []
    )
    path = f"/suppressions/{made['id']}"
    assert (await rest.of["viewer"].get(path)).json()["data"] == made
    problem(await rest.of["sender"].delete(path, params=ASKED), 403)
    for reason in ({}, {"reason": ""}, {"reason": " "}, {"reason": "x" * 501}):
        problem(await rest.admin.delete(path, params=reason), 422)
    assert (await rest.admin.delete(path, params=ASKED)).status_code == 204
    problem(await rest.admin.get(path), 404)
    problem(await rest.admin.delete(path, params=ASKED), 404)
    [entry] = await sql(rest.world.pool).fetch(
        "SELECT * FROM audit_log WHERE action = 'suppression.lifted'"
    )
    admins = "SELECT user_id FROM api_keys WHERE tenant_id = 'acme' AND role = 'admin'"
    users = [str(row["user_id"]) for row in await sql(rest.world.pool).fetch(admins)]
    assert entry["tenant_id"] == "acme" and entry["actor"] in users
    assert (entry["action"], entry["reason"]) == ("suppression.lifted", ASKED["reason"])
    assert entry["subject"].startswith("email address ") and "ana" not in entry["subject"]
    for change in ("UPDATE audit_log SET reason = ''", "DELETE FROM audit_log"):
        with pytest.raises(DatabaseError, match="only added"):
            await sql(rest.world.pool).execute(change)


@pytest.mark.parametrize(
    "body",
    [
        {"channel": "email"},
        {"channel": "email", "address": "x"},
        {"channel": "fax", "address": "a@example.com"},
        {"channel": "email", "address": "a@example.com", "contactId": str(UUID(int=1))},
        {"channel": "email", "contactId": str(UUID(int=1))},
        {"channel": "email", "address": "a@example.com", "reason": "x" * 101},
        {"channel": "email", "address": "a@example.com", "reason": "a\0b"},
    ],
    ids=["nothing", "address", "channel", "both", "unknown", "long", "nul"],
)
async def test_a_wrong_suppression_names_its_field_alone_and_in_bulk(
    rest: Rest, body: dict[str, Any]
) -> None:
    wrong = fields(problem(await rest.admin.post("/suppressions", json=body), 422))
    good = {"channel": "email", "address": "b@example.com"}
    answer = (await rest.admin.post("/suppressions/bulk", json=[good, body, good])).json()["data"]
    assert (answer["added"], answer["existing"], answer["rejected"]) == (1, 1, 1)
    assert answer["rejects"][0]["line"] == 2 and answer["rejects"][0]["reason"].startswith(
        next(iter(wrong))
    )


async def test_an_address_that_its_contact_has_no_longer_is_found_by_itself_and_shown_to_who_asks(
    rest: Rest,
) -> None:
    await sql(rest.world.pool).execute(
        "INSERT INTO suppressions (tenant_id, channel, address_hash, reason)"
        " VALUES ('acme', 'email', address_hash('typo@example.com'), 'hard-bounce')"
    )
    [listed] = (await rest.admin.get("/suppressions")).json()["data"]
    assert (listed["address"], listed["contactId"]) == (None, None)
    query = {"address": "Typo@Example.com"}
    [found] = (await rest.of["viewer"].get("/suppressions", params=query)).json()["data"]
    assert found == {**listed, "address": "typo@example.com"} and len(found["addressHash"]) == 32
    answer = await rest.admin.get("/suppressions", params={"address": "right@example.com"})
    assert answer.json()["data"] == []
    path = f"/suppressions/{found['id']}"
    assert (await rest.admin.get(path)).json()["data"] == listed
    assert (await rest.admin.delete(path, params=ASKED)).status_code == 204


async def test_letting_somebody_in_again_takes_back_all_that_one_event_did(rest: Rest) -> None:
    """An unsubscription suppresses the address and the person; a person who is let in again must
    get the next campaign.
    """
    ana, bob = [await put(rest, 201, email=f"{name}@example.com") for name in ("ana", "bob")]
    for who in (ana, bob):
        await sql(rest.world.pool).execute(
            "INSERT INTO suppressions (tenant_id, channel, contact_id, address, reason)"
            " VALUES ('acme', 'email', $1, NULL, 'unsubscribed'),"
            " ('acme', 'email', NULL, $2, 'unsubscribed')",
            *(UUID(who["id"]), who["email"]),
        )
    for query in ({"address": "ana@example.com"}, {"contactId": bob["id"]}):
        one = (await rest.admin.get("/suppressions", params=query)).json()["data"][0]
        assert (
            await rest.admin.delete(f"/suppressions/{one['id']}", params=ASKED)
        ).status_code == 204
        assert (await rest.admin.get("/suppressions")).json()["meta"]["total"] == (
            2 if "address" in query else 0
        )
