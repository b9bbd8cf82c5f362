"""Suppressions: what must not go out on a channel any more, by contact or by address."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from streams.contracts.envelope import Record
from streams.errors import CampaignError, ConflictError, FieldError, NotFoundError
from tables.channels import CHANNELS
from tables.database.connection import Connection
from tables.database.search import beginning

_ADDRESS = " ".join(f"WHEN '{name}' THEN p.{channel.column}" for name, channel in CHANNELS.items())
_OF_PEOPLE = frozenset({"unsubscribed", "complained"})
# In one order, so that two of these wait for each other instead of meeting in a deadlock.
_SUPPRESS_RECIPIENTS = f"""
INSERT INTO suppressions (tenant_id, channel, contact_id, address, reason)
SELECT r.tenant_id, c.channel, t.contact_id, t.address, w.reason
  FROM unnest($1::uuid[], $2::text[]) AS w (id, reason)
  JOIN campaign_recipients r ON r.id = w.id
  JOIN campaigns c ON c.id = r.campaign_id
  LEFT JOIN contacts p ON p.id = r.contact_id AND p.tenant_id = r.tenant_id
 CROSS JOIN LATERAL (SELECT CASE c.channel {_ADDRESS} END) AS a (address)
 CROSS JOIN LATERAL (VALUES (NULL, a.address), (r.contact_id, NULL)) AS t (contact_id, address)
 WHERE t.address IS NOT NULL OR (t.contact_id IS NOT NULL AND w.reason = ANY ($3))
 ORDER BY r.tenant_id, c.channel, t.address, t.contact_id
ON CONFLICT DO NOTHING
"""

_COLUMNS = "id, channel, reason, created_at, contact_id, address"
_LISTED = """
  FROM suppressions
 WHERE tenant_id = $1 AND lower(tenant_id) = $1 AND ($2::campaign_channel IS NULL OR channel = $2)
   AND ($3::text[] IS NULL OR address LIKE ANY ($3)) AND ($4::text[] IS NULL OR address = ANY ($4))
   AND ($5::uuid IS NULL OR contact_id = $5)
"""


class Suppression(Record, frozen=True):
    """Nothing more goes to this contact, or to this address, on this channel. Exactly one of both
    is set.
    """

    id: UUID
    channel: str
    reason: str
    created_at: datetime
    contact_id: UUID | None = None
    address: str | None = None


async def suppress(
    connection: Connection,
    tenant: str,
    channel: str,
    *,
    address: str | None = None,
    contact_id: UUID | None = None,
    reason: str = "manual",
) -> Suppression:
    """From the next chunk on nothing goes there on this channel; suppressing again keeps the first
    reason. Raises CampaignError.
    """
    return (
        await put_suppression(
            connection, tenant, channel, address=address, contact_id=contact_id, reason=reason
        )
    )[0]


async def put_suppression(
    connection: Connection,
    tenant: str,
    channel: str,
    *,
    address: str | None = None,
    contact_id: UUID | None = None,
    reason: str = "manual",
) -> tuple[Suppression, bool]:
    """`suppress`, and whether it is new."""
    target = await _checked_target(connection, tenant, channel, address, contact_id, reason)
    row = await connection.fetchrow(
        "INSERT INTO suppressions (tenant_id, channel, address, contact_id, reason) VALUES ($1, $2::campaign_channel, $3, $4, $5)"
        f" ON CONFLICT DO NOTHING RETURNING {_COLUMNS}",
        *(tenant, channel, *target, reason),
    )
    if row is not None:
        return Suppression(**row), True
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM suppressions WHERE tenant_id = $1 AND channel = $2::campaign_channel"
        " AND (address = $3 OR contact_id = $4)",
        *(tenant, channel, *target),
    )
    if row is None:
        raise ConflictError("Somebody removed this suppression at this very moment; try again.")
    return Suppression(**row), False


async def suppress_recipients(connection: Connection, reasons: Mapping[UUID, str]) -> None:
    """Suppress the contacts behind these rows of the ledger on their campaign's channel, each for
    its reason.

    By the address that they have now, which holds for every contact that shares it; who does not
    want to be written to (unsubscribed, complained) by contact, too, which holds for every address
    that the contact will have. Suppressed ones keep their first reason.
    """
    await connection.execute(
        _SUPPRESS_RECIPIENTS, list(reasons), list(reasons.values()), list(_OF_PEOPLE)
    )


async def unsuppress(
    connection: Connection,
    tenant: str,
    channel: str,
    *,
    address: str | None = None,
    contact_id: UUID | None = None,
) -> None:
    """As `remove_suppression`, by what is suppressed. Raises NotFoundError when it was not, and
    CampaignError as `suppress`.
    """
    target = await _checked_target(connection, tenant, channel, address, contact_id, "")
    found = await connection.fetchval(
        "SELECT id FROM suppressions WHERE tenant_id = $1 AND channel = $2::campaign_channel AND (address = $3 OR contact_id = $4)",
        *(tenant, channel, *target),
    )
    if found is None:
        raise NotFoundError("This is not suppressed.")
    await remove_suppression(connection, tenant, found)


async def get_suppression(connection: Connection, tenant: str, suppression_id: UUID) -> Suppression:
    """Raises NotFoundError."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM suppressions WHERE tenant_id = $1 AND id = $2",
        tenant,
        suppression_id,
    )
    if row is None:
        raise NotFoundError(f"There is no suppression {suppression_id}.")
    return Suppression(**row)


