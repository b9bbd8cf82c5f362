"""What `data` of an answer about the directory looks like, where it is more than a row of a table."""

from __future__ import annotations

from typing import Any

from streams.contracts.envelope import Record
from tables.directory.directory import Segment, Template
from tables.tenants.api_keys import ApiKey


class HintedTemplate(Template, frozen=True, kw_only=True):
    """`hints` say what a message costs: of an SMS encoding, units, segments, unitsLeft. Not
    `isExact`: without its variables.
    """

    hints: dict[str, Any]


class CountedSegment(Segment, frozen=True, kw_only=True):
    member_count: int


class Added(Record, frozen=True):
    added: int


class Removed(Record, frozen=True):
    removed: int


class Rejected(Record, frozen=True):
    line: int
    reason: str


class Imported(Record, frozen=True):
    """`rejects` are the first 100 rows that did not go in."""

    imported: int
    updated: int
    rejected: int
    segment_id: str | None
    rejects: list[Rejected]


class Suppressed(Record, frozen=True):
    added: int
    existing: int
    rejected: int
    rejects: list[Rejected]


class Period(Record, frozen=True):
    """`used` was sent in it, `inFlight` is about to be; without a limit nothing is left or not.
    `until`: when the oldest of it leaves.
    """

    used: int
    in_flight: int
    limit: int | None
    left: int | None
    until: str | None


class Usage(Record, frozen=True):
    hour: Period
    day: Period


class Limits(Record, frozen=True):
    """Messages in any sliding hour and day; null = no limit. `usage` is null while it has not been
    read from Kafka.
    """

    tenant_id: str
    messages_per_hour: int | None
    messages_per_day: int | None
    created_at: str
    usage: Usage | None


class ListedKey(ApiKey, frozen=True, kw_only=True):
    """`isCurrent`: the key of this request."""

    is_current: bool


class NewKey(ListedKey, frozen=True, kw_only=True):
    """`apiKey` is shown this once."""

    api_key: str


class PendingSubscription(Record, frozen=True):
    topic_arn: str
    subscribe_url: str
    asked_at: str


class WebhookSetup(Record, frozen=True):
    """`isSet`: the fields that have a value; the values are never shown."""

    provider: str
    url: str
    is_set: list[str]
    updated_at: str
    pending_subscriptions: list[PendingSubscription]
