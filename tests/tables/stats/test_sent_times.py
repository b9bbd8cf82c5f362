"""The machine window's laws: with the sent facts first, an open or click near its sending is a
machine's however the rest arrives.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from streams.records.facts import Group, Kind, pack, unpack
from tables.stats.sent_times import MOST_SECONDS, SentTimes
from tables.stats.shards import Shard
from tests.tables.stats.test_shards import BASE, HAPPENED, Happened, batch, stats, truth

WINDOW = 2
_MACHINES = {Kind.OPENED: Kind.MACHINE_OPENED, Kind.CLICKED: Kind.MACHINE_CLICKED}
SENT = st.dictionaries(st.integers(0, 20), st.integers(0, 30), max_size=20)  # ordinal -> second
LATER = st.lists(
    st.builds(
        Happened,
        st.sampled_from([k for k in Kind if k is not Kind.SENT]),
        st.integers(0, 20),
        st.integers(0, 40),
    ),
    max_size=80,
)


def told_apart(
    events: Sequence[Happened], sent: dict[int, int], window: int = WINDOW
) -> list[Happened]:
    """By the rule alone: nothing of the fold's code."""
    return [
        event._replace(kind=_MACHINES[event.kind])
        if event.kind in _MACHINES
        and event.ordinal in sent
        and abs(event.second - sent[event.ordinal]) <= window
        else event
        for event in events
    ]


def folded(
    parts: Sequence[Sequence[Happened]], window: int = WINDOW, *, store: bool = False
) -> tuple[Shard, list[Happened]]:
    """The shard after these batches, and its outcomes."""
    shard, outcomes = Shard("acme", 42, 3), list[Happened]()
    for events in parts:
        first = shard.fold(batch(events), window) if events else None
        for group in first.groups if first is not None else ():
            pairs = zip(unpack(group.ordinals), unpack(group.seconds), strict=True)
            outcomes += [Happened(group.kind, ordinal, second) for ordinal, second in pairs]
        shard = Shard.restore(shard.store()) if store else shard
    return shard, outcomes


