"""Suppressions: what must not go out on a channel any more, by contact or by address."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from streams.envelope import Record
from streams.errors import CampaignError, FieldError, NotFoundError
from tables.channels import CHANNELS
from tables.sql.database import Connection

_ADDRESS = " ".join(f"WHEN '{name}' THEN p.{channel.column}" for name, channel in CHANNELS.items())
# In one order, so that two of these wait for each other instead of meeting in a deadlock.
_SUPPRESS_RECIPIENTS = f"""
INSERT INTO suppressions (tenant_id, channel, contact_id, address, reason)
SELECT r.tenant_id, c.channel, CASE WHEN a.address IS NULL THEN r.contact_id END, a.address, w.reason
  FROM unnest($1::uuid[], $2::text[]) AS w (id, reason)
  JOIN campaign_recipients r ON r.id = w.id
  JOIN campaigns c ON c.id = r.campaign_id
  LEFT JOIN contacts p ON p.id = r.contact_id AND p.tenant_id = r.tenant_id
 CROSS JOIN LATERAL (SELECT CASE c.channel {_ADDRESS} END) AS a (address)
 ORDER BY r.tenant_id, c.channel, a.address, r.contact_id
ON CONFLICT DO NOTHING
"""


class Suppression(Record, frozen=True):
    """Nothing more goes to this contact, or to this address, on this channel. Exactly one of both is set."""

    channel: str
    reason: str
    created_at: datetime
    contact_id: UUID | None = None
    address: str | None = None


async def suppress(
    connection: Connection, tenant: str, channel: str, *, address: str | None = None, contact_id: UUID | None = None, reason: str = "manual"
) -> Suppression:
    """From the next chunk on nothing goes there on this channel; suppressing again keeps the first reason. Raises CampaignError."""
    address, contact_id = await _checked_target(connection, tenant, channel, address, contact_id, reason)
    await connection.execute(
        "INSERT INTO suppressions (tenant_id, channel, contact_id, address, reason) VALUES ($1, $2::campaign_channel, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        *(tenant, channel, contact_id, address, reason),
    )
    row = await connection.fetchrow(
        "SELECT channel, reason, created_at, contact_id, address FROM suppressions WHERE tenant_id = $1 AND channel = $2::campaign_channel"
        " AND (contact_id = $3 OR address = $4)",
        *(tenant, channel, contact_id, address),
    )
    assert row is not None
    return Suppression(**row)


async def suppress_recipients(connection: Connection, reasons: Mapping[UUID, str]) -> None:
    """Suppress the contacts behind these rows of the ledger on their campaign's channel, each for its reason.

    By address, which holds for every contact that shares it; by contact where there is none. Suppressed ones keep their first reason.
    """
    await connection.execute(_SUPPRESS_RECIPIENTS, list(reasons), list(reasons.values()))


async def unsuppress(
    connection: Connection, tenant: str, channel: str, *, address: str | None = None, contact_id: UUID | None = None
) -> None:
    """Raises NotFoundError when it was not suppressed, and CampaignError as `suppress`."""
    address, contact_id = await _checked_target(connection, tenant, channel, address, contact_id, "")
    answer = await connection.execute(
        "DELETE FROM suppressions WHERE tenant_id = $1 AND channel = $2::campaign_channel AND (contact_id = $3 OR address = $4)",
        *(tenant, channel, contact_id, address),
    )
    if not rows_of(answer):
        raise NotFoundError("This is not suppressed.")


async def list_suppressions(
    connection: Connection, tenant: str, *, channel: str | None = None, limit: int = 100, offset: int = 0
) -> tuple[list[Suppression], int]:
    """A page, newest first, and how many there are."""
    where = "FROM suppressions WHERE tenant_id = $1 AND ($2::campaign_channel IS NULL OR channel = $2)"
    rows = await connection.fetch(
        f"SELECT channel, reason, created_at, contact_id, address {where} ORDER BY seq DESC LIMIT $3 OFFSET $4",
        tenant,
        channel,
        limit,
        offset,
    )
    return [Suppression(**row) for row in rows], await connection.fetchval(f"SELECT count(*) {where}", tenant, channel)


async def _checked_target(
    connection: Connection, tenant: str, channel: str, address: str | None, contact_id: UUID | None, reason: str
) -> tuple[str | None, UUID | None]:
    if (rules := CHANNELS.get(channel)) is None:
        raise broken("channel", f"one of {', '.join(CHANNELS)}")
    if (address is None) == (contact_id is None):
        raise broken("address", "exactly one of address and contactId")
    if len(reason) > 100 or "\0" in reason:
        raise broken("reason", "at most 100 characters, without NUL")
    if address is not None:
        try:
            return rules.normalise(address), None
        except ValueError as error:
            raise broken("address", str(error)) from error
    if await connection.fetchval("SELECT 1 FROM contacts WHERE tenant_id = $1 AND id = $2", tenant, contact_id) is None:
        raise broken("contactId", "there is no such contact")
    return None, contact_id


def broken(field: str, rule: str) -> CampaignError:
    """One wrong field, and the rule it breaks."""
    return CampaignError(f"{field}: {rule}", errors=(FieldError(field, rule),))


def rows_of(status: str) -> int:
    """How many rows a statement changed: PostgreSQL's command tag ends in it."""
    return int(status.rpartition(" ")[2])
