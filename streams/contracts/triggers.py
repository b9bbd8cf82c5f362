"""Triggered campaigns on the wire: the contacts of a trigger, and whether a contact may be
triggered again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, TypeAdapter, model_validator

from streams.contracts.fields import Body, Duration, References

# contacts; more than the longest transaction should hold, and still a body of less than a megabyte
MOST_AT_ONCE = 10_000
_FOR_EVER = datetime(1970, 1, 1, tzinfo=UTC)


class CampaignTrigger(Body):
    """The body of `POST /campaigns/{id}/trigger` and of `campaign.trigger`, in the order in which
    the contacts are to be sent to.
    """

    contact_ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST_AT_ONCE)]

    @property
    def references(self) -> References:
        return References(contacts=tuple(self.contact_ids))


class Reentry(Body):
    """Whether a contact that a triggered campaign has had may be triggered again: never, `after` so
    long, or always.
    """

    policy: Literal["never", "after", "always"] = "never"
    after: Duration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.policy == "after") != (self.after is not None):
            raise ValueError('"after", such as P7D, belongs to the policy "after" and to no other')
        return self

    def bars_since(self, at: datetime) -> datetime | None:
        """A contact that has entered later than this instant may not enter at `at`; None: every
        contact may.
        """
        if self.policy == "always":
            return None
        if self.after is None:
            return _FOR_EVER
        try:
            return at - TypeAdapter(timedelta).validate_python(self.after)
        except OverflowError:  # a period longer than there are years
            return _FOR_EVER
