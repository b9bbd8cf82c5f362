"""The event that follows from a mail that came back, and whose message it is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, assert_never

from connectors.bounces.reports import Kind, Report
from connectors.delivery.classification import Verdict
from connectors.webhooks.delivery import reason
from streams.records.message_id import MessageIds
from streams.records.reported_events import Details, IncomingType

BounceType = Literal["hard", "soft"]


class Meaning(NamedTuple):
    """A kind of `pipeline.events.v1` with its details, which name no address."""

    type: IncomingType
    details: Details | None = None


class Owned(NamedTuple):
    """A message of a tenant, whose id is verified."""

    message_id: str
    tenant_id: str


def meaning(report: Report) -> Meaning | None:
    """The event of a report; None when nothing follows from it."""
    match report.kind:
        case Kind.COMPLAINT:
            return Meaning("complained")
        case Kind.BOUNCE:
            kind, bounce = _of_bounce(report.verdict)
            words = reason(report.words) or report.verdict.value
            return Meaning(kind, Details(reason=words, bounce_type=bounce))
        case Kind.DELAY | Kind.AUTO_REPLY | Kind.NOTHING:
            return None
        case _:
            assert_never(report.kind)


def owned(report: Report, ids: MessageIds, tenants: Iterable[str]) -> Owned | None:
    """The message that the report is about, if it is one of these tenants': the first of its ids
    that this installation has made for one of them. None for a forged report.
    """
    known = tuple(tenants)
    for message_id in report.ids:
        if (tenant := ids.owner(message_id, known)) is not None:
            return Owned(message_id, tenant)
    return None


def _of_bounce(verdict: Verdict) -> tuple[IncomingType, BounceType | None]:
    """As a refusal at once (agents/delivery/settling.py), without the tries: somebody else has made
    them, and given up.
    """
    match verdict:
        case Verdict.HARD:
            return "bounced", "hard"
        case Verdict.BLOCKED | Verdict.CONTENT | Verdict.CONFIGURATION | Verdict.PROTOCOL:
            return "failed", None
        case (
            Verdict.SOFT
            | Verdict.FULL
            | Verdict.DEFERRED
            | Verdict.THROTTLED
            | Verdict.ROUTE
            | Verdict.DOUBT
            | Verdict.ACCEPTED
        ):
            return "bounced", "soft"
        case _:
            assert_never(verdict)
