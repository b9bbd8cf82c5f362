"""Every route that an admin alone may write through leaves a row in the audit log, in the
transaction of its change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from tables.tenants.audit import Action
from tests.api.campaigns.test_routes import problem
from tests.api.http.routes import Operation, guarded
from tests.api.http.test_authorization import snapshot, things
from tests.api.world import Rest
from tests.postgres import DatabaseError, sql

# Writing routes of admins that are not noted, each with its reason.
EXEMPT: Mapping[str, str] = {}
# What lower roles may do, and is noted all the same.
ALSO = {"DELETE /api/v1/contacts/{contactId}", "POST /api/v1/campaigns/{campaignId}/in-doubt"}
# What an admin reads that leaves the installation as a whole.
EXPORTS = {"GET /api/v1/segments/{segmentId}/contacts.csv"}
_COUNT = "SELECT count(*) FROM audit_log WHERE tenant_id = 'acme'"
_NEWEST = "SELECT * FROM audit_log WHERE tenant_id = 'acme' ORDER BY id DESC LIMIT 1"


def noted(rest: Rest) -> list[Operation]:
    """The routes that have to leave a row."""
    found = [
        operation
        for operation in guarded(rest.app)
        if (operation.role == "admin" and operation.method != "GET")
        or str(operation) in ALSO | EXPORTS
    ]
    return [operation for operation in found if str(operation) not in EXEMPT]


async def _ready(rest: Rest, operation: Operation) -> dict[str, str]:
    """One of everything, so that the operation succeeds."""
    if operation.path.endswith("/webhooks/{provider}") and operation.method == "DELETE":
        [put] = [
            one for one in guarded(rest.app) if (one.method, one.path) == ("PUT", operation.path)
        ]
        assert (await put.call(rest.admin, {"provider": "sendgrid"})).is_success
    made = await things(rest.admin)
    if operation.path.endswith("/routes/{route}/resume"):
        assert (await rest.admin.post(f"/tenant/routes/{made['route']}/pause")).is_success
    return made


def _is_csv(operation: Operation) -> bool:
    return "text/csv" in operation.described.get("responses", {}).get("200", {}).get("content", {})


def test_every_exception_is_a_route_and_every_export_is_known(rest: Rest) -> None:
    there = {str(operation) for operation in guarded(rest.app)}
    assert set(EXEMPT) | ALSO | EXPORTS <= there
    exports = {str(one) for one in guarded(rest.app) if one.method == "GET" and _is_csv(one)}
    assert exports == EXPORTS


async def test_each_leaves_one_row_that_says_who_and_in_which_request(rest: Rest) -> None:
    user = await sql(rest.world.pool).fetchval(
        "SELECT user_id FROM api_keys WHERE id = $1", rest.keys["admin"].split("_")[2]
    )
    actions = set()
    for operation in noted(rest):
        parameters = await _ready(rest, operation)
        before, asked = await sql(rest.world.pool).fetchval(_COUNT), str(uuid4())
        answer = await operation.call(rest.admin, parameters, headers={"X-Correlation-Id": asked})
        assert answer.is_success, (operation, answer.text)
        assert await sql(rest.world.pool).fetchval(_COUNT) == before + 1, operation
        row = await sql(rest.world.pool).fetchrow(_NEWEST)
        assert row is not None
        assert (row["actor"], row["key_id"]) == (str(user), rest.keys["admin"].split("_")[2])
        assert row["correlation_id"] == asked, operation
        told = f"{row['subject']} {row['reason']} {json.dumps(row['details'])}"
        assert "@" not in told and "ce_live" not in told, operation
        actions.add(row["action"])
    # the rest of them is what whoever runs the installation does
    by_operators = {each for each in Action if each.startswith("tenant.")}
    assert actions == set(Action) - by_operators - {Action.CAMPAIGN_RECONCILED}


async def test_without_its_row_a_change_does_not_happen(rest: Rest) -> None:
    refuse = "ALTER TABLE audit_log ADD CONSTRAINT is_full CHECK (false) NOT VALID"
    for operation in noted(rest):
        parameters = await _ready(rest, operation)
        await sql(rest.world.pool).execute(refuse)
        before = await snapshot(rest)
        with pytest.raises(DatabaseError, match="is_full"):
            await operation.call(rest.admin, parameters)
        assert await snapshot(rest) == before, operation
        await sql(rest.world.pool).execute("ALTER TABLE audit_log DROP CONSTRAINT is_full")


async def test_a_repeat_and_a_refusal_leave_no_row(rest: Rest) -> None:
    once = {"Idempotency-Key": "once"}
    made = await rest.admin.post("/api-keys", json={"role": "viewer"}, headers=once)
    count = await sql(rest.world.pool).fetchval(_COUNT)
    problem(await rest.admin.post("/api-keys", json={"role": "viewer"}, headers=once), 409)
    problem(await rest.admin.delete(f"/api-keys/{uuid4().hex[:16]}"), 404)
    problem(await rest.of["viewer"].post("/api-keys", json={"role": "viewer"}), 403)
    assert (await rest.admin.patch("/tenant", json={"messagesPerHour": None})).is_success  # as is
    key = made.json()["data"]["id"]
    for expected in (1, 1):
        assert (await rest.admin.delete(f"/api-keys/{key}")).status_code == 204
        assert await sql(rest.world.pool).fetchval(_COUNT) == count + expected


async def test_admins_read_their_own_log_by_cursor_action_and_time(rest: Rest) -> None:
    for limit in (100, 200, 300):
        changed = await rest.admin.patch("/tenant", json={"messagesPerHour": limit})
        assert changed.is_success, changed.text

    async def read(**parameters: Any) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            more = {"cursor": cursor} if cursor else {}
            answer = await rest.admin.get("/audit", params={"limit": 2, **parameters, **more})
            assert answer.status_code == 200, answer.text
            entries += answer.json()["data"]
            if (cursor := answer.json()["meta"]["nextCursor"]) is None:
                return entries

    changes = await read(action="limits.changed")
    assert [entry["details"]["hourlyLimit"]["to"] for entry in changes] == [300, 200, 100]
    assert changes[0]["details"] == {"hourlyLimit": {"from": 200, "to": 300}}
    everything = await read()
    assert everything[:3] == changes and len(everything) > 5
    assert [entry["at"] for entry in everything] == sorted(
        (entry["at"] for entry in everything), reverse=True
    )
    second = changes[1]["at"]
    assert changes[0] in await read(since=second) and changes[2] not in await read(since=second)
    assert changes[0] not in await read(until=second)
    for wrong in ({"action": "key.lost"}, {"since": "yesterday"}, {"until": "2026-01-01T00:00:00"}):
        problem(await rest.admin.get("/audit", params=wrong), 422)
    problem(await rest.of["sender"].get("/audit"), 403)
    theirs = (await rest.stranger.get("/audit")).json()["data"]
    assert theirs and not {entry["id"] for entry in theirs} & {one["id"] for one in everything}
