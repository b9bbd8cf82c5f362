"""The report of a process about itself, every second: whether it is ready, how far it is, and
whether it waits. One that has work and makes no progress for a minute ends.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from streams import metrics
from streams.exactly_once.fatal import StandsStillError, end_process
from streams.kafka.refusals import answers
from streams.settings import Settings

_STILL = 60  # seconds


@dataclass(frozen=True)
class Standing:
    """The report of a part of a worker about itself; lag and position count records. `waits`: it
    stands still on purpose.
    """

    ready: bool
    lag: int = 0
    position: int = 0
    waits: bool = False


@runtime_checkable
class Reporting(Protocol):
    """A service beside the agents; its standing is part of the worker's."""

    name: str  # its label in the metric `campaigns_lag_records`

    async def standing(self) -> Standing:
        """Takes a second at most, also when the broker does not answer; raises nothing."""
        ...


@dataclass
class Follower:
    """The position of a consumer and its lag. While the broker is away, the last known ones
    count.
    """

    lag: int = 0
    position: int = 0

    async def look(self, consumer: AIOKafkaConsumer) -> None:
        """Asks the consumer, not the broker; gives up after a second."""
        found: list[tuple[int, int]] = []
        try:
            async with asyncio.timeout(1):
                for partition in consumer.assignment():
                    # the consumer's position passes transaction markers; the committed one stops
                    # before them and never reaches the end
                    at = await consumer.position(partition)
                    end = (
                        consumer.highwater(partition) if partition in consumer.assignment() else at
                    )
                    found.append((at, max(0, (end or at) - at)))
        except (TimeoutError, KafkaError):
            return
        self.position, self.lag = sum(at for at, _ in found), sum(lag for _, lag in found)


def is_dependency_down() -> bool:
    """Whether any work of this process waits in place for PostgreSQL or NATS."""
    return any(
        sample.value for metric in metrics.DEPENDENCY_DOWN.collect() for sample in metric.samples
    )


class Readiness:
    """The reports of one process, one a second. They go to `CAMPAIGNS_READY_FILE`, if it is set,
    for the supervisor: `{"pid", "ready", "lag", "position", "waits"}`. A reader takes a missing or
    old file (over 5 s) as not ready. While a dependency is down every process waits.

    A process that was ready, had a lag, did not wait and did not move for a minute ends while Kafka
    answers others: whatever it hangs in, its successor does not.
    """

    def __init__(
        self, settings: Settings, *, end: Callable[[BaseException], Any] = end_process
    ) -> None:
        self._settings, self._end = settings, end
        self._path = Path(settings.ready_file) if settings.ready_file else None
        self._position, self._still = 0, 0  # reports in a row without progress

    async def report(self, standing: Standing) -> None:
        """Replace the file. Reports are counted, not seconds: a frozen process makes none."""
        waits = standing.waits or is_dependency_down()
        is_moving = standing.position != self._position
        should_move = standing.ready and standing.lag > 0 and not waits
        self._still = self._still + 1 if should_move and not is_moving else 0
        self._position = standing.position
        if self._path is not None:
            self._write(self._path, standing, waits)
        if self._still >= _STILL:
            self._still = 0
            if await answers(self._settings):
                self._end(StandsStillError(f"a lag of {standing.lag} at {standing.position}"))

    def _write(self, path: Path, standing: Standing, waits: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}.tmp")
        said = {
            "pid": os.getpid(),
            "ready": standing.ready,
            "lag": standing.lag,
            "position": standing.position,
            "waits": waits,
        }
        fresh.write_text(json.dumps(said))
        fresh.replace(path)


async def report_readiness(app: Any) -> None:
    """Once a second, for ever: the sum of the exactly-once agents and of `app.reporting`, ready
    when all of them are.
    """
    agents, readiness = Standing(ready=False), Readiness(app.settings, end=app.exactly_once.end)
    while True:
        agents = await _agents(app, agents.lag)
        if agents.ready:
            metrics.LAG.labels(app.conf.id).set(agents.lag)
        services = await asyncio.gather(*map(_service, app.reporting))
        await readiness.report(together([agents, *services]))
        await asyncio.sleep(1)


def together(parts: Iterable[Standing]) -> Standing:
    """Of a whole worker: ready when every part is, waiting when one is; lags and positions are
    added up.
    """
    each = list(parts)
    return Standing(
        all(it.ready for it in each),
        sum(it.lag for it in each),
        sum(it.position for it in each),
        any(it.waits for it in each),
    )


async def _service(service: Reporting) -> Standing:
    standing = await service.standing()
    metrics.LAG.labels(service.name).set(standing.lag)
    return standing


async def _agents(app: Any, last: int) -> Standing:
    """A running body is work, however long: a statement may take minutes."""
    once = app.exactly_once
    ready = once.is_ready()
    lag = await _lag(app, last) if ready else last
    return Standing(
        ready,
        lag,
        sum(sum(state.position.values()) for state in once.owned.values()),
        waits=once.running > 0,
    )


async def _lag(app: Any, last: int) -> int:
    starts = app.exactly_once.starting_positions(app.consumer.assignment())
    try:
        lag: int = await asyncio.wait_for(app.consumer.lag(starts), 1)
    except (TimeoutError, KafkaError):
        return last  # the broker is away: the last known lag counts
    return lag
