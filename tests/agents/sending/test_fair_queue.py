"""Fair queueing by itself: whose turn it is, how large a grant may be, and why a campaign waits."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.sending.fair_queue import Filling, fill
from streams.records.sending import CHUNK, Grant, Limits, Span
from tables.throttle.quota import UNLIMITED, Allowance
from tables.throttle.state import STUB_LASTS, CampaignSending, TenantSending, Waiting

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
LATER = NOW + timedelta(minutes=20)
NO_CAP = 1 << 40


class Rooms:
    """Allowances in which a limit is what may be outstanding; remembers which were asked for."""

    def __init__(self, until: datetime | None = LATER) -> None:
        self.until, self.asked = until, list[str]()

    def __call__(self, key: str, limits: Limits, outstanding: int) -> Allowance:
        self.asked.append(key)
        if limits.per_hour is None:
            return Allowance()
        room = max(0, limits.per_hour - outstanding)
        return Allowance(room, None if room else self.until, outstanding, limits.per_hour)


def campaign(total: int, tag: int = 0, **more: object) -> CampaignSending:
    """One that is open, with all rows ready and one span, unless said otherwise."""
    fields = {
        "campaign_id": "c",
        "is_open": True,
        "total": total,
        "ready": total,
        "spans": (Span(0, total),),
        "tag": tag,
        **more,
    }
    return CampaignSending(**fields)  # type: ignore[arg-type]


def tenant(
    *campaigns: CampaignSending, per_hour: int | None = None, tag: int = 0, virtual: int = 0
) -> TenantSending:
    numbered = dict(enumerate(campaigns, 1))
    return TenantSending(numbered, Limits(per_hour), tag=tag, virtual=virtual)


def filling(
    name: str, sending: TenantSending, cap: int = NO_CAP, rooms: Rooms | None = None
) -> Filling:
    return Filling(name, sending, NOW, cap, rooms or Rooms())


def taken(one: Filling, most: int = 100) -> list[tuple[int, int, int]]:
    """(number, start, stop) of what it takes when nothing else is in its way."""
    grants, _ = fill([one], 0, NO_CAP, 0)
    return [(grant.number, grant.start, grant.stop) for grant in grants[:most]]


@st.composite
def sendings(draw: st.DrawFn) -> TenantSending:
    campaigns = []
    for _ in range(draw(st.integers(1, 5))):
        ends = sorted(draw(st.lists(st.integers(0, 5000), min_size=2, max_size=6, unique=True)))
        spans = tuple(
            Span(
                start,
                stop,
                draw(st.sampled_from([None, "A", "B"])),
                draw(st.sampled_from([None, NOW, NOW - timedelta(1), LATER])),
                draw(st.sampled_from([False, False, True])),
            )
            for start, stop in zip(ends[::2], ends[1::2], strict=False)
        )
        in_flight = draw(st.integers(0, 50))
        campaigns.append(
            campaign(
                5000,
                draw(st.integers(0, 4000)),
                spans=spans,
                ready=draw(st.integers(0, 5000)),
                limits=Limits(draw(st.none() | st.integers(0, 2500))),
                is_paused=draw(st.sampled_from([False, False, True])),
                granted=in_flight,
            )
        )
    per_hour = draw(st.none() | st.integers(0, 4000))
    return tenant(*campaigns, per_hour=per_hour, virtual=draw(st.integers(0, 4000)))


def may_go(one: CampaignSending) -> list[tuple[int, str | None]]:
    """The ordinals that may be granted now, limits apart, with their variant."""
    return [
        (ordinal, span.variant_id)
        for span in one.spans
        if not span.is_held and (span.not_before is None or span.not_before <= NOW)
        for ordinal in range(span.start, min(span.stop, one.ready))
        if not one.is_paused
    ]


@settings(max_examples=60)
@given(sendings(), st.integers(1, 3000))
def test_what_is_granted_is_all_that_may_go_within_the_limits_and_in_order(
    before: TenantSending, cap: int
) -> None:
    one = filling("acme", before, cap)
    grants, _ = fill([one], 0, NO_CAP, 0)
    after, limited = one.result()
    for number, sending in before.campaigns.items():
        mine = [grant for grant in grants if grant.number == number]
        ordinals = [
            (ordinal, grant.variant_id)
            for grant in mine
            for ordinal in range(grant.start, grant.stop)
        ]
        wanted = may_go(sending)
        assert ordinals == wanted[: len(ordinals)]
        assert len(ordinals) == len(wanted) or number in limited
        assert after.campaigns[number].granted == sending.granted + len(ordinals)
        left = [o for span in after.campaigns[number].spans for o in range(span.start, span.stop)]
        had = [o for span in sending.spans for o in range(span.start, span.stop)]
        granted_now = {ordinal for ordinal, _ in ordinals}
        assert left == [ordinal for ordinal in had if ordinal not in granted_now]
        limit = (sending.limits or Limits()).per_hour
        assert limit is None or not mine or after.campaigns[number].in_flight <= limit
    assert (
        before.limits.per_hour is None or not grants or (after.in_flight <= before.limits.per_hour)
    )
    for grant in grants:
        assert grant.start // CHUNK == (grant.stop - 1) // CHUNK
        assert 0 < grant.stop - grant.start <= cap


def test_grants_end_where_their_chunk_ends_so_that_the_next_is_a_whole_one() -> None:
    sending = tenant(campaign(3000, spans=(Span(400, 3000),)))
    assert taken(filling("acme", sending)) == [(1, 400, 1000), (1, 1000, 2000), (1, 2000, 3000)]


def test_no_grant_is_larger_than_the_cap() -> None:
    assert taken(filling("acme", tenant(campaign(250)), cap=100)) == [
        (1, 0, 100),
        (1, 100, 200),
        (1, 200, 250),
    ]


@pytest.mark.parametrize(
    ("per_hour", "pieces"),
    [
        (300, [(1, 0, 100), (2, 0, 100), (3, 0, 100)]),
        (301, [(1, 0, 101), (2, 0, 101), (3, 0, 99)]),
        (2, [(1, 0, 1), (2, 0, 1)]),
        (0, []),
    ],
)
def test_little_room_of_a_tenant_is_cut_into_equal_pieces(
    per_hour: int, pieces: list[tuple[int, int, int]]
) -> None:
    sending = tenant(campaign(900), campaign(900), campaign(900), per_hour=per_hour)
    assert taken(filling("acme", sending)) == pieces


def test_campaigns_that_cannot_send_get_no_piece_of_little_room() -> None:
    ready = campaign(900)
    sending = tenant(
        ready,
        campaign(900, is_paused=True),
        campaign(900, ready=0),
        campaign(900, limits=Limits(0)),
        per_hour=500,
    )
    assert taken(filling("acme", sending)) == [(1, 0, 500)]


def test_a_campaign_takes_what_its_own_limit_leaves_and_the_other_goes_on() -> None:
    sending = tenant(campaign(5000, limits=Limits(1500)), campaign(5000))
    grants = taken(filling("acme", sending))
    assert sum(stop - start for number, start, stop in grants if number == 1) == 1500
    assert sum(stop - start for number, start, stop in grants if number == 2) == 5000
    assert [number for number, _, _ in grants[:4]] == [1, 2, 1, 2]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=5),
    st.integers(100, 6000),
    st.integers(1, 60),
)
def test_of_two_tenants_that_can_always_send_none_is_two_chunks_ahead(
    campaigns: list[int], cap: int, rounds: int
) -> None:
    """Each with some campaigns, in rounds in which what was granted has been sent before."""
    tenants = {
        f"tenant-{position}": tenant(*(campaign(1 << 24) for _ in range(count + 1)))
        for position, count in enumerate(campaigns)
    }
    got, virtual = Counter[str](), 0
    for _ in range(rounds):
        fillings = [filling(name, sending, cap) for name, sending in tenants.items()]
        grants, virtual = fill(fillings, 0, cap, virtual)
        for grant in grants:
            got[grant.tenant_id] += grant.stop - grant.start
        tenants = {one.tenant_id: one.result()[0] for one in fillings}
        shares = [got[name] for name in tenants]
        assert max(shares) - min(shares) <= 2 * CHUNK
        assert sum(grant.stop - grant.start for grant in grants) <= max(cap, CHUNK)


def test_a_tenant_that_was_idle_gets_neither_credit_nor_blame() -> None:
    busy = filling("busy", tenant(campaign(1 << 20), tag=50_000))
    idle = filling("idle", tenant(campaign(1 << 20), tag=0))
    grants, virtual = fill([busy, idle], 0, 6 * CHUNK, 49_500)
    names = [grant.tenant_id for grant in grants]
    assert names == ["idle", "busy", "idle", "busy", "idle", "busy"]
    assert virtual == 52_000
    assert (idle.tag, busy.tag) == (52_500, 53_000)


def test_a_campaign_that_was_idle_starts_where_the_others_are() -> None:
    sending = tenant(campaign(9000, tag=50_000), campaign(2000, tag=7), virtual=49_000)
    one = filling("acme", sending)
    grants, _ = fill([one], 0, 4 * CHUNK, 0)
    assert [grant.number for grant in grants] == [2, 1, 2, 1]
    after, _ = one.result()
    assert after.virtual == 51_000
    assert [after.campaigns[number].tag for number in (1, 2)] == [52_000, 51_000]


def test_equal_turns_go_by_the_number_of_the_campaign_and_the_name_of_the_tenant() -> None:
    two = [filling(name, tenant(campaign(10), campaign(10))) for name in ("b", "a")]
    grants, _ = fill(two, 0, NO_CAP, 0)
    assert [(grant.tenant_id, grant.number) for grant in grants] == [
        ("a", 1),
        ("b", 1),
        ("a", 2),
        ("b", 2),
    ]


@pytest.mark.parametrize(
    ("in_flight", "cap", "granted"),
    [
        (0, 500, 1),  # a grant that is larger than the cap goes alone
        (1, 1000, 0),
        (0, 2999, 2),
        (1000, 3000, 2),
        (1001, 3000, 1),
        (0, 3000, 3),
    ],
)
def test_grants_fill_the_cap_and_never_go_beyond_it(in_flight: int, cap: int, granted: int) -> None:
    one = filling("acme", tenant(campaign(5000)))
    assert len(fill([one], in_flight, cap, 0)[0]) == granted


def test_a_grant_that_does_not_fit_lets_no_smaller_one_go_before_it() -> None:
    large, small = filling("a", tenant(campaign(1000))), filling("b", tenant(campaign(10)))
    assert fill([large, small], 100, 1050, 0)[0] == []


def test_without_a_grant_virtual_time_stands_still() -> None:
    assert fill([], 0, 100, 77) == ([], 77)
    assert fill([filling("acme", tenant(campaign(10, ready=0)))], 0, 100, 77) == ([], 77)


def test_quota_is_read_when_a_tenant_has_its_first_turn_and_once() -> None:
    rooms = Rooms()
    first = filling("a", tenant(campaign(5000)), rooms=rooms)
    last = filling("b", tenant(campaign(5000)), rooms=rooms)
    fill([first, last], 0, CHUNK, 0)
    assert (first.had_turn, last.had_turn) == (True, True)  # the second is asked, and does not fit
    waiting = filling("c", tenant(campaign(5000), tag=9000), rooms=rooms)
    fill([first, waiting], 1, CHUNK, 0)
    assert not waiting.had_turn
    assert Counter(rooms.asked) == {"a": 1, "a\0001": 1, "b": 1, "b\0001": 1}


def test_what_was_read_in_its_turn_is_read_again_only_when_nothing_is_left() -> None:
    rooms = Rooms()
    with_room = filling("acme", tenant(campaign(10), per_hour=100), rooms=rooms)
    fill([with_room], 0, NO_CAP, 0)
    with_room.result()
    assert rooms.asked == ["acme", "acme\0001"]
    used_up = filling("full", tenant(campaign(10), per_hour=10), rooms=rooms)
    fill([used_up], 0, NO_CAP, 0)
    used_up.result()
    assert rooms.asked[2:] == ["full", "full\0001", "full"]


def test_the_quota_of_a_campaign_that_cannot_send_is_not_read() -> None:
    rooms = Rooms()
    one = filling("acme", tenant(campaign(10, is_paused=True), campaign(10)), rooms=rooms)
    assert one.offer() == Grant("acme", "c", 2, 0, 10)
    assert rooms.asked == ["acme", "acme\0002"]


def waiting(sending: CampaignSending, per_hour: int | None = None) -> Waiting | None:
    after, _ = filling("acme", tenant(sending, per_hour=per_hour)).result()
    return after.campaigns[1].waiting


@pytest.mark.parametrize(
    ("sending", "expected"),
    [
        (campaign(10), None),
        (campaign(10, is_paused=True), Waiting("paused")),
        (campaign(10, limits=Limits(0)), Waiting("quota", LATER)),
        (campaign(10, ready=0), Waiting("audience")),
        (campaign(10, ready=0, granted=1), None),
        (campaign(10, spans=()), None),
        (campaign(10, spans=(Span(0, 10, not_before=NOW),)), None),
        (campaign(10, spans=(Span(0, 10, not_before=LATER),)), Waiting("not-before", LATER)),
        (campaign(10, spans=(Span(0, 10, is_held=True),)), Waiting("ab-test")),
        (
            campaign(10, spans=(Span(0, 5, is_held=True), Span(5, 10, not_before=LATER))),
            Waiting("not-before", LATER),
        ),
        (
            campaign(10, spans=(Span(0, 10, not_before=LATER, is_held=True),)),
            Waiting("ab-test"),
        ),
        (
            campaign(
                10,
                spans=(
                    Span(0, 5, not_before=LATER + timedelta(1)),
                    Span(5, 10, not_before=LATER),
                ),
            ),
            Waiting("not-before", LATER),
        ),
        (
            campaign(10, ready=5, spans=(Span(5, 8), Span(8, 10, not_before=LATER))),
            Waiting("audience"),
        ),
    ],
)
def test_a_campaign_says_why_it_waits(sending: CampaignSending, expected: Waiting | None) -> None:
    assert waiting(sending) == expected


def test_the_tenants_quota_is_a_reason_to_wait_too() -> None:
    assert waiting(campaign(10), per_hour=0) == Waiting("quota", LATER)


def test_a_reason_that_is_over_is_taken_back() -> None:
    assert waiting(campaign(10, waiting=Waiting("audience"))) is None


def test_only_campaigns_without_quota_are_limited_and_by_the_limit_that_lasts_longer() -> None:
    class Own(Rooms):
        """The tenant's own limit ends first."""

        def __call__(self, key: str, limits: Limits, outstanding: int) -> Allowance:
            self.until = NOW if key == "acme" else LATER
            return super().__call__(key, limits, outstanding)

    sending = tenant(
        campaign(10, limits=Limits(0)), campaign(10), campaign(10, ready=0), per_hour=1
    )
    one = filling("acme", sending, rooms=Own())
    grants, _ = fill([one], 0, NO_CAP, 0)
    assert [(grant.number, grant.stop) for grant in grants] == [(2, 1)]
    _, limited = one.result()
    assert limited == {1: Allowance(0, LATER, 0, 0), 2: Allowance(0, NOW, 1, 1)}