async def remove_suppression(connection: Connection, tenant: str, suppression_id: UUID) -> None:
    """Lets in again; where one event suppressed a contact and the address it has, both go. Raises
    NotFoundError.
    """
    one = await get_suppression(connection, tenant, suppression_id)
    column = CHANNELS[one.channel].column
    if one.address is not None:
        other = f"contact_id IN (SELECT id FROM contacts WHERE tenant_id = $1 AND {column} = $6)"
    else:
        other = f"address = (SELECT {column} FROM contacts WHERE tenant_id = $1 AND id = $6)"
    # rows of one event are of one transaction, so they have the same time
    await connection.execute(
        "DELETE FROM suppressions WHERE tenant_id = $1 AND (id = $2"
        f" OR channel = $3::campaign_channel AND reason = $4 AND created_at = $5 AND {other})",
        *(tenant, one.id, one.channel, one.reason, one.created_at, one.address or one.contact_id),
    )


async def list_suppressions(
    connection: Connection,
    tenant: str,
    *,
    channel: str | None = None,
    search: str | None = None,
    address: str | None = None,
    contact_id: UUID | None = None,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[Suppression], int]:
    """A page, newest first, and how many there are. `search` is the beginning of an address,
    `address` the whole of it in any spelling.
    """
    begins = (
        [beginning(search), beginning(search.lower())] if search else None
    )  # tokens of devices keep their case
    filters = (
        tenant,
        channel,
        begins,
        None if address is None else _spellings(address),
        contact_id,
    )
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} {_LISTED} ORDER BY seq DESC LIMIT $6 OFFSET $7", *filters, limit, offset
    )
    return [Suppression(**row) for row in rows], await connection.fetchval(
        f"SELECT count(*) {_LISTED}", *filters
    )


def _spellings(address: str) -> list[str]:
    """What the text is on each channel where it is an address."""
    found = set()
    for rules in CHANNELS.values():
        with contextlib.suppress(ValueError):
            found.add(rules.normalise(address))
    return sorted(found)


async def _checked_target(
    connection: Connection,
    tenant: str,
    channel: str,
    address: str | None,
    contact_id: UUID | None,
    reason: str,
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
    if (
        await connection.fetchval(
            "SELECT 1 FROM contacts WHERE tenant_id = $1 AND id = $2", tenant, contact_id
        )
        is None
    ):
        raise broken("contactId", "there is no such contact")
    return None, contact_id


def broken(field: str, rule: str) -> CampaignError:
    """One wrong field, and the rule it breaks."""
    return CampaignError(f"{field}: {rule}", errors=(FieldError(field, rule),))


def rows_of(status: str) -> int:
    """How many rows a statement changed: PostgreSQL's command tag ends in it."""
    return int(status.rpartition(" ")[2])
