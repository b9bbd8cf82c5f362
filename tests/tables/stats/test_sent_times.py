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
