"""Lifecycle events, the public records of `campaigns.events.v1`: their fields, types and ids. A
repeat has the same id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec

from streams.contracts.envelope import Envelope, Record, encode, rfc3339
from streams.contracts.evaluations import Evaluation

_IDS = UUID(
    "6b0f7c0e-5a3d-5d4e-9a57-0d1f6f3c2b11"
)  # namespace of event ids (RFC 9562, section 5.5)


class Created(Record, frozen=True):
    campaign_id: str
    campaign_name: str
    channel: str
    type: str
    created_by: str


class Scheduled(Record, frozen=True):
    campaign_id: str
    campaign_name: str
    channel: str
    scheduled_at: str
    timezone: str | None = None


class Started(Record, frozen=True):
    """Published when the audience is known, so that the total is true; the campaign runs from
    `started_at`.
    """

    campaign_id: str
    campaign_name: str
    channel: str
    total_recipients: int
    started_at: str
    scheduled_at: str | None = None


class Moved(Record, frozen=True, omit_defaults=False):
    """`sent_count`: messages sent until then, as far as it was known."""

    campaign_id: str
    campaign_name: str
    channel: str
    at: str
    sent_count: int
    reason: str | msgspec.UnsetType = msgspec.UNSET


class Paused(Moved, frozen=True, omit_defaults=False):
    pass


class Resumed(Moved, frozen=True, omit_defaults=False):
    pass


class Cancelled(Moved, frozen=True, omit_defaults=False):
    pass


class Failed(Moved, frozen=True, omit_defaults=False):
    """Follows `campaign.cancelled` when the engine, not a person, ended the campaign."""


class Completed(Record, frozen=True):
    campaign_id: str
    campaign_name: str
    channel: str
    total_recipients: int
    sent_count: int
    skipped_count: int
    started_at: str
    completed_at: str


class Updated(Record, frozen=True):
    """`fields`: the changed fields, as the API spells them."""

    campaign_id: str
    campaign_name: str
    channel: str
    fields: tuple[str, ...]


class Deleted(Record, frozen=True):
    campaign_id: str
    campaign_name: str
    channel: str
    at: str


class WinnerDeclared(Record, frozen=True):
    """`by` is `evaluator`, with the figures that it decided on, or `person`, with the user if there
    was one.
    """

    campaign_id: str
    campaign_name: str
    channel: str
    variant_id: str
    at: str
    by: str
    declared_by: str | None = None
    evaluation: Evaluation | None = None


class Alert(Record, frozen=True):
    """The campaign needs a person's attention: `reason` is a code that does not change, `detail` is
    a sentence for people.
    """

    campaign_id: str
    campaign_name: str
    channel: str
    at: str
    reason: str
    detail: str


LifecycleEvent = (
    Created
    | Scheduled
    | Started
    | Paused
    | Resumed
    | Cancelled
    | Failed
    | Completed
    | Updated
    | Deleted
    | WinnerDeclared
    | Alert
)

TYPES: Mapping[type[LifecycleEvent], str] = {
    Created: "campaign.created",
    Scheduled: "campaign.scheduled",
    Started: "campaign.started",
    Paused: "campaign.paused",
    Resumed: "campaign.resumed",
    Cancelled: "campaign.cancelled",
    Completed: "campaign.completed",
    Failed: "campaign.failed",
    Updated: "campaign.updated",
    Deleted: "campaign.deleted",
    WinnerDeclared: "campaign.ab-test.winner-declared",
    Alert: "campaign.alert",
}


class Cause(NamedTuple):
    """The request, or the engine's own step, that an event follows from: its correlationId, and its
    instant.
    """

    correlation_id: str
    at: datetime


def event_id(campaign_id: UUID, version: int, kind: str) -> UUID:
    """The id of the event of this version of the campaign: the same however often it is
    published.
    """
    return uuid5(_IDS, f"{campaign_id}:{version}:{kind}")


def enveloped(event: LifecycleEvent, tenant_id: str, cause: Cause) -> bytes:
    """The record's value."""
    data = msgspec.to_builtins(event)
    return encode(
        Envelope(
            tenant_id=tenant_id,
            correlation_id=cause.correlation_id,
            timestamp=rfc3339(cause.at),
            data=data,
            type=TYPES[type(event)],
        )
    )
