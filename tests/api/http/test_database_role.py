"""The API works with the rights of its own role in PostgreSQL, on every route."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from streams.settings import Settings
from tests.api.http.routes import guarded
from tests.api.http.test_authorization import things
from tests.api.world import Rest, resting
from tests.postgres import DatabaseError
from tests.tables.installation.as_roles import with_roles


@pytest.fixture
async def limited(database: str) -> AsyncIterator[Rest]:
    """The application as the role of the API; the world around it is made by the administrator."""
    async with with_roles(database) as roles:
        admin = Settings(
            kafka="127.0.0.1:1",
            nats="nats://127.0.0.1:1",
            postgres=database,
            message_keys=(SecretStr("00" * 32),),
        )
        own = admin.model_copy(update={"postgres": roles.of("api")})
        async with resting(own, around=admin) as rest:
            yield rest


async def test_every_route_does_its_work_with_the_rights_of_the_api(limited: Rest) -> None:
    rest, refused = limited, dict[str, str]()
    for operation in guarded(rest.app):
        parameters = await things(rest.admin)
        if operation.path.endswith("/webhooks/{provider}") and operation.method != "PUT":
            [put] = [
                one
                for one in guarded(rest.app)
                if (one.method, one.path) == ("PUT", operation.path)
            ]
            assert (await put.call(rest.admin, parameters)).is_success
        try:
            answer = await operation.call(rest.admin, parameters)
        except DatabaseError as refusal:
            refused[str(operation)] = str(refusal)
            continue
        assert answer.status_code < 500 or answer.status_code == 503, (operation, answer.text)
    assert refused == {}


async def test_the_life_of_a_campaign_needs_no_more(limited: Rest) -> None:
    rest = limited
    campaign = await rest.running()
    path = f"/campaigns/{campaign['id']}"
    for verb in ("pause", "resume", "cancel"):
        assert (await rest.admin.post(f"{path}/{verb}")).status_code == 200
    assert (await rest.admin.delete(path)).status_code == 204
    triggered = await rest.running(type="triggered", segmentIds=[])
    contact = (await rest.admin.post("/contacts", json={"email": "ana@example.com"})).json()
    body = {"contactIds": [contact["data"]["id"]]}
    for _ in range(2):
        answer = await rest.admin.post(f"/campaigns/{triggered['id']}/trigger", json=body)
        assert answer.status_code == 202, answer.text
    changed = {"email": "other@example.com"}
    one = f"/contacts/{contact['data']['id']}"
    assert (await rest.admin.patch(one, json=changed)).status_code == 200
    assert (await rest.admin.delete(one)).status_code == 204
    csv = {"Content-Type": "text/csv"}
    for kind, content in (
        ("contacts", "email\nb@x.example\n"),
        ("suppressions", "channel,address\nemail,a@example.com\n"),
    ):
        answer = await rest.admin.post(f"/{kind}/import", content=content, headers=csv)
        assert answer.status_code == 200, answer.text
