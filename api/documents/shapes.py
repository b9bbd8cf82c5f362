"""What `data` of an answer looks like, by operation: the values that the stores return, and beside
them what only the API knows.

The schemas of the OpenAPI document are made of these (answer_schemas.py); a test checks every
documented example, and the fuzzer every real answer, against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from api.documents.directory_shapes import (
    Added,
    CountedSegment,
    HintedTemplate,
    Imported,
    Limits,
    ListedKey,
    NewKey,
    Removed,
    Suppressed,
    WebhookSetup,
)
from api.documents.preview_shapes import AudienceCount, Preview, TestSent
from streams.contracts.envelope import Record
from streams.contracts.evaluations import Evaluation
from tables.audience.recipients import Recipient
from tables.campaigns.campaign import Campaign
from tables.contacts.store import Contact
from tables.directory.suppressions import Suppression


class Waiting(Record, frozen=True):
    """Why the campaign does not move, and until when, if that is known."""

    reason: Literal[
        "audience", "quota", "paused", "not-before", "ab-test", "running-limit", "dependency-down"
    ]
    until: str | None


class Progress(Record, frozen=True):
    """Live: messages `sent`, recipients `skipped`, granted and not yet sent, and left; `rate` per
    second; `eta` is null without one.
    """

    sent: int
    skipped: int
    in_flight: int
    remaining: int
    rate: float
    eta: str | None


class VariantStats(Record, frozen=True):
    """Of one variant of an A/B test; only the winner has `isWinner`."""

    variant_id: str
    name: str
    open_rate: float
    click_rate: float
    bounce_rate: float
    sent_count: int
    delivered_count: int
    opened_count: int
    clicked_count: int
    bounced_count: int
    unsubscribed_count: int
    complaint_count: int
    is_winner: bool | msgspec.UnsetType = msgspec.UNSET


class Stats(Record, frozen=True):
    """Unique counts. Rates are percent: opens and clicks of the delivered, bounces of the sent.
    `skipped` is by reason.
    """

    campaign_id: str
    total_recipients: int
    sent_count: int
    delivered_count: int
    opened_count: int
    clicked_count: int
    bounced_count: int
    unsubscribed_count: int
    complaint_count: int
    open_rate: float
    click_rate: float
    bounce_rate: float
    variants: list[VariantStats]
    failed_count: int
    replied_count: int
    machine_opened_count: int
    machine_clicked_count: int
    skipped_count: int
    skipped: dict[str, int]
    updated_at: str | None


class Triggered(Record, frozen=True):
    """How many contacts are sent to, and how many are not, by reason."""

    accepted: int
    refused: dict[str, int]


class AbVariant(Record, frozen=True):
    """As it was given; only the winner has `isWinner`."""

    variant_id: str
    name: str
    weight: int
    template_id: str | msgspec.UnsetType = msgspec.UNSET
    subject: str | msgspec.UnsetType = msgspec.UNSET
    is_winner: bool | msgspec.UnsetType = msgspec.UNSET


class AbDecision(Record, frozen=True):
    """`decidedBy`: the user, null for the evaluator."""

    at: str
    decision: str
    variant_id: str | None
    decided_by: str | None


class AbTestShown(Record, frozen=True):
    """The plan, its state, what was decided and on which figures (`evaluation`), and the figures as
    they are now (`current`).
    """

    campaign_id: str
    variants: list[AbVariant]
    winner_criteria: str
    test_duration_hours: float
    test_sample_percent: int
    on_tie: str
    on_too_few: str
    minimum_delivered: int
    confidence: float
    state: Literal["planned", "sampling", "measuring", "undecided", "decided", "cancelled"]
    sample_size: int | None
    sample_sent_at: str | None
    until: str | None
    winner_variant_id: str | None
    evaluation: Evaluation | None
    current: Evaluation | None
    decisions: list[AbDecision]
    custom_criteria: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class Pages(Record, frozen=True):
    page: int
    page_size: int
    total: int
    total_pages: int


class Cursor(Record, frozen=True):
    """`nextCursor` is null at the end."""

    limit: int
    next_cursor: str | None


class PagesOrCursor(Pages, frozen=True, kw_only=True):
    next_cursor: str | None


@dataclass(frozen=True)
class Shape:
    """`data` is one `of`, or a list of them with a `meta`."""

    of: type[Record]
    meta: type[Record] | None = None


class ShownCampaign(Record, frozen=True):
    """Stands for a Campaign with its live side; api/documents/answer_schemas.py spells it out."""


class Occurrence(Record, frozen=True):
    """An instant, and what clocks show then in the zone of the schedule."""

    at: str
    local: str


class Series(Record, frozen=True):
    """A recurring campaign: how many occurrences have started, the next ten, and the newest twenty
    children.
    """

    campaign_id: str
    status: str
    recurring_schedule: dict[str, Any]
    occurrences_sent: int
    next_occurrences: list[Occurrence]
    children: list[ShownCampaign]


SHAPES: Mapping[str, Shape] = {
    **{
        f"campaigns.{verb}": Shape(Campaign)
        for verb in ("create", "update", "schedule", "start", "pause", "resume", "cancel")
    },
    "campaigns.create_ab_test": Shape(Campaign),
    "campaigns.declare_winner": Shape(Campaign),
    "campaigns.ab_test": Shape(AbTestShown),
    "campaigns.page": Shape(ShownCampaign, Pages),
    "campaigns.one": Shape(ShownCampaign),
    "campaigns.series": Shape(Series),
    "campaigns.stats": Shape(Stats),
    "campaigns.preview": Shape(Preview),
    "campaigns.audience": Shape(AudienceCount),
    "campaigns.any_audience": Shape(AudienceCount),
    "campaigns.test_send": Shape(TestSent),
    "campaigns.trigger": Shape(Triggered),
    "campaigns.recipients": Shape(Recipient, PagesOrCursor),
    **{f"templates.{name}": Shape(HintedTemplate) for name in ("create", "one", "update")},
    "templates.page": Shape(HintedTemplate, Pages),
    **{f"segments.{name}": Shape(CountedSegment) for name in ("create", "one", "update")},
    "segments.page": Shape(CountedSegment, Pages),
    "segments.members": Shape(Contact, Cursor),
    "segments.add": Shape(Added),
    "segments.remove": Shape(Removed),
    "contacts.import_file": Shape(Imported),
    "contacts.import_rows": Shape(Imported),
    **{f"contacts.{name}": Shape(Contact) for name in ("put", "one", "update")},
    "contacts.page": Shape(Contact, Cursor),
    **{f"suppressions.{name}": Shape(Suppression) for name in ("put", "one")},
    "suppressions.put_all": Shape(Suppressed),
    "suppressions.page": Shape(Suppression, Pages),
    "tenant.current": Shape(Limits),
    "tenant.update": Shape(Limits),
    "api-keys.create": Shape(NewKey),
    "api-keys.rotate": Shape(NewKey),
    "api-keys.page": Shape(ListedKey, Pages),
    "webhooks.put": Shape(WebhookSetup),
    "webhooks.one": Shape(WebhookSetup),
}
