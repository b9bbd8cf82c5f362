"""The laws of a lane's progress: nothing twice, nothing missed, one range for what is in order."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.records.sending import CHUNK, lane
from tables.throttle.progress import (
    Progress,
    decode_progress,
    encode_progress,
    is_grantable,
    progress_key,
)

lanes_ = st.integers(1, 9)


@st.composite
def grants(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]]]:
    """Lanes, partition, and grants of that lane in any order, overlapping as they like."""
    lanes = draw(lanes_)
    partition = draw(st.integers(0, lanes - 1))
    made = []
    for _ in range(draw(st.integers(1, 12))):
        chunk = draw(st.integers(0, 5)) * lanes + partition
        start = draw(st.integers(0, CHUNK - 1))
        made.append((chunk * CHUNK + start, chunk * CHUNK + draw(st.integers(start + 1, CHUNK))))
    return lanes, partition, made


@given(grants())
def test_overlapping_grants_are_sent_once_and_completely(
    given_: tuple[int, int, list[tuple[int, int]]],
) -> None:
    lanes, partition, made = given_
    progress, sent = Progress(), list[int]()
    for start, stop in made:
        assert is_grantable(start, stop, partition, lanes)
        for a, b in progress.missing(start, stop, lanes):
            sent += range(a, b)
            progress = progress.with_done(a, b, lanes)
        assert progress.missing(start, stop, lanes) == ()
    assert len(sent) == len(set(sent))
    assert set(sent) == {ordinal for start, stop in made for ordinal in range(start, stop)}
    assert {lane(ordinal, lanes) for ordinal in sent} == {partition}
    assert sum(b - a for a, b in progress.done) == len(sent)


@given(grants())
def test_ranges_are_ascending_and_never_touch(
    given_: tuple[int, int, list[tuple[int, int]]],
) -> None:
    lanes, _, made = given_
    progress = Progress()
    for start, stop in made:
        progress = progress.with_done(start, stop, lanes)
    flat = [position for done in progress.done for position in done]
    assert flat == sorted(set(flat))


@given(lanes_, st.integers(1, 40), st.integers(0, 8), st.randoms(use_true_random=False))
def test_a_whole_lane_is_one_range_in_whatever_order_it_went(
    lanes: int, chunks: int, partition: int, random_: random.Random
) -> None:
    partition %= lanes
    mine = [chunk for chunk in range(chunks) if chunk % lanes == partition]
    random_.shuffle(mine)
    progress = Progress()
    for chunk in mine:
        progress = progress.with_done(chunk * CHUNK, (chunk + 1) * CHUNK, lanes)
    assert progress.done == (((0, len(mine) * CHUNK),) if mine else ())


@given(grants())
def test_a_row_survives_the_state_topic(given_: tuple[int, int, list[tuple[int, int]]]) -> None:
    lanes, _, made = given_
    progress = Progress()
    for start, stop in made:
        progress = progress.with_done(start, stop, lanes).counted(stop - start, 1)
    assert decode_progress(encode_progress(progress)) == progress
    assert (progress.batches, progress.skipped) == (len(made), len(made))


def test_what_is_empty_or_crosses_a_chunk_or_is_in_another_lane_is_not_grantable() -> None:
    assert is_grantable(1000, 2000, 1, 4)
    assert not is_grantable(1000, 1000, 1, 4)
    assert not is_grantable(1999, 2001, 1, 4)
    assert not is_grantable(1000, 2000, 0, 4)
    assert not is_grantable(-1, 1, 0, 4)
    assert not is_grantable((1 << 24) - 16, (1 << 24) + 1, 1, 4)


def test_counts_add_up_over_transactions() -> None:
    assert Progress().counted(3, 1).counted(2, 0) == Progress((), 5, 1, 2)


def test_a_row_has_ranges_then_messages_skips_and_transactions() -> None:
    """The order of a row that is stored: it stands in the state topic of running campaigns."""
    progress = Progress().with_done(5, 7, 4).counted(2, 1)
    assert encode_progress(progress) == b"[[[5,7]],2,1,1]"
    assert decode_progress(b"[]") == Progress()
    assert progress_key(42) == b"42"


def test_a_grant_may_begin_with_the_first_ordinal_and_end_with_the_last() -> None:
    last = (1 << 24) // CHUNK
    assert is_grantable(0, CHUNK, 0, 4)
    assert is_grantable(0, 1, 0, 4)
    assert is_grantable(last * CHUNK, 1 << 24, last % 4, 4)
    assert is_grantable((1 << 24) - 1, 1 << 24, last % 4, 4)
    assert not is_grantable(0, CHUNK + 1, 0, 4)
    assert not is_grantable(5, 4, 0, 4)


@pytest.mark.parametrize(
    ("start", "stop", "done"),
    [
        (30, 40, ((10, 20), (30, 40), (50, 60))),
        (20, 30, ((10, 30), (50, 60))),
        (40, 50, ((10, 20), (40, 60))),
        (20, 50, ((10, 60),)),
        (0, 100, ((0, 100),)),
        (12, 18, ((10, 20), (50, 60))),
        (15, 55, ((10, 60),)),
        (0, 9, ((0, 9), (10, 20), (50, 60))),
        (61, 70, ((10, 20), (50, 60), (61, 70))),
        (0, 10, ((0, 20), (50, 60))),
        (60, 70, ((10, 20), (50, 70))),
    ],
)
def test_what_touches_becomes_one_range_and_what_does_not_stays_apart(
    start: int, stop: int, done: tuple[tuple[int, int], ...]
) -> None:
    progress = Progress(((10, 20), (50, 60)))
    assert progress.with_done(start, stop, 1).done == done


@pytest.mark.parametrize(
    ("start", "stop", "missing"),
    [
        (0, 10, ((0, 10),)),
        (10, 20, ()),
        (12, 18, ()),
        (0, 70, ((0, 10), (20, 50), (60, 70))),
        (15, 55, ((20, 50),)),
        (20, 50, ((20, 50),)),
        (19, 51, ((20, 50),)),
        (60, 61, ((60, 61),)),
        (9, 11, ((9, 10),)),
    ],
)
@pytest.mark.parametrize("chunk", [0, 1, 5])
def test_what_is_missing_of_a_grant_lies_between_the_ranges_that_are_done(
    start: int, stop: int, missing: tuple[tuple[int, int], ...], chunk: int
) -> None:
    """Positions are those of the lane: with 4 lanes its n-th chunk is the campaign's 4n-th."""
    local, first = chunk * CHUNK, 4 * chunk * CHUNK
    progress = Progress(((local + 10, local + 20), (local + 50, local + 60)))
    found = progress.missing(first + start, first + stop, 4)
    assert [(a - first, b - first) for a, b in found] == list(missing)
