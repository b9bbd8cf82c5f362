"""Many suppressions at once, each checked as if it came alone."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from streams.errors import CampaignError, FieldError, broken
from tables.channels import CHANNELS
from tables.contacts import store
from tables.database.connection import Session
from tables.directory import opt_ins

_INSERT = """
INSERT INTO suppressions (tenant_id, channel, address, contact_id, reason)
SELECT %(tenant)s, w.channel::campaign_channel, w.address, w.contact_id, w.reason
  FROM unnest(%(channels)s::text[], %(addresses)s::text[],
              %(contacts)s::uuid[], %(reasons)s::text[])
       WITH ORDINALITY AS w (channel, address, contact_id, reason, place)
 ORDER BY w.channel, w.address, w.contact_id, w.place
    ON CONFLICT DO NOTHING"""

# A person of the tenant has asked for these, too: no START lifts them. The trigger keep_suppression
# does the same for each reason but `unsubscribed`. Each kind is looked up by its own index.
_KEEP = """
UPDATE suppressions s
   SET way = NULL
  FROM (SELECT k.seq
          FROM unnest(%(channels)s::text[], %(addresses)s::text[]) AS w (channel, address)
          JOIN suppressions k
            ON k.tenant_id = %(tenant)s AND k.channel = w.channel::campaign_channel
           AND k.address = w.address AND k.way IS NOT NULL
         UNION ALL
        SELECT k.seq
          FROM unnest(%(channels)s::text[], %(contacts)s::uuid[]) AS w (channel, contact_id)
          JOIN suppressions k
            ON k.tenant_id = %(tenant)s AND k.channel = w.channel::campaign_channel
           AND k.contact_id = w.contact_id AND k.way IS NOT NULL) AS kept
 WHERE s.seq = kept.seq"""


class Wanted(NamedTuple):
    """One suppression to make; a refusal names it by its `line`."""

    line: int
    channel: str
    address: str | None
    contact_id: UUID | None
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """How many suppressions are new and how many existed, and the lines refused with the reason."""

    added: int
    existing: int
    refused: tuple[tuple[int, str], ...]


async def suppress_all(session: Session, tenant: str, wanted: Sequence[Wanted]) -> Suppressed:
    """Suppress all that are right, in the caller's transaction. Of two for the same target the
    first one's reason stays.
    """
    ids = {one.contact_id for one in wanted if one.contact_id is not None}
    unknown = frozenset(await store.unknown(session, tenant, ids))
    good, refused = list[Wanted](), list[tuple[int, str]]()
    for one in wanted:
        try:
            good.append(_checked(one, unknown))
        except CampaignError as error:
            refused.append((one.line, error.detail))
    if said_no := [one for one in good if one.reason == opt_ins.REASON]:
        await session.run(_KEEP, tenant=tenant, **_targets(said_no))
    reasons = [one.reason for one in good]
    added = await session.run(_INSERT, tenant=tenant, reasons=reasons, **_targets(good))
    return Suppressed(added, len(good) - added, tuple(refused))


def _targets(wanted: Sequence[Wanted]) -> dict[str, list[Any]]:
    return {
        "channels": [one.channel for one in wanted],
        "addresses": [one.address for one in wanted],
        "contacts": [one.contact_id for one in wanted],
    }


def _checked(one: Wanted, unknown: AbstractSet[UUID]) -> Wanted:
    if (one.address is None) == (one.contact_id is None):
        raise broken(FieldError("address", "exactly one of address and contactId"))
    if one.address is None:
        if one.contact_id in unknown:
            raise broken(FieldError("contactId", "there is no such contact"))
        return one
    try:
        return one._replace(address=CHANNELS[one.channel].compared(one.address))
    except ValueError as error:
        raise broken(FieldError("address", str(error))) from error