def test_what_was_just_granted_counts_in_the_time_that_a_campaign_waits() -> None:
    class Rising(Rooms):
        """Names a later time the more is outstanding."""

        def __call__(self, key: str, limits: Limits, outstanding: int) -> Allowance:
            found = super().__call__(key, limits, outstanding)
            until = found.until and NOW + timedelta(minutes=outstanding)
            return found._replace(until=until)

    one = filling("acme", tenant(campaign(50, limits=Limits(20)), per_hour=30), rooms=Rising())
    fill([one], 0, NO_CAP, 0)
    after, limited = one.result()
    assert after.campaigns[1].waiting == Waiting("quota", NOW + timedelta(minutes=20))
    assert limited[1].used == 20


@pytest.mark.parametrize(
    ("sending", "wake"),
    [
        (tenant(campaign(10)), None),
        (tenant(campaign(10), per_hour=0), LATER),
        (tenant(campaign(10, spans=(Span(0, 5), Span(5, 10, not_before=LATER)))), LATER),
        (
            tenant(
                campaign(10, limits=Limits(0)),
                campaign(10, spans=(Span(0, 10, not_before=NOW + timedelta(minutes=1)),)),
            ),
            NOW + timedelta(minutes=1),
        ),
        (
            tenant(campaign(10, is_paused=True, spans=(Span(0, 10, not_before=LATER),))),
            None,
        ),
        (tenant(CampaignSending(since=NOW)), NOW + STUB_LASTS),
        (TenantSending(limits_heard=NOW), NOW + timedelta(minutes=10)),
    ],
)
def test_a_tenant_is_looked_at_again_when_the_first_of_its_times_comes(
    sending: TenantSending, wake: datetime | None
) -> None:
    after, _ = filling("acme", sending).result()
    assert after.wake == wake


