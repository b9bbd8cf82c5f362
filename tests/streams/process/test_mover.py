"""A mover on a real broker: killed, stopped or moved to another process, it loses nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from confluent_kafka import Producer

from streams.exactly_once.fatal import EXIT_CODE
from streams.process import mover
from streams.process.mover import Assignments, TurnByTurn
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.environment import environment
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.workers import Worker
from tests.streams.process.copying_mover import Copying


def produce(settings: Settings, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 0})
    topic = Topics(settings).name(Name.INCOMING)
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % settings.partitions)
    producer.flush(10)


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def copied(settings: Settings) -> list[bytes]:
    topic = Topics(settings).name(Name.MESSAGE_EVENTS)
    found = await asyncio.to_thread(raw_kafka.read_all, settings.kafka, topic, settings.partitions)
    return [record.value for partition in found for record in partition if record.value]


def worker(settings: Settings, folder: Path) -> Worker:
    return Worker(
        "copying",
        folder / "copying.log",
        environment(settings),
        module="tests.streams.process.copying_mover",
    )


class Slow(TurnByTurn):
    """Its turns take a while; notes what happens in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def open(self, stack: AsyncExitStack) -> None:
        self.events.append("open")
        stack.callback(self.events.append, "closed")

    async def turn(self) -> None:
        self.events.append("begun")
        await asyncio.sleep(0.2)
        self.events.append("done")

    async def finish(self) -> None:
        self.events.append("finish")


async def test_a_planned_stop_lets_the_turn_end_and_closes_what_was_opened() -> None:
    service = Slow()
    async with service:
        await eventually(lambda: "begun" in service.events)
    assert service.events[0] == "open"
    assert service.events[-3:] == ["done", "finish", "closed"]
    assert service.events.count("begun") == service.events.count("done")


async def test_an_assignment_is_taken_once_even_when_it_is_empty() -> None:
    assignments, one = Assignments(), TopicPartition("t", 1)
    assert (assignments.take(), assignments.is_joined, assignments.generation) == (None, False, 0)
    assignments.on_partitions_assigned({one})
    assert (assignments.is_joined, assignments.generation) == (True, 1)
    assert (assignments.take(), assignments.take()) == ({one}, None)
    await assignments.on_partitions_revoked({one})
    assert not assignments.is_joined
    assignments.on_partitions_assigned(set())
    assert (assignments.take(), assignments.generation) == (set(), 2)


async def test_two_movers_share_the_partitions_and_a_successor_repeats_nothing(
    settings: Settings,
) -> None:
    produce(settings, *numbered(40))
    first, second = Copying(settings), Copying(settings)
    async with first:
        await eventually(lambda: first.moved == 40, within=300)
        async with second:
            await eventually(lambda: second.assignments.generation > 0, within=300)
            await eventually(
                lambda: len(first.consumer.assignment()) == len(second.consumer.assignment()) == 2,
                within=300,
            )
            produce(settings, *numbered(8))
            await eventually(lambda: first.moved + second.moved == 48, within=300)
            standing = await second.standing()
            assert standing.ready and not standing.waits
        assert second.is_finished
    async with Copying(settings) as third:
        await eventually(lambda: third.assignments.generation > 0, within=300)
        produce(settings, b"last")
        await eventually(lambda: third.moved == 1, within=300)
    assert sorted(await copied(settings)) == sorted([*numbered(40), *numbered(8), b"last"])


async def test_positions_of_partitions_that_moved_away_are_not_stored(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with Copying(settings) as mover:
        await eventually(lambda: mover.assignments.is_joined, within=300)
        with caplog.at_level(logging.WARNING):
            await mover.commit({TopicPartition(mover.topics.name(Name.FACTS), 0): 7})
    assert "the positions of copying are not stored" in caplog.text


async def test_killed_before_its_commit_it_copies_again_and_loses_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    produce(settings, *numbered(20))
    killed = await worker(settings, tmp_path).start(CAMPAIGNS_CRASH="copying:copied:7")
    assert await killed.ended() == -signal.SIGKILL
    async with Copying(settings) as mover:
        await eventually(lambda: mover.moved == 20, within=300)
    found = await copied(settings)
    assert set(found) == set(numbered(20)) and len(found) == 27


async def test_an_unexpected_error_ends_the_process_and_stores_no_position(
    settings: Settings, tmp_path: Path
) -> None:
    produce(settings, b"poison")
    assert await (await worker(settings, tmp_path).start()).ended() == EXIT_CODE
    again = await worker(settings, tmp_path).start()
    assert await again.ended() == EXIT_CODE
    assert "ValueError: poison" in (tmp_path / "copying.log").read_text()


class Lost:
    """A client that has lost its way: nothing that it is asked for ever comes."""

    async def getmany(self, **_: object) -> None:
        await asyncio.Event().wait()

    async def commit(self, _: object) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("step", ["read", "commit", "send"])
async def test_a_client_that_never_answers_is_not_waited_for_for_ever(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The error ends the process, and its successor reads on."""
    monkeypatch.setattr(mover, "_ANSWERED", 0.05)
    standing = Copying(settings)
    standing.consumer = Lost()
    with pytest.raises(TimeoutError):
        if step == "read":
            await standing.read(timeout_ms=10, max_records=1)
        elif step == "send":
            await mover.answered(asyncio.Event().wait())
        else:
            await standing.commit({TopicPartition("in", 0): 1})
