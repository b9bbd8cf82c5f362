"""What the throttle remembers of a tenant, folded from records that come twice, late or early."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.sending import (
    CHUNK,
    BatchSent,
    Cancelled,
    Closed,
    Finished,
    Limits,
    LimitsChanged,
    Paused,
    PlanOpened,
    Resumed,
    RowsReady,
    SampleSent,
    Sending,
    Span,
    SpansAdded,
    SpansReleased,
    Tick,
)
from tables.throttle.clock import Clock
from tables.throttle.fold import apply
from tables.throttle.settle import settle
from tables.throttle.state import CampaignSending, TenantSending

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
TENANT = "acme"
CAMPAIGN = (TENANT, "campaign-1", 1)
OF_LIMITS = Limits(per_hour=100)


def opened(total: int = 30, **more: object) -> PlanOpened:
    spans = (Span(0, total // 3), Span(total // 3, total, is_held=True))
    return PlanOpened(*CAMPAIGN, "email", total, **{"spans": spans, **more})  # type: ignore[arg-type]


def after(
    *events: Sending, at: datetime = NOW, start: TenantSending | None = None
) -> TenantSending:
    tenant = start or TenantSending()
    for event in events:
        tenant = apply(tenant, event, at)
    return tenant


def only(tenant: TenantSending) -> CampaignSending:
    (campaign,) = tenant.campaigns.values()
    return campaign


OVERTAKING: tuple[Sending, ...] = (
    Paused(*CAMPAIGN),
    LimitsChanged(TENANT, OF_LIMITS, 1),
    SpansReleased(TENANT, 1, "B"),
    LimitsChanged(TENANT, Limits(per_day=7)),
)
EVENTS: tuple[Sending, ...] = (
    *OVERTAKING,
    opened(),
    Resumed(*CAMPAIGN),
    Cancelled(*CAMPAIGN),
    Closed(TENANT, 1),
    RowsReady(TENANT, 1, 20),
    RowsReady(TENANT, 1, 10),
    SpansAdded(TENANT, 1, (Span(30, 35),), 35),
    Tick(),
)


@given(st.lists(st.sampled_from(EVENTS), max_size=12))
def test_a_record_that_is_heard_twice_in_a_row_changes_nothing(events: list[Sending]) -> None:
    tenant = TenantSending()
    for event in events:
        once = apply(tenant, event, NOW)
        assert apply(once, event, NOW) == once
        tenant = once


@pytest.mark.parametrize("early", OVERTAKING, ids=lambda event: type(event).__name__)
def test_what_overtakes_the_plan_counts_as_if_it_had_come_after_it(early: Sending) -> None:
    assert after(early, opened()).campaigns == after(opened(), early).campaigns


def test_a_cancellation_that_overtakes_the_plan_leaves_nothing_to_grant() -> None:
    campaign = only(after(Cancelled(*CAMPAIGN), opened()))
    assert (campaign.is_open, campaign.is_cancelled, campaign.spans) == (True, True, ())
    assert campaign.is_done


def test_the_rest_about_an_unknown_campaign_comes_too_late() -> None:
    late: tuple[Sending, ...] = (
        Resumed(*CAMPAIGN),
        Closed(TENANT, 1),
        RowsReady(TENANT, 1, 5),
        BatchSent(TENANT, 1, 5, 0),
        SpansAdded(TENANT, 1, (Span(0, 5),), 5),
    )
    assert after(*late) == TenantSending()


def test_rows_never_become_fewer() -> None:
    assert only(after(opened(), RowsReady(TENANT, 1, 20), RowsReady(TENANT, 1, 10))).ready == 20


def test_what_is_sent_and_skipped_is_no_longer_in_flight() -> None:
    before = TenantSending({1: CampaignSending("campaign-1", is_open=True, granted=30)})
    campaign = only(after(BatchSent(TENANT, 1, 12, 3), BatchSent(TENANT, 1, 1, 2), start=before))
    assert (campaign.sent, campaign.skipped, campaign.in_flight) == (13, 5, 12)


def test_an_empty_span_of_a_plan_is_left_out() -> None:
    spans = (Span(0, 0), Span(0, 10), Span(10, 10))
    assert only(after(opened(spans=spans))).spans == (Span(0, 10),)


def test_the_first_winner_stands() -> None:
    first, second = SpansReleased(TENANT, 1, "A"), SpansReleased(TENANT, 1, "B")
    for order in ((first, second, opened()), (opened(), first, second), (first, opened(), second)):
        assert only(after(*order)).spans == (Span(0, 10), Span(10, 30, "A"))


@pytest.mark.parametrize(
    ("added", "spans"),
    [
        (Span(30, 40), (Span(0, 40),)),
        (Span(31, 40), (Span(0, 30), Span(31, 40))),
        (Span(30, 40, "A"), (Span(0, 30), Span(30, 40, "A"))),
        (Span(30, 40, not_before=NOW), (Span(0, 30), Span(30, 40, not_before=NOW))),
    ],
)
def test_spans_that_meet_under_the_same_conditions_become_one(
    added: Span, spans: tuple[Span, ...]
) -> None:
    plan = opened(spans=(Span(0, 30),))
    campaign = only(after(plan, SpansAdded(TENANT, 1, (added,), 40)))
    assert (campaign.spans, campaign.total) == (spans, 40)


def test_spans_are_added_to_one_that_has_granted_all_it_had_and_to_no_cancelled_one() -> None:
    added = SpansAdded(TENANT, 1, (Span(30, 40),), 40)
    drained = CampaignSending("campaign-1", is_open=True, total=30, is_endless=True)
    assert only(after(added, start=TenantSending({1: drained}))).spans == (Span(30, 40),)
    cancelled = after(opened(is_endless=True), Cancelled(*CAMPAIGN), added)
    assert (only(cancelled).spans, only(cancelled).total) == ((), 30)


def test_limits_of_the_tenant_that_were_heard_directly_are_newer_than_those_of_a_plan() -> None:
    plan = opened(tenant_limits=Limits(per_hour=5))
    heard = after(LimitsChanged(TENANT, OF_LIMITS))
    assert apply(heard, plan, NOW + timedelta(minutes=10)).limits == OF_LIMITS
    later = NOW + timedelta(minutes=10, microseconds=1)
    assert apply(heard, plan, later).limits == Limits(per_hour=5)
    assert after(plan).limits == Limits(per_hour=5)


def test_a_stub_is_forgotten_after_four_days_and_says_when() -> None:
    tenant = after(Paused(*CAMPAIGN))
    assert list(tenant.forgets()) == [NOW + timedelta(days=4)]
    almost = Clock(NOW + timedelta(days=4) - timedelta(microseconds=1))
    assert settle(TENANT, tenant, almost).tenant == tenant
    assert settle(TENANT, tenant, Clock(NOW + timedelta(days=4))).tenant is None
    assert list(after(opened()).forgets()) == []


def test_limits_without_a_campaign_are_forgotten_when_no_plan_can_be_under_way_any_more() -> None:
    tenant = after(LimitsChanged(TENANT, OF_LIMITS))
    assert list(tenant.forgets()) == [NOW + timedelta(minutes=10)]
    almost = Clock(NOW + timedelta(minutes=10) - timedelta(microseconds=1))
    assert settle(TENANT, tenant, almost).tenant == tenant
    assert settle(TENANT, tenant, Clock(NOW + timedelta(minutes=10))).tenant is None
    with_campaign = after(LimitsChanged(TENANT, OF_LIMITS), opened())
    assert list(with_campaign.forgets()) == []
    assert settle(TENANT, with_campaign, Clock(NOW + timedelta(days=9))).tenant == with_campaign


def done(**more: object) -> CampaignSending:
    fields = {"campaign_id": "campaign-1", "is_open": True, "granted": 9, "sent": 7, "skipped": 2}
    return CampaignSending(**{**fields, **more})  # type: ignore[arg-type]


def test_a_campaign_that_is_done_is_announced_at_the_latest_time_heard_and_leaves() -> None:
    clock = Clock(NOW, NOW + HOUR)
    settled = settle(TENANT, TenantSending({1: done()}), clock)
    assert settled.milestones == (Finished(*CAMPAIGN, 7, 2, NOW + HOUR),)
    assert (settled.tenant, settled.left) == (None, (1,))


def test_a_cancelled_campaign_leaves_without_a_word() -> None:
    both = TenantSending(
        {1: done(is_cancelled=True), 2: CampaignSending("b", is_open=True, granted=1)}
    )
    settled = settle(TENANT, both, Clock(NOW))
    assert settled.milestones == ()
    assert settled.left == (1,)
    assert settled.tenant is not None
    assert list(settled.tenant.campaigns) == [2]


@pytest.mark.parametrize(
    "unfinished",
    [
        {"sent": 6},
        {"spans": (Span(0, 1),)},
        {"is_open": False, "since": NOW},
        {"is_endless": True},
    ],
)
def test_a_campaign_with_something_to_come_is_not_done(unfinished: dict[str, object]) -> None:
    assert not done(**unfinished).is_done
    assert settle(TENANT, TenantSending({1: done(**unfinished)}), Clock(NOW)).left == ()


def test_an_endless_campaign_is_done_when_it_is_cancelled() -> None:
    assert done(is_endless=True, is_cancelled=True).is_done


def test_a_sample_is_announced_once_when_all_that_is_left_is_held() -> None:
    sampled = done(spans=(Span(9, 30, is_held=True),))
    settled = settle(TENANT, TenantSending({1: sampled}), Clock(NOW, NOW + HOUR))
    assert settled.milestones == (SampleSent(*CAMPAIGN, NOW + HOUR),)
    assert settled.tenant is not None
    assert only(settled.tenant).is_sample_sent
    assert settle(TENANT, settled.tenant, Clock(NOW)).milestones == ()


@pytest.mark.parametrize(
    "unsampled",
    [
        {"sent": 6},
        {"is_endless": True},
        {"is_open": False},
        {"spans": (Span(9, 30, is_held=True), Span(30, 40))},
    ],
)
def test_a_sample_that_is_still_going_out_is_not_announced(unsampled: dict[str, object]) -> None:
    assert not done(**{"spans": (Span(9, 30, is_held=True),), **unsampled}).is_sampled


def test_the_clock_never_goes_back() -> None:
    clock = Clock().after(Tick(), NOW, HOUR).after(Tick(), NOW - HOUR, HOUR)
    assert (clock.now, clock.latest) == (NOW, NOW)


def test_feedback_moves_the_latest_time_and_the_clock_only_when_it_lags_by_an_hour() -> None:
    batch = BatchSent(TENANT, 1, 5, 1)
    start = Clock().after(Tick(), NOW, HOUR)
    ahead = start.after(batch, NOW + timedelta(minutes=59), HOUR)
    assert (ahead.now, ahead.latest) == (NOW, NOW + timedelta(minutes=59))
    far = start.after(batch, NOW + timedelta(minutes=90), HOUR)
    assert (far.now, far.latest) == (NOW + timedelta(minutes=30), NOW + timedelta(minutes=90))
    assert far.after(batch, NOW, HOUR).latest == far.latest
    behind = start.after(batch, NOW - HOUR, HOUR)
    assert (behind.now, behind.latest) == (NOW, NOW)


@pytest.mark.parametrize(
    ("offsets", "done_in_second", "before"),
    [
        ([0.0, 0.9], 12, 0),
        ([0.0, 1.1], 6, 6),
        ([0.0, 1.0, 1.5], 12, 6),
        ([0.0, 2.0], 6, 0),
        ([1.0, 0.5], 12, 0),  # an earlier second's feedback counts in the latest one
    ],
)
def test_feedback_is_counted_by_the_second(
    offsets: list[float], done_in_second: int, before: int
) -> None:
    clock = Clock()
    for offset in offsets:
        clock = clock.after(BatchSent(TENANT, 1, 5, 1), NOW + timedelta(seconds=offset), HOUR)
    assert (clock.done, clock.done_before) == (done_in_second, before)


def test_the_cap_is_what_emission_does_in_a_second_but_at_least_four_chunks() -> None:
    assert Clock().cap(30_000) == 4 * CHUNK
    assert Clock(done=7000, done_before=9000).cap(30_000) == 9000
    assert Clock(done=7000, done_before=9000).cap(5000) == 5000
    assert Clock().cap(100) == 100


def test_what_is_in_flight_of_a_tenant_is_that_of_its_campaigns() -> None:
    one, other = done(granted=12), done(granted=20, skipped=0)
    assert TenantSending({1: one, 2: other}).in_flight == 3 + 13
