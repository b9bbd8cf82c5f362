"""The tenant's limits and usage, its API keys, and that no route of the directory knows another
tenant's things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import orjson
import pytest

from streams.records.sending import Limits, LimitsChanged, decode_sending
from tables.throttle.quota import Period
from tables.throttle.state import CampaignSending, TenantSending, encode_tenant
from tests.api.campaigns.test_routes import problem
from tests.api.directory.test_templates_and_segments import created, fields
from tests.api.world import Rest
from tests.postgres import sql


def client(rest: Rest, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(rest.app), base_url="http://api/api/v1", headers=headers
    )


async def works(rest: Rest, key: str) -> bool:
    async with client(rest, key) as caller:
        return (await caller.get("/tenant")).status_code == 200


async def told(rest: Rest) -> list[Limits]:
    """What the throttle will hear."""
    rows = await sql(rest.world.pool).fetch(
        "SELECT key, payload FROM outbox WHERE topic = 'campaigns.sending.v1' ORDER BY seq"
    )
    records = [decode_sending(row["payload"]) for row in rows]
    assert all(row["key"] == "acme" for row in rows)
    return [
        record.limits
        for record in records
        if isinstance(record, LimitsChanged) and record.number is None
    ]


async def test_limits_change_in_the_row_and_for_the_throttle_in_one_transaction(rest: Rest) -> None:
    shown = (await rest.of["viewer"].get("/tenant")).json()["data"]
    assert (
        shown["tenantId"],
        shown["messagesPerHour"],
        shown["messagesPerDay"],
        shown["usage"],
    ) == ("acme", None, None, None)
    changed = (
        await rest.admin.patch("/tenant", json={"messagesPerHour": 100, "messagesPerDay": 5000})
    ).json()["data"]
    assert (changed["messagesPerHour"], changed["messagesPerDay"]) == (100, 5000)
    assert (await rest.admin.patch("/tenant", json={"messagesPerHour": None})).json()["data"][
        "messagesPerDay"
    ] == 5000
    assert (
        await rest.admin.patch("/tenant", json={"messagesPerDay": 5000})
    ).status_code == 200  # nothing changes, nobody is told
    assert await told(rest) == [Limits(per_hour=100, per_day=5000), Limits(per_day=5000)]


async def test_limits_below_the_minimum_are_refused_and_only_admins_change_them(rest: Rest) -> None:
    for body in (
        {"messagesPerHour": 99},
        {"messagesPerDay": 0},
        {"messagesPerHour": "200"},
        {"hourly": 200},
        {"messagesPerHour": 2**31},
    ):
        problem(await rest.admin.patch("/tenant", json=body), 422)
    assert (
        "100"
        in fields(problem(await rest.admin.patch("/tenant", json={"messagesPerHour": 99}), 422))[
            "messagesPerHour"
        ]
    )
    problem(await rest.of["sender"].patch("/tenant", json={"messagesPerHour": 100}), 403)
    assert await told(rest) == []


async def test_usage_is_what_the_throttle_counts(rest: Rest) -> None:
    """Its own rows, as they stand in its state topic; tests/agents proves that it writes them."""
    await rest.admin.patch("/tenant", json={"messagesPerHour": 1000})
    now, view = datetime.now(UTC), rest.services.sending
    hours, days = Period(timedelta(hours=1), 60), Period(timedelta(days=1), 96)

    def put(table: str, width: int, key: str, index: int, sent: int | None) -> None:
        stored = orjson.dumps((key, (float(index * width), float((index + 1) * width))))
        view.put(f"{table}\0".encode() + stored, None if sent is None else b"%d" % sent)

    for key, times in (("acme", 1), ("acme\x007", 50), ("globex", 70)):
        for ago, sent in ((0, 10), (30, 200), (59, 300), (61, 4000)):
            put("minutes", 60, key, hours.index(now) - ago, sent * times)
    put("quarters", 900, "acme", days.index(now), 510)
    put("quarters", 900, "acme", days.index(now) - 50, 4000)
    campaigns = {7: CampaignSending("c", is_open=True, granted=30, sent=8, skipped=2)}
    view.put(b'sending\0"acme"', encode_tenant(TenantSending(campaigns=campaigns)))
    view.ready.set()
    usage = (await rest.admin.get("/tenant")).json()["data"]["usage"]
    assert usage["hour"] == {"used": 510, "inFlight": 20, "limit": 1000, "left": 470, "until": None}
    assert usage["day"] == {
        "used": 4510,
        "inFlight": 20,
        "limit": None,
        "left": None,
        "until": None,
    }
    await rest.admin.patch("/tenant", json={"messagesPerHour": 100})
    full = (await rest.admin.get("/tenant")).json()["data"]["usage"]["hour"]
    assert full["left"] == 0 and full["until"] > now.isoformat()
    put("minutes", 60, "acme", hours.index(now) - 30, None)
    view.put(b'sending\0"acme"', None)
    assert (await rest.admin.get("/tenant")).json()["data"]["usage"]["hour"]["used"] == 310
    assert (await rest.stranger.get("/tenant")).json()["data"]["usage"]["day"]["used"] == 0


async def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(rest: Rest) -> None:
    user, until = str(uuid4()), "2999-01-01T00:00:00.000Z"
    answer = await rest.admin.post(
        "/api-keys", json={"role": "editor", "name": "CI", "userId": user, "expiresAt": until}
    )
    made = answer.json()["data"]
    key = made.pop("apiKey")
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    assert (made["role"], made["name"], made["userId"], made["expiresAt"], made["isCurrent"]) == (
        "editor",
        "CI",
        user,
        until,
        False,
    )
    assert await works(rest, key)
    listed = await rest.admin.get("/api-keys")
    assert listed.json()["data"][0] == made and key.rpartition("_")[2] not in listed.text
    assert [one["isCurrent"] for one in listed.json()["data"]].count(True) == 1
    assert (await rest.admin.delete(f"/api-keys/{made['id']}")).status_code == 204
    assert not await works(rest, key)
    assert (await rest.admin.get("/api-keys")).json()["data"][0]["revokedAt"] is not None
    for body in (
        {},
        {"role": "owner"},
        {"role": "viewer", "expiresAt": "2020-01-01T00:00:00Z"},
        {"role": "viewer", "name": "\n"},
    ):
        problem(await rest.admin.post("/api-keys", json=body), 422)


async def test_a_rotated_key_has_two_secrets_until_the_grace_is_over(rest: Rest) -> None:
    made = await created(rest, "/api-keys", {"role": "viewer"})
    path, keys = f"/api-keys/{made['id']}/rotate", [made["apiKey"]]
    for _ in range(2):
        keys.append((await rest.admin.post(path, json={})).json()["data"]["apiKey"])
    assert [await works(rest, key) for key in keys] == [False, True, True]
    newest = (await rest.admin.post(path, json={"gracePeriod": "PT0S"})).json()["data"]
    assert newest["previousExpiresAt"] is None and newest["id"] == made["id"]
    assert [await works(rest, key) for key in (*keys, newest["apiKey"])] == [
        False,
        False,
        False,
        True,
    ]
    for grace in ("PT-1S", "P31D", 5, "soon"):
        problem(await rest.admin.post(path, json={"gracePeriod": grace}), 422)
    await rest.admin.delete(f"/api-keys/{made['id']}")
    problem(await rest.admin.post(path, json={}), 409)


async def test_a_secret_is_not_kept_for_a_repeat_which_names_the_key_instead(rest: Rest) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await rest.admin.post("/api-keys", json={"role": "viewer"}, headers=headers)
    made = first.json()["data"]
    assert made["id"] in str(
        problem(await rest.admin.post("/api-keys", json={"role": "viewer"}, headers=headers), 409)[
            "detail"
        ]
    )
    assert made["apiKey"].rpartition("_")[2] not in str(
        await sql(rest.world.pool).fetch("SELECT answer::text FROM answers")
    )
    assert (await rest.admin.get("/api-keys")).json()["meta"]["total"] == 5


async def test_a_tenant_keeps_a_way_in(rest: Rest) -> None:
    """The last admin key cannot be revoked, even when two revoke each other at the same moment."""
    other = await created(rest, "/api-keys", {"role": "admin"})
    mine = rest.keys["admin"].split("_")[2]
    async with client(rest, other["apiKey"]) as second:
        answers = await asyncio.gather(
            rest.admin.delete(f"/api-keys/{other['id']}"), second.delete(f"/api-keys/{mine}")
        )
    assert sorted(answer.status_code for answer in answers) in ([204, 401], [204, 409])
    left = (
        (rest.keys["admin"], mine)
        if await works(rest, rest.keys["admin"])
        else (other["apiKey"], other["id"])
    )
    async with client(rest, left[0]) as last:
        problem(await last.delete(f"/api-keys/{left[1]}"), 409)
        expiring = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert (
            await last.post("/api-keys", json={"role": "admin", "expiresAt": expiring})
        ).status_code == 201
        assert (await last.delete(f"/api-keys/{left[1]}")).status_code == 204  # its last request
        problem(await last.get("/tenant"), 401)


Make = Callable[[Rest], Awaitable[str]]


async def _template(rest: Rest) -> str:
    return f"/templates/{rest.world.template}"


async def _segment(rest: Rest) -> str:
    return f"/segments/{rest.world.segment}"


async def _contact(rest: Rest) -> str:
    return f"/contacts/{(await created(rest, '/contacts', {'email': 'ana@example.com'}))['id']}"


async def _member(rest: Rest) -> str:
    contact = (await _contact(rest)).rpartition("/")[2]
    await rest.admin.post(f"{await _segment(rest)}/members", json={"contactIds": [contact]})
    return f"{await _segment(rest)}/members/{contact}"


async def _suppression(rest: Rest) -> str:
    made = await created(rest, "/suppressions", {"channel": "email", "address": "ana@example.com"})
    return f"/suppressions/{made['id']}"


async def _key(rest: Rest) -> str:
    return f"/api-keys/{(await created(rest, '/api-keys', {'role': 'viewer'}))['id']}"


@pytest.mark.parametrize(
    ("make", "method", "suffix", "body"),
    [
        (_template, "GET", "", None),
        (_template, "PATCH", "", {"name": "x"}),
        (_template, "PATCH", "", {"content": {"subject": "x", "text": "x"}}),
        (_template, "DELETE", "", None),
        (_segment, "GET", "", None),
        (_segment, "PATCH", "", {"name": "x"}),
        (_segment, "DELETE", "", None),
        (_segment, "GET", "/members", None),
        (_segment, "POST", "/members", {"contactIds": [str(uuid4())]}),
        (_segment, "POST", "/members/remove", {"contactIds": [str(uuid4())]}),
        (_segment, "GET", "/contacts.csv", None),
        (_member, "DELETE", "", None),
        (_contact, "GET", "", None),
        (_contact, "PATCH", "", {"firstName": "x"}),
        (_contact, "DELETE", "", None),
        (_suppression, "GET", "", None),
        (_suppression, "DELETE", "?reason=asked", None),
        (_key, "DELETE", "", None),
        (_key, "POST", "/rotate", {}),
    ],
    ids=lambda value: (
        value.__name__.strip("_")
        if callable(value)
        else "body"
        if isinstance(value, dict)
        else value
    ),
)
async def test_what_is_another_tenants_is_unknown(
    rest: Rest, make: Make, method: str, suffix: str, body: dict[str, Any] | None
) -> None:
    path = await make(rest)
    before = await _everything(rest)
    problem(await rest.stranger.request(method, path + suffix, json=body), 404)
    assert await _everything(rest) == before


async def test_lists_show_the_callers_own(rest: Rest) -> None:
    for make in (_member, _suppression, _key):
        await make(rest)
    for path in ("/templates", "/segments", "/contacts", "/suppressions", "/api-keys"):
        mine, theirs = [
            {one["id"] for one in (await who.get(path)).json()["data"]}
            for who in (rest.admin, rest.stranger)
        ]
        assert mine and not mine & theirs, path


async def test_a_foreign_id_in_a_body_makes_no_difference_between_foreign_and_unknown(
    rest: Rest,
) -> None:
    foreign = (await rest.stranger.post("/contacts", json={"email": "a@example.com"})).json()[
        "data"
    ]["id"]
    for wrong in (foreign, str(uuid4())):
        problem(
            await rest.admin.post("/suppressions", json={"channel": "email", "contactId": wrong}),
            422,
        )
    assert fields(
        problem(
            await rest.admin.post("/contacts", json={"id": foreign, "email": "b@example.com"}), 422
        )
    ) == {"id": "taken"}
    assert (await rest.stranger.get(f"/contacts/{foreign}")).json()["data"][
        "email"
    ] == "a@example.com"


async def _everything(rest: Rest) -> bytes:
    tables = ("templates", "segments", "segment_members", "contacts", "suppressions", "api_keys")
    rows = [
        [
            dict(row)
            for row in await sql(rest.world.pool).fetch(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]
        for table in tables
    ]
    return msgspec.json.encode(rows, order="deterministic")
