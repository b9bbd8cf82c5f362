"""Answers as the specification spells them: a campaign with its live progress and the reason why it
waits, and its stats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic.alias_generators import to_camel
from starlette.requests import Request

from api.campaigns.rates import Rates
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Status
from streams.errors import DependencyDownError
from streams.records.stats import Counts
from tables.audience.recipients import Recipient
from tables.campaigns.campaign import Campaign, presented
from tables.campaigns.series import Family
from tables.campaigns.times import RECURRING
from tables.stats.totals import CampaignStats, rates
from tables.stats.views import SendingView, StatsView
from tables.throttle.state import Waiting

_BEING_SENT = (Status.RUNNING, Status.PAUSED)


def success(data: Any, meta: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of every answer that is not a problem."""
    return {"success": True, "data": data} | ({} if meta is None else {"meta": meta})


def _numbers(campaign: Campaign, family: Family | None) -> tuple[int, ...]:
    return (campaign.number,) if family is None else family.numbers


def _total(campaign: Campaign, family: Family | None) -> int | None:
    return campaign.total_recipients if family is None else family.total_recipients


def recipient(row: Recipient) -> dict[str, Any]:
    """A row of the ledger as the API spells it: every field, nulls included; times in RFC 3339 with
    milliseconds.
    """
    fields = {to_camel(name): getattr(row, name) for name in Recipient.__struct_fields__}
    return {
        name: rfc3339(value) if isinstance(value, datetime) else value
        for name, value in fields.items()
    }


def variants(campaign: Campaign, counts: Mapping[str, Counts]) -> list[dict[str, Any]]:
    """Each variant of an A/B test as in the specification, section 4 (only the winner has
    `isWinner`), with its counts beside it.
    """
    shown = []
    for variant in (campaign.ab_test_config or {}).get("variants", ()):
        found = counts.get(variant["variantId"], Counts())
        percent = rates(found)
        one: dict[str, Any] = {
            "variantId": variant["variantId"],
            "openRate": percent.open_rate,
            "clickRate": percent.click_rate,
        }
        if variant["variantId"] == campaign.winner_variant_id:
            one["isWinner"] = True
        counted = {
            "sentCount": found.sent,
            "deliveredCount": found.delivered,
            "openedCount": found.opened,
            "clickedCount": found.clicked,
        }
        rest = {
            "bouncedCount": found.bounced,
            "unsubscribedCount": found.unsubscribed,
            "complaintCount": found.complained,
        }
        shown.append(
            one | {"name": variant["name"], "bounceRate": percent.bounce_rate} | counted | rest
        )
    return shown


@dataclass(frozen=True)
class Live:
    """The live side of a request's answer: counts, cursors and rates, all from memory.

    Until the views have been read (Kafka is away while the API starts), nothing is claimed:
    `progress` is null and `stats` raises.
    """

    counts: StatsView
    sending: SendingView
    rates: Rates

    @classmethod
    def of(cls, request: Request) -> Self:
        state = request.app.state
        return cls(state.stats, state.sending, state.rates)

    @property
    def is_ready(self) -> bool:
        return self.counts.ready.is_set() and self.sending.ready.is_set()

    def sent(self, tenant: str, number: int) -> int:
        return self.counts.campaign(number).total.sent

    def in_flight(self, number: int | None) -> int:
        """Messages granted and not yet sent: at most so many still go out after a pause."""
        found = None if number is None else self.sending.campaign(number)
        return found.in_flight if found else 0

    def campaign(self, campaign: Campaign, family: Family | None = None) -> dict[str, Any]:
        """The row and, while it is being sent, `progress` and `waiting` (null when nothing is in
        the way).

        With its `family` a series shows the sum of its children.
        """
        shown = presented(campaign) | {
            "waiting": self._waiting(campaign, family),
            "progress": self._progress(campaign, family),
        }
        return shown if family is None else shown | {"totalRecipients": _total(campaign, family)}

    def knows(self, campaign: Campaign) -> bool:
        """Whether its counts are live; of a series those of its children are. False, too, when
        nothing has happened to it yet.
        """
        return (
            campaign.type == "recurring"
            or not self.counts.ready.is_set()
            or self.counts.knows(campaign.number)
        )

    def stats(
        self, campaign: Campaign, stored: CampaignStats | None = None, family: Family | None = None
    ) -> dict[str, Any]:
        """As in the specification, section 4; our extra fields stand beside its own. `stored`
        stands in for live counts that are gone.

        With its `family` a series has the sum of its children. Raises DependencyDownError.
        """
        if not self.counts.ready.is_set():
            raise DependencyDownError("The counts have not been read from Kafka yet; try again.")
        stats = stored or self.counts.campaign(*_numbers(campaign, family))
        total, percent = stats.total, rates(stats.total)
        return {
            "campaignId": str(campaign.id),
            "totalRecipients": _total(campaign, family) or 0,
            "sentCount": total.sent,
            "deliveredCount": total.delivered,
            "openedCount": total.opened,
            "clickedCount": total.clicked,
            "bouncedCount": total.bounced,
            "unsubscribedCount": total.unsubscribed,
            "complaintCount": total.complained,
            "openRate": percent.open_rate,
            "clickRate": percent.click_rate,
            "bounceRate": percent.bounce_rate,
            "variants": variants(campaign, stats.variants),
            "failedCount": total.failed,
            "repliedCount": total.replied,
            "machineOpenedCount": total.machine_opened,
            "machineClickedCount": total.machine_clicked,
            "skippedCount": total.skipped,
            "skipped": stats.skipped,
            "updatedAt": stats.updated_at,
        }

    def _progress(self, campaign: Campaign, family: Family | None) -> dict[str, Any] | None:
        if not self.is_ready:
            return None
        numbers = _numbers(campaign, family)
        total = self.counts.campaign(*numbers).total
        rate = sum(map(self.rates.of, numbers)) if campaign.status in _BEING_SENT else 0.0
        left = max(0, (_total(campaign, family) or 0) - total.sent - total.skipped)
        eta = datetime.now(UTC) + timedelta(seconds=left / rate) if rate >= 0.1 and left else None
        return {
            "sent": total.sent,
            "skipped": total.skipped,
            "inFlight": sum(map(self.in_flight, numbers)),
            "remaining": left,
            "rate": round(rate, 1),
            "eta": rfc3339(eta) if eta else None,
        }

    def _waiting(self, campaign: Campaign, family: Family | None) -> dict[str, Any] | None:
        if campaign.status is Status.PAUSED:
            return {"reason": "paused", "until": None}
        if campaign.status is Status.SCHEDULED and campaign.waits_below is not None:
            return {"reason": "running-limit", "until": None}
        if campaign.status is not Status.RUNNING:
            return None
        if campaign.type == RECURRING:
            next_at = family.next_at if family else campaign.next_occurrence_at
            return {"reason": "not-before", "until": rfc3339(next_at)} if next_at else None
        if campaign.total_recipients is None:
            return {"reason": "audience", "until": None}
        sending = self.sending.campaign(campaign.number)
        waiting = sending.waiting if sending else None
        if waiting is not None and waiting.reason == "ab-test":
            waiting = Waiting(
                "ab-test", campaign.ab_test_until
            )  # the throttle does not know how long a test takes
        if sending and sending.in_flight and self.rates.is_stalled(campaign.number):
            # what was granted does not go out: emission, or what it needs, is down
            waiting = Waiting("dependency-down")
        return (
            {"reason": waiting.reason, "until": rfc3339(waiting.until) if waiting.until else None}
            if waiting
            else None
        )