@pytest.mark.parametrize("opened", [NOW, NOW - timedelta(minutes=1)])
def test_a_span_that_is_open_already_is_no_time_to_look_again(opened: datetime) -> None:
    """Else a tenant whose open span waits for rows or quota would be looked at without a pause."""
    span = Span(0, 10, not_before=opened)
    for_rows, _ = filling("acme", tenant(campaign(10, ready=0, spans=(span,)))).result()
    assert for_rows.wake is None
    for_quota, _ = filling("acme", tenant(campaign(10, spans=(span,)), per_hour=0)).result()
    assert for_quota.wake == LATER


def test_a_tenant_that_could_send_more_is_hungry_and_no_other() -> None:
    def is_hungry(sending: TenantSending, cap: int) -> bool:
        one = filling("acme", sending)
        fill([one], 0, cap, 0)
        return one.result()[0].is_hungry

    assert is_hungry(tenant(campaign(3000)), CHUNK)
    assert not is_hungry(tenant(campaign(3000)), 3 * CHUNK)
    assert not is_hungry(tenant(campaign(3000), per_hour=CHUNK), CHUNK)
    assert not is_hungry(tenant(campaign(3000, is_paused=True)), NO_CAP)
    assert is_hungry(tenant(campaign(3000, is_paused=True), campaign(3000)), CHUNK)
    assert is_hungry(tenant(campaign(3000), campaign(3000, ready=0)), CHUNK)


def test_no_limit_at_all_is_not_cut_into_pieces() -> None:
    assert Rooms()("acme", Limits(), 9).room == UNLIMITED
    sending = tenant(*(campaign(5000) for _ in range(7)))
    one = filling("acme", sending)
    assert {grant.stop - grant.start for grant in fill([one], 0, NO_CAP, 0)[0]} == {CHUNK}
