"""Suppressions that follow from a report about a message: they hold for the address that the
message went to, whatever its contact's address is by then.

The ledger says which version of the contact's address a message went to, and the hash of an address
that the contact has no longer is in `former_addresses`. So a report after a correction closes the
address that failed and leaves the corrected one open, and a report after an erasure closes the
address without bringing it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from tables.channels import CHANNELS
from tables.database.connection import Session

_OF_PEOPLE = ["unsubscribed", "complained"]


def _by_channel(value: str) -> str:
    """The SQL expression that has, for each channel `c.channel`, the value made for its column."""
    return " ".join(
        f"WHEN '{name}' THEN {value.format(rules.column, compared=rules.compared_in('p'))}"
        for name, rules in CHANNELS.items()
    )


#: The joins behind rows `r` of the ledger that find the address which each message went to. `now`
#: is the contact's address of today; `went` the version that the message went to, and the newest
#: that there is; `f` a former address; `it` says whether the first is the address, and whether what
#: a person says holds for the contact, too. As long as the ledger does not show the message as
#: sent, it has the version of the time when the audience was made; when the address has changed
#: since, it is not known which of the two the message went to.
WRITTEN_TO = f"""
  JOIN campaigns c ON c.id = r.campaign_id
  LEFT JOIN contacts p ON p.id = r.contact_id AND p.tenant_id = r.tenant_id
 CROSS JOIN LATERAL (
       SELECT CASE c.channel {_by_channel("'{0}'")} END AS field,
              CASE c.channel {_by_channel("{compared}")} END AS address,
              CASE c.channel {_by_channel("p.{0}_version")} END AS version) AS now
 CROSS JOIN LATERAL (
       SELECT coalesce(r.address_version, 0) AS version,
              coalesce(now.version,
                       (SELECT max(version) FROM former_addresses
                         WHERE contact_id = r.contact_id AND field = now.field)) AS newest) AS went
  LEFT JOIN former_addresses f
         ON f.contact_id = r.contact_id AND f.field = now.field AND f.version = went.version
        AND f.tenant_id = r.tenant_id AND now.version IS DISTINCT FROM went.version
 CROSS JOIN LATERAL (
       SELECT now.version = went.version
              OR f.hash IS NOT NULL AND f.hash = address_hash(now.address) AS is_current) AS same
 CROSS JOIN LATERAL (
       SELECT same.is_current,
              same.is_current OR went.newest IS NULL
              OR p.id IS NOT NULL AND now.address IS NULL AS is_of_contact) AS it"""
# In one order, so that two of these wait for each other instead of meeting in a deadlock.
_SUPPRESS = f"""
INSERT INTO suppressions (tenant_id, channel, contact_id, address, address_hash, reason)
SELECT r.tenant_id, c.channel, t.contact_id, t.address, t.address_hash, w.reason
  FROM unnest(%(recipients)s::uuid[], %(reasons)s::text[]) AS w (id, reason)
  JOIN campaign_recipients r ON r.id = w.id {WRITTEN_TO}
 CROSS JOIN LATERAL (
       SELECT NULL::uuid, now.address, NULL::bytea WHERE it.is_current AND now.address IS NOT NULL
        UNION ALL
       SELECT r.contact_id, NULL, NULL
        WHERE w.reason = ANY (%(of_people)s) AND it.is_of_contact
        UNION ALL
       SELECT NULL, NULL, f.hash WHERE it.is_current IS NOT TRUE AND f.hash IS NOT NULL
       ) AS t (contact_id, address, address_hash)
 WHERE r.sent_at IS NOT NULL OR went.newest IS NULL OR went.newest = went.version
 ORDER BY r.tenant_id, c.channel, t.address, t.contact_id, t.address_hash
    ON CONFLICT DO NOTHING"""


async def suppress_recipients(session: Session, reasons: Mapping[UUID, str]) -> None:
    """Suppress the addresses that the messages of these rows of `campaign_recipients` went to, on
    their campaign's channel, each for its reason. Those suppressed already keep their first reason.

    An address holds for every contact that has it. For the reasons of people (unsubscribed,
    complained) the contact is suppressed, too, unless it has another address by now: then it gets
    nothing at any address that it will have. Where the contact's address has changed between the
    making of the audience and now, and the ledger does not show the message as sent, nothing is
    suppressed: the projection calls this once more when it does, seconds later.
    """
    await session.run(
        _SUPPRESS,
        recipients=list(reasons),
        reasons=list(reasons.values()),
        of_people=_OF_PEOPLE,
    )
