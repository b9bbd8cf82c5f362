"""What a worker says of itself to its supervisor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr

from agents.counting.ingest import Ingest
from agents.counting.project import Project
from agents.topology import build
from connectors.local.stack.unit import Health, reported
from streams import metrics
from streams.exactly_once.fatal import StandsStillError
from streams.exactly_once.transactions import Transaction
from streams.process.readiness import (
    Readiness,
    Reporting,
    Standing,
    report_readiness,
    together,
)
from streams.settings import Settings
from streams.topics import Name, Topics
from tests.eventually import eventually
from tests.streams.exactly_once.bench import Bench, event


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ready.json"


@pytest.fixture
def nowhere(file: Path) -> Settings:
    """Of a process that writes the file; no server of it answers."""
    return Settings(
        kafka="127.0.0.1:1",
        postgres="postgresql://nowhere/none",
        nats="nats://nowhere:1",
        message_keys=(SecretStr("00" * 32),),
        ready_file=str(file),
    )


@pytest.fixture(params=["postgres", "nats"])
def outage(request: pytest.FixtureRequest) -> Iterator[Any]:
    gauge = metrics.DEPENDENCY_DOWN.labels(request.param)
    yield gauge
    gauge.set(0)


async def test_a_worker_waits_while_a_dependency_is_down(
    nowhere: Settings, file: Path, outage: Any
) -> None:
    for down in (0, 1, 0):
        outage.set(down)
        await Readiness(nowhere).report(Standing(True, lag=3, position=4))
        said = _said(file)
        assert (said["ready"], said["lag"], said["position"], said["waits"]) == (
            True,
            3,
            4,
            bool(down),
        )
        assert reported(file, said["pid"]) == Health(True, 3, 4)


HAS_WORK = Standing(True, lag=9, position=1)


async def _ends(settings: Settings, reports: Iterable[Standing]) -> list[type[BaseException]]:
    """With what a process that reports these ended, once for each time that it would have."""
    ends = list[BaseException]()
    readiness = Readiness(settings, end=ends.append)
    for standing in reports:
        await readiness.report(standing)
    return [type(error) for error in ends]


async def test_a_worker_that_has_work_and_stands_still_for_a_minute_ends(
    settings: Settings,
) -> None:
    assert await _ends(settings, [HAS_WORK] * 60) == []
    assert await _ends(settings, [HAS_WORK] * 61) == [StandsStillError]


async def test_a_worker_does_not_end_while_kafka_answers_nobody(nowhere: Settings) -> None:
    assert await _ends(nowhere, [HAS_WORK] * 1000) == []


@pytest.mark.parametrize(
    "other",
    [
        Standing(True, lag=9, position=2),  # it has moved
        Standing(True, lag=0, position=1),  # it is idle
        Standing(True, lag=9, position=1, waits=True),
        Standing(False, lag=9, position=1),  # it rebalances; that has a limit of its own
    ],
    ids=["moved", "idle", "waits", "not ready"],
)
async def test_one_report_that_is_not_of_standing_still_gives_a_worker_another_minute(
    settings: Settings, other: Standing
) -> None:
    assert await _ends(settings, [*[HAS_WORK] * 59, other, *[HAS_WORK] * 59]) == []


async def test_a_worker_that_waits_for_a_dependency_does_not_end(
    settings: Settings, outage: Any
) -> None:
    outage.set(1)
    assert await _ends(settings, [HAS_WORK] * 1000) == []


def test_a_worker_is_what_its_parts_are_together() -> None:
    parts = [Standing(True, 1, 10), Standing(True, 2, 20, waits=True), Standing(False, 4, 40)]
    assert together(parts) == Standing(False, 7, 70, True)
    assert together(parts[:2]) == Standing(True, 3, 30, True)


class Slow:
    """A service that is not ready yet."""

    name = "slow"

    async def standing(self) -> Standing:
        return Standing(False, 5, 6)


async def test_a_worker_waits_while_a_body_runs_and_adds_up_its_services(
    nowhere: Settings, file: Path
) -> None:
    bench, enough = Bench(), asyncio.Event()
    app: Any = bench.app
    app.reporting, bench.eo.is_restored = (Slow(),), True
    app.consumer = SimpleNamespace(epoch=0, assignment=set, lag=lambda starts: asyncio.sleep(0, 7))

    async def body(tx: Transaction) -> None:
        await enough.wait()

    app.settings = nowhere
    async with working(report_readiness(app)):
        feeding = asyncio.create_task(bench.feed(body, event(0)))
        await eventually(lambda: _said(file).get("waits") is True)
        enough.set()
        await feeding
        await eventually(lambda: _said(file).get("waits") is False)
    assert bench.eo.running == 0
    said = _said(file)
    assert (said["ready"], said["lag"], said["position"]) == (False, 12, 7)
    assert metrics.LAG.labels("slow")._value.get() == 5


async def test_a_body_that_fails_no_longer_runs() -> None:
    bench = Bench()

    async def body(tx: Transaction) -> None:
        raise ValueError("poison")

    with pytest.raises(ValueError, match="poison"):
        await bench.feed(body, event(0))
    assert bench.eo.running == 0


def _said(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text())) if file.exists() else {}


@asynccontextmanager
async def working(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_ingest_and_project_say_how_far_they_are(settings: Settings) -> None:
    topics, producer = (
        Topics(settings),
        Producer({"bootstrap.servers": settings.kafka, "log_level": 0}),
    )
    for number in range(30):
        for name in (Name.INCOMING, Name.FACTS):
            producer.produce(topics.name(name), b"{", partition=number % settings.partitions)
    producer.flush(10)
    for service, end in ((Ingest(None, settings), 30), (Project(None, settings), 30)):
        assert isinstance(service, Reporting)
        assert await service.standing() == Standing(False)
        async with service:
            await eventually(lambda service=service, end=end: _is_at(service, end), within=300)  # type: ignore[misc]


async def _is_at(service: Reporting, end: int) -> bool:
    standing = await service.standing()
    return (standing.ready, standing.lag, standing.position) == (True, 0, end)


def test_the_services_of_the_stats_worker_are_part_of_its_report(settings: Settings) -> None:
    app, services = build("stats", settings)
    assert app is not None
    assert list(app.reporting) == services[:2]  # the watch over the settings has no position
    assert [service.name for service in app.reporting] == ["ingest", "project"]
