"""Campaigns by number: the fields that never change once a campaign has started, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from tables.database.connection import Session

_SQL = """
SELECT number, id, tenant_id, channel::text, coalesce(key_epoch, 0) AS key_epoch,
       has_link_tokens OR started_at IS NULL AS has_link_tokens,
       started_at IS NOT NULL OR key_epoch IS NOT NULL AS has_started
  FROM campaigns WHERE number = ANY(%(numbers)s::bigint[])"""


@dataclass(frozen=True, slots=True)
class NumberedCampaign:
    """`key_epoch` is the one that its message ids are signed with. `has_link_tokens`: the links of
    its messages take no message ids. Before it `has_started`, none of this is decided.
    """

    number: int
    id: UUID
    tenant_id: str
    channel: str
    key_epoch: int
    has_link_tokens: bool = True
    has_started: bool = True


class CampaignNumbers:
    """At most `limit` campaigns by number. Deleted ones are found, too: their rows stay."""

    def __init__(self, limit: int = 10_000) -> None:
        self._known: dict[int, NumberedCampaign] = {}
        self._limit = limit

    def get(self, number: int) -> NumberedCampaign | None:
        """None: never loaded, or there is no such campaign."""
        return self._known.get(number)

    def forget(self, number: int) -> None:
        """Of a campaign that may still change."""
        self._known.pop(number, None)

    def missing(self, numbers: Iterable[int]) -> set[int]:
        return set(numbers) - self._known.keys()

    async def load(self, session: Session, numbers: Iterable[int]) -> None:
        """Read the ones that are not in memory; afterwards all of `numbers` that exist are."""
        wanted = set(numbers)
        if not (missing := self.missing(wanted)):
            return
        found = await session.rows(NumberedCampaign, _SQL, numbers=sorted(missing))
        if len(self._known) + len(found) > self._limit:
            self._known = {number: one for number, one in self._known.items() if number in wanted}
        self._known |= {one.number: one for one in found}
