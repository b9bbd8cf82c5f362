"""Who may do what, for every route that there is: nobody without a key, nothing of another tenant,
no role above its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from streams.contracts.envelope import rfc3339
from tables.tenants.api_keys import ROLES
from tests.api.campaigns.test_routes import problem
from tests.api.http.routes import PUBLIC, Operation, guarded, operations
from tests.api.world import Rest
from tests.postgres import sql

# Parameters that name nothing of a tenant, and a value that each takes.
_CONSTANTS = {"provider": "sendgrid"}
#: What makes a thing of the caller's own under a name that it chooses, which others may have, too.
MAKING = {"PUT /api/v1/tenant/routes/{route}"}
#: A route to a relay that takes no connection.
ROUTE = {
    "channel": "email",
    "provider": "smtp",
    "host": "127.0.0.1",
    "port": 1,
    "tls": "none",
    "fromDomains": ["acme.example"],
}


def _unknown() -> dict[str, str]:
    """Ids of things that never were."""
    never = {
        name: str(uuid4())
        for name in ("campaignId", "templateId", "segmentId", "contactId", "suppressionId")
    }
    domain = f"{uuid4()}.example"
    key, route = uuid4().hex[:16], uuid4().hex
    return {**never, "keyId": key, "domain": domain, "route": route, **_CONSTANTS}


async def things(client: httpx.AsyncClient) -> dict[str, str]:
    """One of everything that a path can name, made by this client: a new kind of parameter needs
    its line here.
    """

    async def made(path: str, body: object, name: str = "id", method: str = "POST") -> str:
        answer = await client.request(method, path, json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["data"][name])

    content = {"subject": "Hello", "text": "Hello"}
    template = await made(
        "/templates", {"name": f"t-{uuid4()}", "channel": "email", "content": content}
    )
    kept = (await client.get("/tenant/routes")).json()["data"]
    for one in kept if len(kept) > 10 else ():  # a tenant has twenty at most
        await client.delete(f"/tenant/routes/{one['name']}")
    segment = await made("/segments", {"name": f"s-{uuid4()}"})
    contact = await made("/contacts", {"email": f"{uuid4()}@example.com"})
    await client.post(f"/segments/{segment}/members", json={"contactIds": [contact]})
    return {
        "templateId": template,
        "segmentId": segment,
        "contactId": contact,
        "campaignId": await made(
            "/campaigns",
            {"name": "x", "channel": "email", "templateId": template, "segmentIds": [segment]},
        ),
        "suppressionId": await made(
            "/suppressions",
            {"channel": "email", "address": f"{uuid4()}@example.com", "reason": "manual"},
        ),
        "keyId": await made("/api-keys", {"role": "viewer"}),
        "domain": await made("/sender-domains", {"domain": f"{uuid4()}.example"}, "domain"),
        "route": await made(f"/tenant/routes/r-{uuid4()}", ROUTE, "name", "PUT"),
        **_CONSTANTS,
    }


async def snapshot(rest: Rest) -> Mapping[str, str]:
    """Every row of the tenant acme, by table."""
    tables = await sql(rest.world.pool).fetch(
        "SELECT c.table_name FROM information_schema.columns c"
        " JOIN information_schema.tables t USING (table_schema, table_name)"
        " WHERE c.column_name = 'tenant_id' AND c.table_schema = 'public'"
        " AND t.table_type = 'BASE TABLE' ORDER BY 1"
    )
    found = {}
    for table in (row["table_name"] for row in tables):
        statement = (
            "SELECT coalesce(string_agg(t::text, '\n' ORDER BY t::text), '')"
            f" FROM {table} t WHERE tenant_id = 'acme'"
        )
        found[table] = str(await sql(rest.world.pool).fetchval(statement))
    return found


async def test_every_route_declares_its_role_or_is_on_the_list_of_public_ones(rest: Rest) -> None:
    found = list(operations(rest.app))
    without = {(operation.method, operation.path) for operation in found if operation.role is None}
    assert without == PUBLIC
    assert len(guarded(rest.app)) >= 13
    named = {name for operation in guarded(rest.app) for name in operation.parameters}
    assert named <= set(_unknown()), "a path names something that these tests do not make"


async def test_without_a_key_every_route_answers_401(rest: Rest) -> None:
    for operation in guarded(rest.app):
        answer = await operation.call(rest.nobody, _unknown())
        assert problem(answer, 401)["type"] == "urn:campaigns:problem:unauthorized", operation
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_role_stops_at_what_it_may_not_do(rest: Rest) -> None:
    for operation in guarded(rest.app):
        for role in ROLES:
            answer = await operation.call(rest.of[role], _unknown())
            if operation.allows(role):
                assert answer.status_code not in (401, 403, 500), (
                    str(operation),
                    role,
                    answer.text,
                )
            else:
                detail = str(problem(answer, 403)["detail"])
                assert role in detail and operation.role is not None and operation.role in detail, (
                    operation
                )


async def test_no_route_takes_a_scheduled_campaign_off_its_schedule_below_the_role_sender(
    rest: Rest,
) -> None:
    scheduled = await rest.draft()
    soon = {"scheduledAt": rfc3339(datetime.now(UTC) + timedelta(days=1))}
    path = f"/campaigns/{scheduled['id']}"
    assert (await rest.admin.post(f"{path}/schedule", json=soon)).status_code == 200
    parameters = {**_unknown(), "campaignId": scheduled["id"]}
    for operation in guarded(rest.app):
        if "campaignId" not in operation.parameters:
            continue
        for role in ("viewer", "editor"):
            answer = await operation.call(rest.of[role], parameters)
            assert answer.status_code != 500, (operation, answer.text)
            if operation.method == "DELETE":
                assert "role" in str(problem(answer, 403)["detail"]), operation
            shown = (await rest.admin.get(path)).json()["data"]
            assert shown["status"] == "scheduled", (operation, role)
    for role in ("sender", "admin"):
        assert (await rest.of[role].delete(path)).status_code == (204 if role == "sender" else 404)


async def test_an_editor_deletes_what_is_not_scheduled(rest: Rest) -> None:
    draft, running = await rest.draft(), await rest.running()
    editor = rest.of["editor"]
    assert (await editor.delete(f"/campaigns/{draft['id']}")).status_code == 204
    problem(await editor.delete(f"/campaigns/{running['id']}"), 409)
    await rest.admin.post(f"/campaigns/{running['id']}/cancel")
    assert (await editor.delete(f"/campaigns/{running['id']}")).status_code == 204


async def test_everything_of_another_tenant_is_unknown_on_every_route_and_stays_as_it_is(
    rest: Rest,
) -> None:
    theirs = await things(rest.admin)
    before = await snapshot(rest)
    for operation in guarded(rest.app):
        if set(operation.parameters) - set(_CONSTANTS) and str(operation) not in MAKING:
            details = []
            for parameters in (theirs, _unknown()):
                answer = await operation.call(rest.stranger, parameters)
                detail = str(problem(answer, 404)["detail"])
                details.append(_without(detail, parameters))
            assert details[0] == details[1], f"{operation} tells what exists from what does not"
    assert await snapshot(rest) == before


async def test_a_path_of_one_id_of_ours_and_one_of_theirs_shows_and_changes_nothing_of_theirs(
    rest: Rest,
) -> None:
    theirs, ours = await things(rest.admin), await things(rest.stranger)
    before = await snapshot(rest)
    for operation in guarded(rest.app):
        if len(set(operation.parameters) - set(_CONSTANTS)) > 1:
            for foreign in operation.parameters:
                answer = await operation.call(rest.stranger, {**ours, foreign: theirs[foreign]})
                assert answer.status_code in (204, 404), operation
                assert answer.status_code == 404 or not answer.content, operation
    assert await snapshot(rest) == before


async def test_no_answer_holds_anything_of_another_tenant(rest: Rest) -> None:
    theirs = [thing for name, thing in (await things(rest.admin)).items() if name not in _CONSTANTS]
    for operation in guarded(rest.app):
        if operation.method == "GET" and not operation.parameters:
            answer = await operation.call(rest.stranger, {})
            assert answer.status_code in (200, 503), operation
            assert not [thing for thing in (*theirs, '"acme"') if thing in answer.text], operation


def _without(text: str, parameters: Mapping[str, str]) -> str:
    for value in parameters.values():
        text = text.replace(value, "…")
    return text


@pytest.mark.parametrize(
    "operation",
    [Operation("GET", "/api/v1/x", None), Operation("GET", "/api/v1/x", "admin")],
    ids=str,
)
def test_a_role_that_is_not_declared_allows_nobody(operation: Operation) -> None:
    assert not operation.allows("viewer")
