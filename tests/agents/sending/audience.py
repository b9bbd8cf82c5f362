"""Campaigns whose audience is already written: contacts, templates and ledger rows by plain SQL, as
`expand` leaves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.postgres import Client
from tests.postgres import connect as connect_client

EMAIL: Mapping[str, str] = {
    "subject": "{{ firstName }}, the sale starts",
    "html": "<html><body><h1>Hi {{ firstName }}</h1><p>Your plan is {{ contact.attributes.plan }}. "
    + "We have the best offers of the season for you, this week and only this week. " * 5
    + '</p><p><a href="https://shop.example/sale?a=1&amp;b=2">To the shop</a> <a href="https://shop.example/more">More</a></p>'
    '<p><a href="{{ unsubscribeUrl }}">Unsubscribe</a></p></body></html>',
    "text": "Hi {{ firstName }}, your plan is {{ contact.attributes.plan }}. {{ unsubscribeUrl }}",
}
TRACKED = {
    "fromName": "Acme",
    "fromEmail": "news@acme.example",
    "replyTo": "help@acme.example",
    "trackOpens": True,
    "trackClicks": True,
}


@dataclass(frozen=True)
class Campaign:
    """A running campaign with `size` recipients."""

    tenant: str
    id: str
    number: int
    size: int


async def connect(dsn: str) -> Client:
    return await connect_client(dsn)


async def contacts(connection: Client, tenant: str, size: int) -> None:
    """Contacts `u0@example.com`, `u1@example.com`, …; external ids are their numbers."""
    await connection.execute("INSERT INTO tenants (id) VALUES ($1) ON CONFLICT DO NOTHING", tenant)
    await connection.execute(
        "INSERT INTO contacts (id, tenant_id, external_id, email, first_name, attributes)"
        " SELECT gen_random_uuid(), $1, i, 'u' || i || '@example.com', 'Ana' || i % 1000,"
        " jsonb_build_object('plan', 'pro', 'score', i)"
        " FROM generate_series(0, $2::int - 1) i",
        *(tenant, size),
    )
    await connection.execute("ANALYZE contacts")


async def campaign(
    connection: Client,
    tenant: str,
    size: int,
    *,
    channel: str = "email",
    content: Mapping[str, Any] = EMAIL,
    settings: Mapping[str, Any] = TRACKED,
    name: str = "Sale",
) -> Campaign:
    """A campaign to the contacts 0 … size - 1 of the tenant; a recipient's ordinal is the contact's
    number.
    """
    template = await connection.fetchval(
        "INSERT INTO templates (tenant_id, name, channel, content)"
        " VALUES ($1, 't', $2::campaign_channel, $3) RETURNING id",
        *(tenant, channel, content),
    )
    row = await connection.fetchrow(
        "INSERT INTO campaigns (tenant_id, name, channel, template_id, settings,"
        " created_by, status, key_epoch, total_recipients)"
        " VALUES ($1, $2, $3::campaign_channel, $4, $5, gen_random_uuid(), 'running', 0, $6)"
        " RETURNING id, number",
        *(tenant, name, channel, template, settings, size),
    )
    assert row is not None
    await connection.execute(
        "INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id)"
        " SELECT recipient_id($1, external_id::int), $2::varchar, $3, id"
        " FROM contacts WHERE tenant_id = $2::varchar AND external_id::int < $4"
        " ORDER BY external_id::int",
        *(row["number"], tenant, row["id"], size),
    )
    return Campaign(tenant, str(row["id"]), row["number"], size)
