"""Many suppressions at once, each checked as if it came alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from streams.errors import CampaignError
from tables.channels import CHANNELS
from tables.database.connection import Connection
from tables.directory.suppressions import broken, rows_of

_INSERT = """
INSERT INTO suppressions (tenant_id, channel, address, contact_id, reason)
SELECT $1, w.channel::campaign_channel, w.address, w.contact_id, w.reason
  FROM unnest($2::text[], $3::text[], $4::uuid[], $5::text[]) WITH ORDINALITY AS w (channel, address, contact_id, reason, place)
 ORDER BY w.channel, w.address, w.contact_id, w.place
ON CONFLICT DO NOTHING
"""


class Wanted(NamedTuple):
    """One of them; `line` is what a refusal names it by."""

    line: int
    channel: str
    address: str | None
    contact_id: UUID | None
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """How many are new and how many were there; which lines were refused and why."""

    added: int
    existing: int
    refused: tuple[tuple[int, str], ...]


async def suppress_all(connection: Connection, tenant: str, wanted: Sequence[Wanted]) -> Suppressed:
    """Within the caller's transaction. Of two that say the same the first one's reason stays."""
    ids = [one.contact_id for one in wanted if one.contact_id is not None]
    rows = await connection.fetch(
        "SELECT id FROM contacts WHERE tenant_id = $1 AND id = ANY ($2)", tenant, ids
    )
    known, good, refused = {row["id"] for row in rows}, list[Wanted](), list[tuple[int, str]]()
    for one in wanted:
        try:
            good.append(_checked(one, known))
        except CampaignError as error:
            refused.append((one.line, error.detail))
    columns = [
        [getattr(one, name) for one in good]
        for name in ("channel", "address", "contact_id", "reason")
    ]
    added = rows_of(await connection.execute(_INSERT, tenant, *columns))
    return Suppressed(added, len(good) - added, tuple(refused))


def _checked(one: Wanted, known: set[UUID]) -> Wanted:
    if (one.address is None) == (one.contact_id is None):
        raise broken("address", "exactly one of address and contactId")
    if one.address is None:
        if one.contact_id not in known:
            raise broken("contactId", "there is no such contact")
        return one
    try:
        return one._replace(address=CHANNELS[one.channel].normalise(one.address))
    except ValueError as error:
        raise broken("address", str(error)) from error
