"""Commands that wait for a directory service keep their order, are carried out once, and hold up
nobody else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.sending import parking
from agents.sending.parking import Arrival, Parking
from connectors.sources.service import SourceDownError


class Planned(NamedTuple):
    """A command: its tenant, and how many looks its question takes (0: it asks nothing)."""

    tenant: str
    looks: int


class Rows(dict[str, bytes]):
    """The table `parked`, as one partition has it."""

    def Table(self, name: str, **options: Any) -> Rows:  # noqa: N802 - Faust's name
        assert name == "parked"
        return self


class Log:
    """One partition of the topic, the agent that reads it, and time."""

    def __init__(self, commands: list[Planned]) -> None:
        self.records: deque[Any] = deque()
        self.end, self.now = 0, 1_000.0
        self.commands = commands
        self.rows = Rows()
        self.rows.conf = SimpleNamespace(topic_partitions=1)  # type: ignore[attr-defined]
        self.answered: list[tuple[int, str]] = []
        self.looks: dict[int, int] = {}
        for number in range(len(commands)):
            self.append(b"%d" % number, [])
        self.restart()

    def restart(self) -> None:
        self.parking = Parking(self.rows, lambda: self.now)  # type: ignore[arg-type]

    def append(self, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        message = SimpleNamespace(offset=self.end, timestamp=self.now, headers=headers)
        self.records.append(SimpleNamespace(key=b"k", value=value, message=message))
        self.end += 1

    async def read(self) -> None:
        """One record, as the agent of commands does."""
        event = self.records.popleft()
        number = int(event.value)
        tenant, looks = self.commands[number]
        tx: Any = SimpleNamespace(topic="t", partition=0, rest=0.0)
        tx.send = lambda topic, partition, key, value, headers: self.append(value, headers)
        arrival = self.parking.arrival(tenant, event)
        try:
            question = (lambda: self.question(number)) if looks else None
            if not await self.parking.is_ready(tx, tenant, arrival, question):
                self.parking.park(tx, tenant, arrival, event)
                assert tx.rest
                return
            self.answered.append((number, "done"))
        except SourceDownError:
            self.answered.append((number, "refused"))
        assert arrival.offset == number
        self.parking.leave(tx, tenant, arrival)

    async def question(self, number: int) -> None:
        """Takes so many reads of the log; a large number is a service that never answers."""
        for _ in range(self.commands[number].looks - 1):
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _instantly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parking, "_AT_ONCE", 0.0)


COMMANDS = st.lists(
    st.builds(Planned, st.sampled_from("abc"), st.sampled_from([0, 0, 1, 3, 40])), max_size=12
)


@given(COMMANDS, st.sets(st.integers(0, 60)))
def test_each_command_is_carried_out_once_and_in_the_order_of_its_tenant_whatever_dies(
    commands: list[Planned], deaths: set[int]
) -> None:
    async def play() -> Log:
        log, step = Log(commands), 0
        while log.records:
            if step in deaths:
                log.restart()
            await log.read()
            await asyncio.sleep(0)
            step += 1
            assert step < 5_000
        return log

    log = asyncio.run(play())
    assert sorted(number for number, _ in log.answered) == list(range(len(commands)))
    assert {how for _, how in log.answered} <= {"done"}
    for tenant in "abc":
        mine = [number for number, _ in log.answered if commands[number].tenant == tenant]
        assert mine == sorted(mine)
    assert log.rows == {}


def test_a_tenant_whose_service_never_answers_is_refused_after_ten_seconds_and_alone() -> None:
    never = 10**9

    async def play() -> Log:
        log = Log(
            [
                Planned("slow", never),
                Planned("slow", 0),
                Planned("slow", never),
                *[Planned("other", 0)] * 3,
            ]
        )
        for _ in range(6):
            await log.read()
        assert [number for number, _ in log.answered] == [3, 4, 5]  # before anything of the slow
        log.now += 9.9
        for _ in range(6):
            await log.read()
        assert len(log.answered) == 3
        log.now += 0.2
        while log.records:
            await log.read()
        return log

    log = asyncio.run(play())
    assert log.answered[3:] == [(0, "refused"), (1, "done"), (2, "refused")]
    assert log.rows == {}


@pytest.mark.parametrize("looks", [3, 10**9])
def test_a_command_that_no_worker_has_read_for_an_hour_waits_as_long_as_a_new_one(
    looks: int,
) -> None:
    """A worker that starts late must not refuse at once what it has not asked for yet."""

    async def play() -> Log:
        log = Log([Planned("slow", looks)])
        log.now += 3_600.0
        await log.read()
        log.now += 9.9
        await log.read()
        assert log.answered == []
        await asyncio.sleep(0)
        log.now += 0.2
        await log.read()
        return log

    assert asyncio.run(play()).answered == [(0, "done" if looks == 3 else "refused")]


def test_a_command_whose_worker_was_away_is_asked_for_before_it_is_refused() -> None:
    async def play() -> Log:
        log = Log([Planned("slow", 1)])
        log.commands[0] = Planned("slow", 10**9)
        await log.read()
        log.restart()
        log.commands[0] = Planned("slow", 1)
        log.now += 3_600.0
        await log.read()
        return log

    assert asyncio.run(play()).answered == [(0, "done")]


@given(
    st.lists(
        st.builds(Planned, st.sampled_from("ab"), st.sampled_from([0, 3, 10**9])), max_size=12
    ),
    st.lists(st.floats(0, 4), min_size=1),
)
def test_refusals_keep_the_order_of_the_tenant_whenever_the_time_of_its_commands_is_over(
    commands: list[Planned], pauses: list[float]
) -> None:
    async def play() -> Log:
        log, step = Log(commands), 0
        while log.records:
            log.now += pauses[step % len(pauses)] + 0.01
            await log.read()
            await asyncio.sleep(0)
            step += 1
            assert step < 50_000
        return log

    log = asyncio.run(play())
    assert sorted(number for number, _ in log.answered) == list(range(len(commands)))
    for tenant in "ab":
        mine = [number for number, _ in log.answered if commands[number].tenant == tenant]
        assert mine == sorted(mine)
    assert log.rows == {}


def test_more_than_a_hundred_commands_of_a_tenant_do_not_wait() -> None:
    async def play() -> Log:
        log = Log([Planned("slow", 10**9)] * 103)
        for _ in range(103):
            await log.read()
        return log

    assert asyncio.run(play()).answered == [(100, "refused"), (101, "refused"), (102, "refused")]


@pytest.mark.parametrize("said", [b"7:1", b"x:y", b"", b"7", b"\xff:1", b"99999999999999999999:1"])
def test_a_header_that_we_have_not_written_counts_for_nothing(said: bytes) -> None:
    rows = Rows()
    rows.conf = SimpleNamespace(topic_partitions=1)  # type: ignore[attr-defined]
    message = SimpleNamespace(offset=5, timestamp=2.0, headers=[("parked", said)])
    found = Parking(rows).arrival("a", SimpleNamespace(message=message))  # type: ignore[arg-type]
    assert found == Arrival(5, 2.0, is_parked=False)
