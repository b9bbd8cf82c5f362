"""Laws of the exactly-once modules that need no broker, and the guard that notices when Faust's
private parts move.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from faust.tables.recovery import RebalanceAgain, ServiceStopped
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from hypothesis import given
from hypothesis import settings as laws
from hypothesis import strategies as st

from streams.exactly_once import crash_points, faust_internals
from streams.exactly_once.fatal import LostInputError, RecordTooLargeError, StuckRebalanceError
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import PartitionState
from streams.exactly_once.transactions import Transaction
from streams.exactly_once.transport import TransactionalConsumer
from streams.process.app import raw_topic
from streams.topics import Name
from tests.eventually import eventually
from tests.streams.exactly_once.bench import SOURCE, STATE, Bench, event


class EndedError(Exception):
    """Instead of the end of the process."""


@cache
def shared_bench() -> Bench:
    """For laws that change nothing on it."""
    return Bench()


def test_the_installed_packages_are_the_ones_the_modules_know() -> None:
    faust_internals.check_internals()


def test_a_moved_private_part_is_named() -> None:
    moved = faust_internals.Leaned(PartitionState, "gone", ("something",), "a reason")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faust_internals, "LEANED_ON", (moved,))
        with pytest.raises(RuntimeError, match=r"PartitionState\.gone lacks 'something'"):
            faust_internals.check_internals()


async def test_outputs_rows_and_position_are_one_transaction_per_source_partition() -> None:
    bench = Bench()

    async def body(tx: Transaction) -> None:
        for each in tx.events:
            bench.totals["a"] += each.value
            await asyncio.sleep(0)
            bench.blobs[b"\0k"] = b"\0\xff"
            tx.send("out", tx.partition, each.key, b"%d" % bench.totals["a"])
        bench.totals["gone"] = 1
        del bench.totals["gone"]

    await bench.feed(body, event(0, 10), event(1, 20), event(7, 5, partition=1, previous=-1))
    first, second = bench.producers
    assert first.log == second.log == ["begin", "commit"]
    assert first.sent("out") == [(0, b"k", b"10"), (0, b"k", b"30")]
    assert first.state() == {
        b'totals\0"a"': b"30",
        b'totals\0"gone"': None,
        b"blobs\0\0k": b"\0\xff",
        b"\0x-in": b"2",
    }
    assert second.state()[b'totals\0"a"'] == b"5"
    assert second.state()[b"\0x-in"] == b"8"


async def test_records_carry_the_commits_time_and_none_before_their_decisions() -> None:
    bench, times, now = Bench(), list[int](), datetime.now(UTC)
    soon = now.replace(microsecond=1) + timedelta(minutes=80)
    decisions = [now - timedelta(days=1), soon, now + timedelta(days=1)]

    async def body(tx: Transaction) -> None:
        tx.follow_events()
        tx.not_before = max(tx.not_before, decisions[tx.events[0].message.offset])
        tx.send("out", 0, b"k", b"v")

    for offset in range(len(decisions)):
        await bench.feed(body, event(offset))
        times += {at for batch in bench.producers[0].batches for at in batch.times} - {*times}
    at, of_decision, at_most = (datetime.fromtimestamp(ms / 1000, UTC) for ms in times)
    assert now <= at <= datetime.now(UTC) + timedelta(milliseconds=1)
    assert of_decision == soon.replace(microsecond=1000)  # rounded up
    # Kafka takes nothing that is dated hours ahead
    assert timedelta(minutes=90) <= at_most - now < timedelta(minutes=100)


async def test_input_that_was_processed_or_fetched_before_the_last_seek_is_left_out() -> None:
    bench, seen = Bench(), list[int]()

    async def body(tx: Transaction) -> None:
        seen.extend(each.message.offset for each in tx.events)

    await bench.feed(body, event(0), event(1))
    await bench.feed(body, event(0), event(1), event(2))
    await bench.feed(body, event(1), event(2))
    await bench.feed(body, event(3, epoch=9))
    await bench.feed(body, event(3, partition=7))
    assert seen == [0, 1, 2]
    assert bench.producers[0].log.count("begin") == 2
    assert not bench.ends


@laws(deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=2), min_size=2, max_size=12), st.data())
def test_the_chain_guard_notices_any_loss_or_swap_and_nothing_else(
    gaps: list[int], data: st.DataObject
) -> None:
    offsets, at = [], 0
    for gap in gaps:  # transaction markers and aborted records leave gaps in the offsets
        at += gap
        offsets.append(at)
        at += 1
    chain = [event(offset, previous=([-1, *offsets])[i]) for i, offset in enumerate(offsets)]
    eo, state = shared_bench().eo, PartitionState(0, {}, None)
    assert eo._fresh(state, TP(SOURCE, 0), chain)[1] == offsets[-1] + 1
    lost = data.draw(st.integers(min_value=0, max_value=len(chain) - 2))
    with pytest.raises(LostInputError):
        eo._fresh(state, TP(SOURCE, 0), chain[:lost] + chain[lost + 1 :])
    swapped = [*chain]
    swapped[lost], swapped[lost + 1] = swapped[lost + 1], swapped[lost]
    with pytest.raises(LostInputError):
        eo._fresh(state, TP(SOURCE, 0), swapped)


async def test_lost_input_an_exception_a_failed_batch_and_a_cancellation_end_the_process() -> None:
    async def fine(tx: Transaction) -> None:
        tx.send("out", 0, b"k", b"v")

    async def buggy(tx: Transaction) -> None:
        raise ZeroDivisionError

    async def huge(tx: Transaction) -> None:
        tx.send("out", 0, b"k", b"v" * 2000)

    async def cancelled(tx: Transaction) -> None:
        raise asyncio.CancelledError

    for body, expected in (
        (buggy, ZeroDivisionError),
        (huge, RecordTooLargeError),
        (cancelled, asyncio.CancelledError),
    ):
        bench = Bench()
        with pytest.raises(expected):
            await bench.feed(body, event(0))
        assert [type(end) for end in bench.ends] == [expected]
        assert bench.producers[0].committed == []
    bench = Bench()
    with pytest.raises(LostInputError):
        await bench.feed(fine, event(5, previous=4))
    bench.producers[0].failure = EndedError()
    with pytest.raises(EndedError):
        await bench.feed(fine, event(0))
    assert "commit" not in bench.producers[0].log


async def test_windows_expire_by_the_records_time_and_leave_tombstones() -> None:
    bench = Bench()

    async def body(tx: Transaction) -> None:
        for each in tx.events:
            window = bench.minutes.relative_to(float(each.value))
            window["a"] += 1

    await bench.feed(body, event(0, 10), event(1, 20))
    assert bench.producers[0].state()[b'minutes\0["a",[0.0,59.9]]'] == b"2"
    await bench.feed(body, event(2, 300))
    assert bench.producers[0].state()[b'minutes\0["a",[0.0,59.9]]'] is None
    assert list(bench.eo.owned[0].rows["minutes"]) == [("a", (300.0, 359.9))]


Step = tuple[int, str, int]
_steps = st.lists(
    st.tuples(st.sampled_from((0, 1, 2)), st.sampled_from("abc"), st.integers(1, 400)),
    min_size=1,
    max_size=40,
)


@laws(deadline=None, max_examples=40)
@given(st.lists(_steps, min_size=1, max_size=4))
def test_what_is_restored_is_what_was_in_memory(transactions: Sequence[Sequence[Step]]) -> None:
    async def run() -> None:
        bench, model = Bench(), Counter[str]()

        async def body(tx: Transaction) -> None:
            for what, key, number in tx.events[0].value:
                if what == 0:
                    bench.totals[key] += number
                    model[key] += number
                elif what == 1 and key in model:
                    bench.totals.pop(key)
                    del model[key]
                else:
                    window = bench.minutes.relative_to(float(number))
                    window[key] += number

        for offset, steps in enumerate(transactions):
            await bench.feed(body, event(offset, steps))
        live, producer = bench.eo.owned[0], bench.producers[0]
        fresh = PartitionState(0, bench.app.tables.transactional, None)
        for key, value in producer.state().items():
            assert key is not None
            fresh.restore(key, value)
        fresh.restored()
        assert fresh.rows == live.rows
        assert fresh.rows["totals"] == dict(model)
        assert fresh.position == live.position == {SOURCE: len(transactions)}
        assert fresh._latest["minutes"] <= live._latest["minutes"]

    asyncio.run(run())


async def test_tables_can_only_be_changed_inside_a_transaction_and_read_everywhere() -> None:
    bench = Bench()

    async def body(tx: Transaction) -> None:
        bench.totals[f"of {tx.partition}"] = 1

    await bench.feed(body, event(0), event(0, partition=1))
    assert dict(bench.totals.items()) == {"of 0": 1, "of 1": 1}
    with pytest.raises(RuntimeError, match="only be modified inside"):
        bench.totals["a"] = 1
    with pytest.raises(RuntimeError, match="only be modified inside"):
        del bench.totals["of 0"]


async def test_a_dead_letter_is_part_of_the_transaction_and_keyed_by_its_position() -> None:
    bench = Bench()

    async def body(tx: Transaction) -> None:
        tx.dead_letter(tx.events[0], "not JSON", "malformed")

    await bench.feed(body, event(0, b"\xff"))
    [(partition, key, value)] = bench.producers[0].sent("x-" + Name.DEAD_LETTERS)
    assert (partition, key) == (0, b"x-in-0-0")
    assert value is not None
    assert b'"payload":"/w=="' in value
    assert b'"timestamp":1700000000123' in value


async def test_callbacks_run_only_after_the_commit() -> None:
    bench, called = Bench(), list[bytes | None]()

    async def body(tx: Transaction) -> None:
        tx.on_commit(lambda: called.append(bench.producers[0].state()[b"\0x-in"]))
        if tx.events[0].value == b"bad":
            raise EndedError

    await bench.feed(body, event(0))
    with pytest.raises(EndedError):
        await bench.feed(body, event(1, b"bad"))
    assert called == [b"1"]


async def test_a_body_that_does_not_return_is_named_again_and_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()

    async def slow(tx: Transaction) -> None:
        await eventually(lambda: len(caplog.records) >= 2)

    with caplog.at_level(logging.WARNING, "streams.exactly_once.agents"):
        await bench.feed(slow, event(0))
        said = len(caplog.records)
        await asyncio.sleep(0.1)
    assert 2 <= said == len(caplog.records)  # nothing more once it has returned
    assert "agent test has held x-in-0" in caplog.text


async def test_reading_starts_at_the_position_or_at_the_oldest_record_that_is_left() -> None:
    eo = Bench().eo
    first, second = eo.owned[0], eo.owned[1]
    first.position[SOURCE], first.beginning[SOURCE] = 10, 4
    second.beginning[SOURCE] = 7
    assert eo.starting_positions([TP(SOURCE, 0), TP(SOURCE, 1), TP(SOURCE, 9)]) == {
        TP(SOURCE, 0): 10,
        TP(SOURCE, 1): 7,
    }
    assert eo.committed_positions([TP(SOURCE, 0), TP(SOURCE, 1), TP(SOURCE, 9)]) == {
        TP(SOURCE, 0): 10
    }


async def test_a_seek_whose_partitions_are_taken_away_is_made_again_and_ends_no_task_of_faust(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def seek(_consumer: Any) -> None:
        await asked

    monkeypatch.setattr(driver.Consumer, "perform_seek", seek)
    consumer = TransactionalConsumer.__new__(TransactionalConsumer)
    seeking = asyncio.ensure_future(consumer.perform_seek())
    await asyncio.sleep(0)
    asked.cancel()  # as aiokafka does when the assignment changes
    with pytest.raises(RebalanceAgain):
        await seeking

    asked = asyncio.get_running_loop().create_future()
    told_to_end = asyncio.ensure_future(consumer.perform_seek())
    await asyncio.sleep(0)
    told_to_end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await told_to_end


async def test_a_step_of_a_rebalance_that_takes_too_long_ends_the_process_not_its_task() -> None:
    bench, never = Bench(), asyncio.Event()
    recovery = bench.app.tables.recovery
    with pytest.raises(ServiceStopped):
        await recovery._wait(never.wait(), timeout=0.01)
    assert [type(error) for error in bench.ends] == [StuckRebalanceError]
    stopping = asyncio.ensure_future(recovery._wait(never.wait(), timeout=300))
    await asyncio.sleep(0)
    recovery._stopped.set()
    with pytest.raises(ServiceStopped):
        await stopping
    assert len(bench.ends) == 1


def test_a_rebalance_that_does_not_end_ends_the_process_unless_a_body_runs() -> None:
    bench = Bench()
    app: Any = bench.app
    eo, looks = bench.eo, round(Policy().rebalance.total_seconds())
    eo.is_restored, app.rebalancing, eo.running = True, True, 1
    assert not any(eo.is_ready() for _ in range(2 * looks))
    eo.running = 0
    assert not any(eo.is_ready() for _ in range(looks))
    app.rebalancing = False
    assert eo.is_ready()  # it has ended after all, and the next one has all the time again
    app.rebalancing = True
    assert not any(eo.is_ready() for _ in range(looks)) and not bench.ends
    eo.is_ready()
    assert [type(error) for error in bench.ends] == [StuckRebalanceError]


def test_only_transactional_tables_with_names_of_their_own_are_accepted() -> None:
    app = Bench().app
    with pytest.raises(TypeError, match="transactional tables only"):
        app.GlobalTable("global")
    with pytest.raises(ValueError, match="already exists"):
        app.Table("totals")
    with pytest.raises(TypeError, match="key_type=str"):
        app.Table("windowed", key_type=bytes).tumbling(60)


def test_a_source_topic_gets_the_prefix_of_its_installation() -> None:
    app = Bench().app
    assert raw_topic(app, Name.GRANTS).topics == ("x-campaigns.grants.v1",)
    assert raw_topic(app, "plain").topics == ("plain",)
    assert (app.conf.id, app.exactly_once.state_topic) == ("x-campaigns-test", STATE)


def test_crash_points_are_parsed_and_count_down() -> None:
    assert crash_points.parse("") is None
    armed = crash_points.parse("emit:before-commit:3:stop")
    assert armed is not None
    assert (armed.point, armed.left, armed.how.name) == ("emit:before-commit", 3, "SIGSTOP")
    with pytest.raises(ValueError, match="invalid literal"):
        crash_points.parse("before-commit")