def cut(events: list[Happened], sizes: list[int]) -> list[list[Happened]]:
    parts, at, turn = [], 0, 0
    while at < len(events):
        parts.append(events[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    return parts


@given(
    SENT, LATER, st.lists(st.integers(1, 30), min_size=1, max_size=4), st.randoms(), st.booleans()
)
def test_duplicates_disorder_batching_and_restoring_change_no_count(
    sent: dict[int, int],
    events: list[Happened],
    sizes: list[int],
    chance: random.Random,
    store: bool,
) -> None:
    facts = [Happened(Kind.SENT, ordinal, second) for ordinal, second in sent.items()]
    repeated = events + chance.choices([*events, *facts], k=2 * len(events)) if events else []
    chance.shuffle(repeated)
    shard, outcomes = folded([facts, *cut(repeated, sizes)], store=store)
    expected = facts + told_apart(events, sent)
    assert stats(shard).total == truth(expected)
    assert sum(opened for opened, _ in stats(shard).hours.values()) == stats(shard).total.opened
    assert sorted((o.kind, o.ordinal) for o in outcomes) == sorted(
        {(e.kind, e.ordinal) for e in expected}
    )


@given(st.lists(HAPPENED, max_size=100), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_without_sent_facts_or_without_a_window_everything_stays_as_reported(
    events: list[Happened], sizes: list[int]
) -> None:
    assert stats(folded(cut(events, sizes), 0)[0]).total == truth(events)
    others = [event for event in events if event.kind is not Kind.SENT]
    assert stats(folded(cut(others, sizes))[0]).total == truth(others)


@pytest.mark.parametrize(
    ("second", "kind"),
    [
        (7, "opened"),
        (8, "machine_opened"),
        (10, "machine_opened"),
        (12, "machine_opened"),
        (13, "opened"),
    ],
)
def test_the_window_is_two_seconds_on_both_sides(second: int, kind: str) -> None:
    shard, _ = folded([[Happened(Kind.SENT, 5, 10)], [Happened(Kind.OPENED, 5, second)]])
    counted = stats(shard).total
    assert (
        getattr(counted, kind) == 1
        and counted.opened + counted.machine_opened == 1
        and counted.delivered == 1
    )


def test_a_person_follows_the_machine() -> None:
    shard, outcomes = folded(
        [
            [Happened(Kind.SENT, 5, 10)],
            [Happened(Kind.CLICKED, 5, 11), Happened(Kind.CLICKED, 5, 60)],
        ]
    )
    assert (stats(shard).total.clicked, stats(shard).total.machine_clicked) == (1, 0)
    assert outcomes[1:] == [Happened(Kind.CLICKED, 5, 60), Happened(Kind.MACHINE_CLICKED, 5, 11)]


def throttled(shard: Shard, seconds: int) -> None:
    """One message a minute, each opened by a scanner after a second."""
    for ordinal in range(seconds):
        shard.fold(batch([Happened(Kind.SENT, ordinal, 60 * ordinal)]), WINDOW)
        shard.fold(batch([Happened(Kind.OPENED, ordinal, 60 * ordinal + 1)]), WINDOW)


def test_a_throttled_campaign_keeps_what_it_needs_and_no_more() -> None:
    shard = Shard("acme", 42, 3)
    throttled(shard, 3 * MOST_SECONDS)
    assert stats(shard).total.opened == 0 and stats(shard).total.machine_opened == 3 * MOST_SECONDS
    kept, forgotten = shard.sent.stored()
    assert len(kept) == MOST_SECONDS and forgotten == BASE + 60 * (2 * MOST_SECONDS - 1)
    assert sum(map(len, kept.values())) < 25_000


def test_what_was_told_apart_stays_so_after_its_second_is_forgotten_and_a_person_still_counts() -> (
    None
):
    shard = Shard("acme", 42, 3)
    throttled(shard, 2 * MOST_SECONDS)
    shard = Shard.restore(shard.store())
    for ordinal in range(MOST_SECONDS):  # repeats, days late
        assert shard.fold(batch([Happened(Kind.OPENED, ordinal, 60 * ordinal + 1)]), WINDOW) is None
    late = Happened(Kind.OPENED, 0, 60 * 2 * MOST_SECONDS)
    assert shard.fold(batch([late]), WINDOW) is not None
    assert stats(shard).total.opened == 1


def test_a_stored_shard_of_the_first_format_is_read() -> None:
    shard, _ = folded([[Happened(Kind.DELIVERED, 5, 10)]], 0)
    row = msgspec.msgpack.decode(shard.store(), strict=False)
    old = msgspec.msgpack.encode([1, *row[1:-2]])
    assert stats(Shard.restore(old)) == stats(shard)


def test_sent_times_that_are_stored_and_restored_are_the_same() -> None:
    times = SentTimes()
    times.note(Group(Kind.SENT, pack([1, 2, 3]), pack([0, 5, 5])), BitMap([1, 2, 3]), BASE)
    assert (
        SentTimes(*times.stored()).stored()
        == times.stored()
        == ({BASE: BitMap([1]).serialize(), BASE + 5: BitMap([2, 3]).serialize()}, -1)
    )


def test_a_second_in_which_a_whole_shard_was_sent_to_takes_a_few_bytes() -> None:
    times, everybody = SentTimes(), range(65_536)
    for half in (everybody[::2], everybody[1::2]):
        times.note(Group(Kind.SENT, pack(half), bytes(4 * len(half))), BitMap(half), BASE)
    kept, _ = times.stored()
    assert sum(map(len, kept.values())) < 40
    assert BitMap.deserialize(kept[BASE]) == BitMap(everybody)


def test_sent_times_are_true_once_something_was_sent() -> None:
    times = SentTimes()
    assert not times
    times.note(Group(Kind.SENT, pack([1]), pack([0])), BitMap([1]), BASE)
    assert times and SentTimes(*times.stored())


def test_a_send_time_older_than_all_that_were_dropped_is_not_taken_up_again() -> None:
    times = SentTimes({}, forgotten=BASE + 10)
    for second in (9, 10, 11):
        times.note(Group(Kind.SENT, pack([second]), pack([second])), BitMap([second]), BASE)
    kept, forgotten = times.stored()
    assert (list(kept), forgotten) == ([BASE + 11], BASE + 10)


@pytest.mark.parametrize(
    ("second", "is_machine"), [(11, True), (12, True), (13, False), (60, False)]
)
def test_a_repeat_stays_a_machines_only_near_the_seconds_that_were_dropped(
    second: int, is_machine: bool
) -> None:
    """The send time was at second 10 at the latest; the window is two seconds."""
    times, group = SentTimes({}, forgotten=BASE + 10), Group(Kind.OPENED, pack([1]), pack([second]))
    people, machines = times.split(group, BitMap([1]), BASE, WINDOW, known=BitMap([1]))
    assert (people, machines) == ((None, group) if is_machine else (group, None))


def test_a_recipient_without_an_earlier_report_is_a_person_after_the_time_was_dropped() -> None:
    times, group = SentTimes({}, forgotten=BASE + 10), Group(Kind.OPENED, pack([1]), pack([11]))
    assert times.split(group, BitMap([1]), BASE, WINDOW, known=BitMap([2])) == (group, None)


def test_a_known_send_time_counts_more_than_an_earlier_report() -> None:
    """The send time of a recipient is known, so it was not dropped: the report at second 12 is
    compared with second 40, although a machine has opened the message before.
    """
    times = SentTimes({BASE + 40: BitMap([1]).serialize()}, forgotten=BASE + 10)
    group = Group(Kind.OPENED, pack([1]), pack([12]))
    assert times.split(group, BitMap([1]), BASE, WINDOW, known=BitMap([1])) == (group, None)


def test_a_report_before_the_base_of_its_send_time_is_compared_like_any_other() -> None:
    times = SentTimes({BASE + 5: BitMap([1, 2]).serialize()})
    group = Group(Kind.CLICKED, pack([1, 2]), pack([0, 4]))
    later = BASE + 3  # the reports came at seconds 3 and 7 after BASE
    people, machines = times.split(group, BitMap([1, 2]), later, WINDOW, BitMap())
    assert (people, machines) == (None, group)
    apart = Group(Kind.CLICKED, pack([1, 2]), pack([0, 5]))
    people, machines = times.split(apart, BitMap([1, 2]), later, WINDOW, BitMap())
    assert people == Group(Kind.CLICKED, pack([2]), pack([5]))
    assert machines == Group(Kind.CLICKED, pack([1]), pack([0]))


def test_recipients_of_one_second_that_are_noted_in_two_batches_are_all_kept() -> None:
    times = SentTimes()
    for ordinal in (1, 2):
        times.note(Group(Kind.SENT, pack([ordinal]), pack([5])), BitMap([ordinal]), BASE)
        times.stored()  # what was stored between the two is not what is stored after them
    assert times.stored()[0] == {BASE + 5: BitMap([1, 2]).serialize()}


def test_reports_that_are_far_apart_are_each_compared_with_their_own_send_time() -> None:
    sent = {BASE: BitMap([1]).serialize(), BASE + 1000: BitMap([2]).serialize()}
    near = Group(Kind.OPENED, pack([1, 2]), pack([1, 1001]))
    assert SentTimes(sent).split(near, BitMap([1, 2]), BASE, WINDOW, BitMap()) == (None, near)
    far = Group(Kind.OPENED, pack([1, 2]), pack([1001, 1]))
    assert SentTimes(sent).split(far, BitMap([1, 2]), BASE, WINDOW, BitMap()) == (far, None)


def test_of_reports_after_the_times_were_dropped_only_early_repeats_are_a_machines() -> None:
    times = SentTimes({}, forgotten=BASE + 10)
    ordinals, seconds, known = [1, 2, 3], [11, 60, 11], BitMap([1, 2])
    group = Group(Kind.OPENED, pack(ordinals), pack(seconds))
    people, machines = times.split(group, BitMap(ordinals), BASE, WINDOW, known)
    assert people == Group(Kind.OPENED, pack([2, 3]), pack([60, 11]))
    assert machines == Group(Kind.OPENED, pack([1]), pack([11]))
