"""How fast a campaign goes, and whether it has stalled, from samples of its counts."""

from __future__ import annotations

from typing import cast

from streams.records.stats import Counts
from tables.stats.rates import Rates
from tables.stats.totals import CampaignStats
from tables.stats.views import SendingView, StatsView
from tables.throttle.state import CampaignSending


class _Stats:
    def __init__(self) -> None:
        self.sent = self.skipped = 0

    def campaign(self, number: int) -> CampaignStats:
        return CampaignStats(total=Counts(sent=self.sent, skipped=self.skipped))


class _Sending:
    def __init__(self) -> None:
        self.active, self.in_flight = [7], 1

    def campaign(self, number: int) -> CampaignSending:
        return CampaignSending(granted=self.in_flight)

    def numbers(self) -> list[int]:
        return self.active


def _rates() -> tuple[Rates, _Stats, _Sending]:
    stats, sending = _Stats(), _Sending()
    return Rates(cast(StatsView, stats), cast(SendingView, sending)), stats, sending


def test_the_rate_is_that_of_the_last_five_seconds() -> None:
    rates, stats, _ = _rates()
    for half_second in range(20):
        rates.sample(half_second / 2)
        stats.sent += 90
        stats.skipped += 10
    assert rates.of(7) == 200.0
    assert not rates.is_stalled(7)


def test_a_campaign_has_stalled_when_nobody_was_done_for_five_seconds() -> None:
    rates, stats, _ = _rates()
    stats.sent = 500
    for half_second in range(10):
        rates.sample(half_second / 2)
    assert not rates.is_stalled(7)
    rates.sample(5.0)
    assert rates.is_stalled(7)
    stats.skipped += 1
    rates.sample(5.5)
    assert not rates.is_stalled(7)


def test_a_campaign_that_had_nothing_to_send_has_not_stalled_when_it_gets_something() -> None:
    rates, _, sending = _rates()
    sending.in_flight = 0
    for half_second in range(11):
        rates.sample(half_second / 2)
    sending.in_flight = 1
    rates.sample(5.5)
    assert not rates.is_stalled(7)
    for half_second in range(10):
        rates.sample(6 + half_second / 2)
    assert rates.is_stalled(7)


def test_a_campaign_that_has_left_the_throttle_is_forgotten() -> None:
    rates, stats, sending = _rates()
    rates.sample(0.0)
    stats.sent = 100
    rates.sample(1.0)
    sending.active = []
    rates.sample(2.0)
    assert rates.of(7) == 0.0
    assert not rates.is_stalled(7)
