"""Tenants, people and campaigns for the end-to-end tests: directory rows by SQL, campaigns through
REST.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from tables.database.connection import Database
from tables.tenants.api_keys import create_key
from tables.tenants.tenants import create_tenant
from tests.postgres import Client
from tests.postgres import connect as connect_client

EMAIL: Mapping[str, str] = {
    "subject": "{{ firstName }}, the sale starts",
    "html": "<html><body><p>Hi {{ firstName }}, "
    '<a href="https://shop.example/sale">to the sale</a>, '
    '<a href="{{ unsubscribeUrl }}">unsubscribe</a></p></body></html>',
}
TEXT: Mapping[str, str] = {"text": "Hi {{ firstName }}, the sale starts: https://shop.example/sale"}


@dataclass
class Tenant:
    """A tenant, its admin key, and its people by segment."""

    id: str
    key: str
    segments: dict[str, UUID] = field(default_factory=dict)
    people: dict[str, set[str]] = field(default_factory=dict)


async def connect(dsn: str) -> Client:
    return await connect_client(dsn)


async def tenant(
    connection: Client,
    name: str,
    *,
    hourly: int | None = None,
    daily: int | None = None,
) -> Tenant:
    async with Database(connection.dsn) as database, database.transaction() as session:
        await create_tenant(session, name, hourly=hourly, daily=daily)
        return Tenant(name, (await create_key(session, name)).text)


async def people(connection: Client, of: Tenant, segment: str, size: int) -> None:
    """A segment of `size` new contacts that have every kind of address."""
    segment_id = await connection.fetchval(
        "INSERT INTO segments (tenant_id, name) VALUES ($1, $2) RETURNING id", of.id, segment
    )
    rows = await connection.fetch(
        "WITH people AS (INSERT INTO contacts (id, tenant_id, email, phone, push_token, first_name)"
        " SELECT gen_random_uuid(), $1, $2 || i || '@example.com',"
        " '+49151' || lpad((i + abs(hashtext($2)) % 1000 * 10000)::text, 8, '0'),"
        " $2 || '-token-' || i, 'Ana' || i FROM generate_series(1, $3::int) i RETURNING id)"
        " INSERT INTO segment_members (segment_id, contact_id, tenant_id)"
        " SELECT $4, id, $1 FROM people RETURNING contact_id",
        *(of.id, segment, size, segment_id),
    )
    of.segments[segment], of.people[segment] = segment_id, {str(row["contact_id"]) for row in rows}


async def template(connection: Client, of: Tenant, channel: str = "email") -> UUID:
    made: UUID = await connection.fetchval(
        "INSERT INTO templates (tenant_id, name, channel, content)"
        " VALUES ($1, 'sale', $2, $3) RETURNING id",
        *(of.id, channel, EMAIL if channel == "email" else TEXT),
    )
    return made


class Rest:
    """The API as one tenant."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=60
        )

    async def __call__(
        self, method: str, path: str, body: Any = None, expect: int | None = None
    ) -> Any:
        """`data` of the answer, which must be a success or have the expected status."""
        answer = await self._http.request(method, path, json=body)
        assert answer.status_code == expect if expect else answer.is_success, (
            f"{method} {path}: {answer.status_code} {answer.text}"
        )
        return answer.json().get("data") if answer.content else None

    async def started(
        self, template: UUID, segments: list[UUID], *, channel: str = "email", **fields: Any
    ) -> str:
        """The id of a campaign that has been created and started."""
        body = {
            "name": "Sale",
            "channel": channel,
            "templateId": str(template),
            "segmentIds": [str(s) for s in segments],
            **fields,
        }
        campaign: str = (await self("POST", "/campaigns", body))["id"]
        await self("POST", f"/campaigns/{campaign}/start")
        return campaign

    async def close(self) -> None:
        await self._http.aclose()
