"""The fold's laws: whatever is reported twice, late or in pieces, the counts are those of plain
sets.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.records.facts import Batch, Group, Kind, pack, unpack
from streams.records.stats import Counts, ShardStats, decode_stats, encode_stats
from tables.stats.shards import InvalidFactsError, Shard
from tables.stats.totals import CampaignStats, Rates, merged, percent, rates

BASE = 1_795_000_000
MACHINES = {"machine_opened", "machine_clicked"}


class Happened(NamedTuple):
    """One thing that happened to one recipient."""

    kind: Kind
    ordinal: int
    second: int


ORDINALS = st.one_of(st.integers(0, 12), st.integers(0, 65_535))
HAPPENED = st.builds(Happened, st.sampled_from(Kind), ORDINALS, st.integers(0, 4 * 3600))


def variant_of(ordinal: int) -> str | None:
    return ("A", "B", None)[ordinal % 3]


def batch(events: Sequence[Happened]) -> Batch:
    """As emission and ingest make them: variants on what was sent or skipped, a detail on some."""
    groups: defaultdict[tuple[Kind, str | None, str | None], list[Happened]] = defaultdict(list)
    for event in events:
        variant = variant_of(event.ordinal) if event.kind in (Kind.SENT, Kind.SKIPPED) else None
        detail = (
            f"reason {event.ordinal % 2}" if event.kind in (Kind.SKIPPED, Kind.BOUNCED) else None
        )
        groups[event.kind, variant, detail].append(event)
    made = [
        Group(kind, pack(e.ordinal for e in group), pack(e.second for e in group), variant, detail)
        for (kind, variant, detail), group in groups.items()
    ]
    return Batch("acme", 42, 3, BASE, tuple(made))


def truth(events: Iterable[Happened], members: set[int] | None = None) -> Counts:
    """The counts by plain sets, from the rules: nothing of the fold's code."""
    who: defaultdict[Kind, set[int]] = defaultdict(set)
    for event in events:
        if members is None or event.ordinal in members:
            who[event.kind].add(event.ordinal)
    clicked, opened = who[Kind.CLICKED], who[Kind.OPENED] | who[Kind.CLICKED]
    return Counts(
        sent=len(who[Kind.SENT]),
        delivered=len(
            who[Kind.DELIVERED] | opened | who[Kind.MACHINE_OPENED] | who[Kind.MACHINE_CLICKED]
        ),
        opened=len(opened),
        clicked=len(clicked),
        bounced=len(who[Kind.BOUNCED]),
        failed=len(who[Kind.FAILED]),
        unsubscribed=len(who[Kind.UNSUBSCRIBED]),
        complained=len(who[Kind.COMPLAINED]),
        machine_opened=len(who[Kind.MACHINE_OPENED] - opened),
        machine_clicked=len(who[Kind.MACHINE_CLICKED] - clicked),
        replied=len(who[Kind.REPLIED]),
        skipped=len(who[Kind.SKIPPED]),
        accepted=len(who[Kind.ACCEPTED]),
    )


def folded(events: Sequence[Happened], sizes: Sequence[int] = (5,)) -> tuple[Shard, list[Batch]]:
    """The shard after these events in batches of these sizes (in turn), and the outcomes."""
    shard, outcomes, at, turn = Shard("acme", 42, 3), [], 0, 0
    while at < len(events):
        size = sizes[turn % len(sizes)]
        if (first := shard.fold(batch(events[at : at + size]))) is not None:
            outcomes.append(first)
        at, turn = at + size, turn + 1
    return shard, outcomes


def stats(shard: Shard) -> ShardStats:
    return shard.stats(1, "2026-01-28T09:00:00.000Z")


