"""The live side of answers: a campaign's progress, the reason why it waits, and its stats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends

from api.campaigns.figure_schemas import Stats, VariantStats
from api.campaigns.schemas import Progress, ShownCampaign, Waiting
from api.http.dependencies import Provided
from streams.contracts.fields import ACTIVE, Status
from streams.errors import DependencyDownError
from streams.records.stats import Counts
from tables.campaigns.series import Family
from tables.models import Campaign
from tables.stats.rates import Rates
from tables.stats.totals import CampaignStats, rates
from tables.stats.views import SendingView, StatsView


@dataclass(frozen=True)
class Live:
    """The live side of a request's answer: counts, cursors and rates, all from memory.

    Until the views have been read (Kafka is away while the API starts), nothing is claimed:
    `progress` is null and `stats` raises.
    """

    counts: StatsView
    sending: SendingView
    rates: Rates

    @property
    def is_ready(self) -> bool:
        return self.counts.ready.is_set() and self.sending.ready.is_set()

    def sent(self, tenant: str, number: int) -> int:
        return self.counts.campaign(number).total.sent

    def in_flight(self, number: int | None) -> int:
        """Messages granted and not yet sent: at most so many still go out after a pause."""
        found = None if number is None else self.sending.campaign(number)
        return found.in_flight if found else 0

    def campaign(self, campaign: Campaign, family: Family | None = None) -> ShownCampaign:
        """The row and, while it is being sent, `progress` and `waiting` (null when nothing is in
        the way).

        With its `family` a series shows the sum of its children.
        """
        return ShownCampaign.of_row(
            campaign,
            total_recipients=_total(campaign, family),
            waiting=self._waiting(campaign, family),
            progress=self._progress(campaign, family),
        )

    def knows(self, campaign: Campaign) -> bool:
        """Whether its counts are live; of a series those of its children are. False, too, when
        nothing has happened to it yet.
        """
        return (
            campaign.is_series
            or not self.counts.ready.is_set()
            or self.counts.knows(campaign.number)
        )

    def stats(
        self, campaign: Campaign, stored: CampaignStats | None = None, family: Family | None = None
    ) -> Stats:
        """As in the specification, section 4; our extra fields stand beside its own. `stored`
        stands in for live counts that are gone.

        With its `family` a series has the sum of its children. Raises DependencyDownError.
        """
        if not self.counts.ready.is_set():
            raise DependencyDownError("The counts have not been read from Kafka yet; try again.")
        stats = stored or self.counts.campaign(*_numbers(campaign, family))
        total, percent = stats.total, rates(stats.total)
        return Stats(
            campaign_id=campaign.id,
            total_recipients=_total(campaign, family) or 0,
            sent_count=total.sent,
            delivered_count=total.delivered,
            opened_count=total.opened,
            clicked_count=total.clicked,
            bounced_count=total.bounced,
            unsubscribed_count=total.unsubscribed,
            complaint_count=total.complained,
            open_rate=percent.open_rate,
            click_rate=percent.click_rate,
            bounce_rate=percent.bounce_rate,
            variants=list(_variants(campaign, stats.variants)),
            accepted_count=total.accepted,
            failed_count=total.failed,
            replied_count=total.replied,
            machine_opened_count=total.machine_opened,
            machine_clicked_count=total.machine_clicked,
            skipped_count=total.skipped,
            skipped=stats.skipped,
            updated_at=stats.updated_at,
        )

    def _progress(self, campaign: Campaign, family: Family | None) -> Progress | None:
        if not self.is_ready:
            return None
        numbers = _numbers(campaign, family)
        total = self.counts.campaign(*numbers).total
        rate = sum(map(self.rates.of, numbers)) if campaign.status in ACTIVE else 0.0
        left = max(0, (_total(campaign, family) or 0) - total.sent - total.skipped)
        eta = datetime.now(UTC) + timedelta(seconds=left / rate) if rate >= 0.1 and left else None
        return Progress(
            sent=total.sent,
            skipped=total.skipped,
            in_flight=sum(map(self.in_flight, numbers)),
            remaining=left,
            rate=round(rate, 1),
            eta=eta,
        )

    def _waiting(self, campaign: Campaign, family: Family | None) -> Waiting | None:
        if campaign.status is Status.PAUSED:
            return Waiting(reason="paused", until=None)
        if campaign.status is Status.SCHEDULED and campaign.waits_below is not None:
            return Waiting(reason="running-limit", until=None)
        if campaign.status is Status.SCHEDULED and campaign.is_directory_down:
            return Waiting(reason="dependency-down", until=None)
        if campaign.status is not Status.RUNNING:
            return None
        if campaign.is_series:
            next_at = family.next_at if family else campaign.next_occurrence_at
            return Waiting(reason="not-before", until=next_at) if next_at else None
        if campaign.total_recipients is None:
            is_down = campaign.is_directory_down
            return Waiting(reason="dependency-down" if is_down else "audience", until=None)
        return self._held_up(campaign)

    def _held_up(self, campaign: Campaign) -> Waiting | None:
        """Why the messages of a campaign with an audience do not go out."""
        sending = self.sending.campaign(campaign.number)
        if sending is None:
            return None
        if sending.in_flight and self.rates.is_stalled(campaign.number):
            # what was granted does not go out: emission, or what it needs, is down
            return Waiting(reason="dependency-down", until=None)
        if (waiting := sending.waiting) is None:
            return None
        # the throttle does not know how long a test takes
        until = campaign.ab_test_until if waiting.reason == "ab-test" else waiting.until
        return Waiting.model_validate({"reason": waiting.reason, "until": until})


async def live_of(services: Provided) -> Live:
    """The live side of this process."""
    return Live(services.stats, services.sending, services.rates)


LiveSide = Annotated[Live, Depends(live_of)]


def _numbers(campaign: Campaign, family: Family | None) -> tuple[int, ...]:
    return (campaign.number,) if family is None else family.numbers


def _total(campaign: Campaign, family: Family | None) -> int | None:
    return campaign.total_recipients if family is None else family.total_recipients


def _variants(campaign: Campaign, counts: Mapping[str, Counts]) -> Iterator[VariantStats]:
    """Each variant of an A/B test as in the specification, section 4, with its counts beside it."""
    for variant in (campaign.ab_test_config or {}).get("variants", ()):
        variant_id = variant["variantId"]
        found = counts.get(variant_id, Counts())
        percent = rates(found)
        yield VariantStats(
            variant_id=variant_id,
            open_rate=percent.open_rate,
            click_rate=percent.click_rate,
            is_winner=True if variant_id == campaign.winner_variant_id else None,
            name=variant["name"],
            bounce_rate=percent.bounce_rate,
            sent_count=found.sent,
            delivered_count=found.delivered,
            opened_count=found.opened,
            clicked_count=found.clicked,
            bounced_count=found.bounced,
            unsubscribed_count=found.unsubscribed,
            complaint_count=found.complained,
        )
