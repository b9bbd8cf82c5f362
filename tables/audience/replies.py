"""Whose message a recipient answers: the last one that went to this address on this channel, within
30 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from tables.audience.recipients import ordinal_of
from tables.channels import CHANNELS
from tables.database.connection import Session

_WITHIN = timedelta(days=30)
_SKEW = timedelta(minutes=1)  # between the clocks of provider and sender
# Two index look-ups: the contacts with the address in any spelling, and their rows in the ledger, a
# few for each partition.
_LAST: Mapping[str, str] = {
    name: f"""
SELECT r.id AS row_id, c.number, coalesce(c.key_epoch, 0) AS key_epoch
  FROM contacts p
  JOIN campaign_recipients r ON r.contact_id = p.id AND r.tenant_id = p.tenant_id
  JOIN campaigns c ON c.id = r.campaign_id
 WHERE p.tenant_id = %(tenant)s AND {channel.found_by("p", "%(address)s")}
   AND c.channel = '{name}' AND r.sent_at > %(after)s AND r.sent_at <= %(until)s
 ORDER BY r.sent_at DESC, r.id DESC LIMIT 1"""
    for name, channel in CHANNELS.items()
}


@dataclass(frozen=True, slots=True)
class Answered:
    """The message that was answered, by what its id is made of."""

    row_id: UUID
    number: int
    key_epoch: int

    @property
    def ordinal(self) -> int:
        return ordinal_of(self.row_id)


async def answered(
    session: Session, tenant: str, channel: str, address: str, at: datetime
) -> Answered | None:
    """None: nothing was sent there within the 30 days before `at`, as far as the ledger, seconds
    late, knows. `address` is normalised.
    """
    found = await session.rows(
        Answered,
        _LAST[channel],
        tenant=tenant,
        address=address,
        after=at - _WITHIN,
        until=at + _SKEW,
    )
    return found[0] if found else None