@given(
    st.lists(HAPPENED, max_size=120),
    st.lists(st.integers(1, 40), min_size=1, max_size=4),
    st.randoms(),
)
def test_duplicates_disorder_and_batching_change_no_count(
    events: list[Happened], sizes: list[int], chance: random.Random
) -> None:
    repeated = events + chance.choices(events, k=2 * len(events)) if events else []
    chance.shuffle(repeated)
    counted = stats(folded(repeated, sizes)[0])
    assert counted.total == truth(events)
    members = {
        v: {
            e.ordinal
            for e in events
            if e.kind in (Kind.SENT, Kind.SKIPPED) and variant_of(e.ordinal) == v
        }
        for v in "AB"
    }
    assert counted.variants == {
        variant: truth(events, who) for variant, who in members.items() if who
    }
    assert counted.skipped == Counter(
        f"reason {o % 2}" for o in {e.ordinal for e in events if e.kind is Kind.SKIPPED}
    )


@given(st.lists(HAPPENED, max_size=120))
def test_no_count_falls_except_those_of_machines(events: list[Happened]) -> None:
    shard, before = Shard("acme", 42, 3), Counts()
    for event in events:
        shard.fold(batch([event]))
        after = stats(shard).total
        for name in set(Counts.__struct_fields__) - MACHINES:
            assert getattr(after, name) >= getattr(before, name)
        before = after


@given(st.lists(HAPPENED, max_size=120))
def test_the_funnel_never_inverts(events: list[Happened]) -> None:
    counted = stats(folded(events)[0])
    for counts in (counted.total, *counted.variants.values()):
        assert counts.clicked <= counts.opened <= counts.delivered
        assert max(rates(counts).open_rate, rates(counts).click_rate) <= 100


@given(st.lists(HAPPENED, max_size=120))
def test_that_a_provider_took_messages_changes_no_other_count(events: list[Happened]) -> None:
    others = [event for event in events if event.kind is not Kind.ACCEPTED]
    accepted = {event.ordinal for event in events if event.kind is Kind.ACCEPTED}
    with_them, without = stats(folded(events, (1,))[0]), stats(folded(others, (1,))[0])
    assert with_them.total == replace(without.total, accepted=len(accepted))
    assert (with_them.hours, with_them.skipped) == (without.hours, without.skipped)


@pytest.mark.parametrize("kind", [Kind.BOUNCED, Kind.FAILED, Kind.DELIVERED])
def test_what_becomes_of_a_message_that_a_provider_took_counts_in_either_order(kind: Kind) -> None:
    accepted, later = Happened(Kind.ACCEPTED, 7, 1), Happened(kind, 7, 2)
    for events in ([accepted, later], [later, accepted], [accepted, accepted, later, later]):
        shard, outcomes = folded(events, (1,))
        assert stats(shard).total == Counts(accepted=1, **{kind.name.lower(): 1})
        found = [group.kind for made in outcomes for group in made.groups]
        assert sorted(found) == sorted([Kind.ACCEPTED, kind])


@given(st.lists(HAPPENED, max_size=120), st.integers(1, 120))
def test_a_stored_shard_goes_on_as_if_it_had_not_been_stored(
    events: list[Happened], cut: int
) -> None:
    straight, _ = folded(events, (1,))
    first, _ = folded(events[:cut], (1,))
    again = Shard.restore(first.store())
    for event in events[cut:]:
        again.fold(batch([event]))
    assert stats(again) == stats(straight)
    assert again.store() == straight.store()


