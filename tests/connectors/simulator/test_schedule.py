"""Reports leave in their time, and a position moves only past messages with none outstanding."""

from __future__ import annotations

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator.schedule import Fetched, Report, Schedule

ONE, OTHER = TopicPartition("messages", 0), TopicPartition("messages", 1)
# what runs of two partitions hold: for each the times of its reports, in seconds
runs_ = st.lists(
    st.tuples(st.sampled_from([ONE, OTHER]), st.lists(st.floats(0, 10), max_size=4)), max_size=8
)


def report(run: Fetched, name: str = "") -> Report:
    return Report(run.partition.partition, name.encode(), b"", run)


def filled(
    runs: list[tuple[TopicPartition, list[float]]],
) -> tuple[Schedule, list[tuple[Fetched, list[float]]]]:
    """A schedule of these runs, one offset apart, and the runs with their times."""
    schedule, made = Schedule(), []
    for offset, (partition, times) in enumerate(runs, 1):
        run = Fetched(partition, offset)
        for position, at in enumerate(times):
            schedule.add(at, report(run, f"{offset}-{position}"))
        schedule.follow(run)
        made.append((run, times))
    return schedule, made


@given(runs_, st.lists(st.floats(0, 12), min_size=1, max_size=6))
def test_every_report_leaves_once_and_at_most_a_twentieth_of_a_second_early(
    runs: list[tuple[TopicPartition, list[float]]], looks: list[float]
) -> None:
    schedule, made = filled(runs)
    at = {
        f"{run.offset}-{position}".encode(): time
        for run, times in made
        for position, time in enumerate(times)
    }
    assert schedule.pending == len(at)
    left = dict(at)
    for now in (*sorted(looks), 100.0):
        for found in schedule.due(now):
            assert left.pop(found.key) <= now + 0.051
        assert all(time > now - 0.051 for time in left.values())
        assert schedule.pending == len(left)
    assert left == {}


@given(runs_, st.floats(0, 12))
def test_the_next_look_is_when_the_next_report_leaves(
    runs: list[tuple[TopicPartition, list[float]]], now: float
) -> None:
    schedule, _ = filled(runs)
    schedule.due(now)
    wait = schedule.seconds_to_next(now)
    if schedule.pending == 0:
        assert wait is None
        return
    assert wait is not None and wait >= 0
    assert schedule.due(now + wait + 1e-9)


def test_what_is_late_leaves_at_once() -> None:
    schedule = Schedule()
    schedule.add(1.0, report(Fetched(ONE, 1)))
    assert schedule.seconds_to_next(5.0) == 0.0


@given(runs_, st.randoms(use_true_random=False), st.integers(0, 40))
def test_a_position_is_that_of_the_last_run_before_the_first_with_a_report_outstanding(
    runs: list[tuple[TopicPartition, list[float]]], chance: object, acknowledged: int
) -> None:
    schedule, made = filled(runs)
    outstanding = schedule.due(100.0)
    chance.shuffle(outstanding)  # type: ignore[attr-defined]
    for done in outstanding[:acknowledged]:
        done.source.left -= 1
    expected: dict[TopicPartition, int] = {}
    for partition in (ONE, OTHER):
        for run, _ in made:
            if run.partition == partition:
                if run.left:
                    break
                expected[partition] = run.offset
    assert schedule.settled() == expected
    assert schedule.settled() == {}, "each is answered once"


def test_after_a_rebalance_reports_still_leave_and_move_no_position() -> None:
    schedule, ((run, _),) = filled([(ONE, [1.0])])
    schedule.forget()
    assert [found.source for found in schedule.due(2.0)] == [run]
    run.left = 0
    assert schedule.settled() == {}