@given(st.lists(HAPPENED, max_size=120), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_outcomes_are_each_reported_kind_of_each_recipient_once(
    events: list[Happened], sizes: list[int]
) -> None:
    _, outcomes = folded(events, sizes)
    seen = [
        (group.kind, o)
        for made in outcomes
        for group in made.groups
        for o in unpack(group.ordinals)
    ]
    assert sorted(seen) == sorted({(event.kind, event.ordinal) for event in events})
    reported = {(event.kind, event.ordinal, event.second) for event in events}
    for made in outcomes:
        for group in made.groups:
            assert {
                (group.kind, o, s)
                for o, s in zip(unpack(group.ordinals), unpack(group.seconds), strict=True)
            } <= reported


@given(st.lists(HAPPENED, max_size=120), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_hours_count_every_person_who_opened_or_clicked_once(
    events: list[Happened], sizes: list[int]
) -> None:
    counted = stats(folded(events, sizes)[0])
    assert sum(opened for opened, _ in counted.hours.values()) == counted.total.opened
    assert sum(clicked for _, clicked in counted.hours.values()) == counted.total.clicked
    assert {int(hour) for hour in counted.hours} <= {
        (BASE + event.second) // 3600 for event in events
    }


def test_the_hour_of_an_open_is_that_of_the_first_report() -> None:
    shard = Shard("acme", 42, 3)
    late, early = Happened(Kind.OPENED, 7, 2 * 3600), Happened(Kind.OPENED, 7, 0)
    shard.fold(batch([late]))
    shard.fold(batch([early]))
    assert stats(shard).hours == {str((BASE + 2 * 3600) // 3600): (1, 0)}


@pytest.mark.parametrize("kind", [Kind.OPENED, Kind.CLICKED])
@pytest.mark.parametrize("into_the_hour", [0, 3500, 3599])
def test_people_of_one_batch_on_both_sides_of_an_hour_are_each_counted_in_their_own(
    kind: Kind, into_the_hour: int
) -> None:
    hour = BASE // 3600
    left = 3600 - into_the_hour
    times = {1: 0, 2: left - 1, 3: left, 4: left + 1, 5: left + 3600}
    shard = Shard("acme", 42, 3)
    group = Group(kind, pack(times), pack(times.values()))
    shard.fold(Batch("acme", 42, 3, hour * 3600 + into_the_hour, (group,)))
    clicks = 1 if kind is Kind.CLICKED else 0
    assert stats(shard).hours == {
        str(hour): (2, 2 * clicks),
        str(hour + 1): (2, 2 * clicks),
        str(hour + 2): (1, clicks),
    }


def test_two_people_a_moment_before_and_after_the_full_hour_are_in_two_hours() -> None:
    hour, shard = BASE // 3600, Shard("acme", 42, 3)
    group = Group(Kind.OPENED, pack([1, 2]), pack([0, 200]))
    shard.fold(Batch("acme", 42, 3, hour * 3600 + 3500, (group,)))
    assert stats(shard).hours == {str(hour): (1, 0), str(hour + 1): (1, 0)}


def test_a_skip_without_a_reason_has_the_reason_unknown() -> None:
    shard = Shard("acme", 42, 3)
    shard.fold(Batch("acme", 42, 3, BASE, (Group(Kind.SKIPPED, pack([1, 2]), pack([0, 0])),)))
    assert stats(shard).skipped == {"unknown": 2}
    assert stats(Shard.restore(shard.store())).skipped == {"unknown": 2}


def test_an_outcome_carries_the_variant_that_was_sent() -> None:
    shard = Shard("acme", 42, 3)
    shard.fold(batch([Happened(Kind.SENT, ordinal, 0) for ordinal in range(6)]))
    outcome = shard.fold(batch([Happened(Kind.OPENED, ordinal, ordinal) for ordinal in range(6)]))
    assert outcome is not None
    found = {
        group.variant_id: (list(unpack(group.ordinals)), list(unpack(group.seconds)))
        for group in outcome.groups
    }
    assert found == {"A": ([0, 3], [0, 3]), "B": ([1, 4], [1, 4]), None: ([2, 5], [2, 5])}


def test_nothing_new_is_no_outcome_and_the_campaign_id_is_kept() -> None:
    shard = Shard("acme", 42, 3)
    sent = Batch(
        "acme",
        42,
        3,
        BASE,
        batch([Happened(Kind.SENT, 1, 0)]).groups,
        "0190a1b2-0000-7000-8000-000000000001",
    )
    assert shard.fold(sent) == sent
    assert shard.fold(sent) is None
    opened = shard.fold(batch([Happened(Kind.OPENED, 1, 5)]))
    assert opened is not None and opened.campaign_id == sent.campaign_id == stats(shard).campaign_id


GOOD = Group(Kind.OPENED, pack([1]), pack([2]))


@pytest.mark.parametrize(
    "wrong",
    [
        Batch("other", 42, 3, BASE, (GOOD,)),
        Batch("acme", 42, 4, BASE, (GOOD,)),
        Batch("acme", 42, 3, BASE, (GOOD, Group(Kind.OPENED, pack([65_536]), pack([2])))),
        Batch("acme", 42, 3, BASE, (GOOD, Group(Kind.OPENED, pack([1, 2]), pack([2])))),
        Batch("acme", 42, 3, BASE, (GOOD, Group(Kind.OPENED, b"123", b"123"))),
        Batch("acme", 42, 3, BASE, (GOOD, Group(Kind.OPENED, b"", b""))),
    ],
)
def test_wrong_facts_are_refused_and_change_nothing(wrong: Batch) -> None:
    shard = Shard("acme", 42, 3)
    before = shard.store()
    with pytest.raises(InvalidFactsError):
        shard.fold(wrong)
    assert shard.store() == before


def test_a_full_shard_of_everything_stays_below_145_kilobytes() -> None:
    shard, chance = Shard("acme", 42, 3), random.Random(1)
    for kind in Kind:
        ordinals = chance.sample(range(65_536), 32_768)
        for start in range(0, len(ordinals), 1000):
            shard.fold(
                batch([Happened(kind, ordinal, 0) for ordinal in ordinals[start : start + 1000]])
            )
    assert len(shard.store()) < 145_000


def test_rates_are_those_of_the_specification() -> None:
    assert rates(Counts(sent=9800, delivered=9500, opened=3200, clicked=850, bounced=200)) == Rates(
        33.68, 8.95, 2.04
    )


def test_rates_are_zero_without_a_divisor_and_round_half_up() -> None:
    assert rates(Counts()) == Rates(0, 0, 0)
    assert percent(1, 800) == 0.13  # 0.125 exactly: half goes up
    assert percent(1, 3) == 33.33
    assert percent(2, 3) == 66.67
    assert percent(5, 5) == 100


@given(st.lists(HAPPENED, max_size=60), st.lists(HAPPENED, max_size=60))
def test_a_campaign_is_the_sum_of_its_shards(left: list[Happened], right: list[Happened]) -> None:
    ones, others = stats(folded(left)[0]), stats(folded(right)[0])
    both = merged([decode_stats(encode_stats(ones)), decode_stats(encode_stats(others))])
    for name in Counts.__struct_fields__:
        assert getattr(both.total, name) == getattr(ones.total, name) + getattr(others.total, name)
        for variant in ("A", "B"):
            parts = [
                getattr(row.variants[variant], name)
                for row in (ones, others)
                if variant in row.variants
            ]
            assert sum(parts) == getattr(both.variants.get(variant, Counts()), name)
    assert sum(o for o, _ in both.hours.values()) == both.total.opened
    assert sum(both.skipped.values()) == both.total.skipped
    assert both.version == 2


def test_a_campaign_without_facts_has_zeros() -> None:
    assert merged([]) == CampaignStats()


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_a_percentage_is_rounded_half_up_at_its_second_digit(part: int, more: int) -> None:
    whole = part + more
    exact = Decimal(part) * 100 / Decimal(whole)
    assert percent(part, whole) == float(exact.quantize(Decimal("0.01"), ROUND_HALF_UP))
    assert percent(part, 0) == 0.0


def test_a_sum_of_shards_keeps_hours_and_reasons_in_order_and_the_latest_time() -> None:
    def shard(version: int, hours: dict[str, tuple[int, int]], **skipped: int) -> ShardStats:
        return ShardStats(
            tenant_id="acme",
            number=42,
            shard=version,
            version=version,
            total=Counts(opened=1),
            updated_at=f"2026-01-28T09:00:0{version}.000Z",
            hours=hours,
            skipped=skipped,
        )

    found = merged(
        [shard(3, {"10": (1, 0), "9": (2, 1)}, erased=1), shard(2, {"9": (1, 1)}, b=2, erased=4)]
    )
    assert list(found.hours.items()) == [(9, (3, 2)), (10, (1, 0))]
    assert list(found.skipped.items()) == [("b", 2), ("erased", 5)]
    assert (found.version, found.updated_at) == (5, "2026-01-28T09:00:03.000Z")
    assert found.total.opened == 2
