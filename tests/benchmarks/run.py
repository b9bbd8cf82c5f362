"""Runs one benchmark: `python -m tests.benchmarks.run NAME`; `campaigns bench` shows what it
prints, one JSON object a line.

Engines are its own, in a temporary folder. A round measures both sides one after the other on a
fresh topic prefix and database, so the rounds are interleaved A B A B, and what slows the machine
down for a while slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import secrets
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, Engine, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from connectors.setup import topics
from streams.settings import Settings
from tables.database.migrate import upgrade
from tests.benchmarks import bridge, emit, failover, fold, pipeline, snapshot, throttle
from tests.postgres import connect as connect_client

Round = Mapping[str, Any]


@dataclass(frozen=True)
class Ratio:
    """One line of the table in performance.md: `rate` against `against`, figures of one round."""

    id: str
    rate: str
    against: str
    must: float
    aim: float

    def of(self, rounds: Sequence[Round]) -> dict[str, Any]:
        """The median of the rounds, and how far they spread."""
        ratios = [each[self.rate] / each[self.against] for each in rounds]
        spread = [round(min(ratios), 3), round(max(ratios), 3)]
        return {
            "id": self.id,
            "ratio": round(median(ratios), 3),
            "spread": spread,
            "must": self.must,
            "aim": self.aim,
        }


@dataclass(frozen=True)
class Benchmark:
    """`measure` does one round of `size` and raises AssertionError when a message or a count is
    wrong.
    """

    measure: Callable[[Settings, int], Awaitable[Round]]
    size: int
    ratios: tuple[Ratio, ...]

    def result(self, rounds: Sequence[Round]) -> dict[str, Any]:
        first, *others = (ratio.of(rounds) for ratio in self.ratios)
        machine = {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        }
        return {**first, "rounds": list(rounds), "others": others, "machine": machine}


BENCHMARKS: Mapping[str, Benchmark] = {
    "emit": Benchmark(
        emit.measure,
        200_000,
        (Ratio("P1a", "emit", "confluent", 0.35, 0.6), Ratio("P1b", "emit", "aiokafka", 0.8, 1.5)),
    ),
    "fold": Benchmark(fold.measure, 1_000_000, (Ratio("P2a", "rate", "raw_rate", 0.35, 0.6),)),
    "snapshot": Benchmark(
        snapshot.measure, 1_000_000, (Ratio("P3", "snapshot", "copy", 0.5, 0.8),)
    ),
    "bridge": Benchmark(
        bridge.measure,
        100_000,
        (
            Ratio("P6", "bridgePerSecond", "libraryPerSecond", 0.7, 0.9),
            # Below 2, batches of our own would not be worth having.
            Ratio("P6b", "batchesPerSecond", "libraryPerSecond", 2.0, 2.5),
        ),
    ),
    "pipeline": Benchmark(
        pipeline.measure, 1_000_000, (Ratio("P16", "perSecond", "peer", 1.0, 2.0),)
    ),
    # P10 asks for at most 1.5 times the session timeout, and 1.1 times as an aim
    "failover": Benchmark(
        failover.measure, 400, (Ratio("P10", "session", "killed", 0.667, 0.909),)
    ),
    "throttle": Benchmark(throttle.measure, 1_000, (Ratio("P9", "rate", "limit", 0.97, 0.99),)),
}


@contextmanager
def engines() -> Iterator[tuple[str, str, str]]:
    """Addresses of a Kafka, a PostgreSQL and a NATS of our own, as the product starts them."""
    with tempfile.TemporaryDirectory(prefix="campaigns-bench-") as name:
        folder = Path(name)
        wanted: list[Engine] = [
            Kafka(folder / "kafka", free_port(), free_port(), OPEN),
            Postgres(folder / "postgres", free_port(), OPEN),
            Nats(folder / "nats", free_port(), OPEN),
        ]
        running = [RunningEngine(engine, folder / f"{engine.role}.log") for engine in wanted]
        try:
            for engine in running:
                engine.start()
            kafka, postgres, nats = (engine.address for engine in running)
            yield kafka, postgres, nats
        finally:
            for engine in running:
                engine.stop()


@asynccontextmanager
async def fresh(kafka: str, postgres: str, nats: str) -> AsyncIterator[Settings]:
    """An installation of one round: its own prefix, topics, database and keys."""
    name = f"bench_{secrets.token_hex(4)}"
    await _execute(postgres, f"CREATE DATABASE {name}")
    database = postgres.rpartition("/")[0] + "/" + name
    upgrade(database)
    settings = Settings(
        kafka=kafka,
        postgres=database,
        nats=nats,
        topic_prefix=f"{name}-",
        message_keys=(SecretStr(secrets.token_hex(32)),),
    )
    await topics.create(settings)
    try:
        yield settings
    finally:
        await topics.delete(settings)
        await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(dsn: str, statement: str) -> None:
    connection = await connect_client(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def one_round(benchmark: Benchmark, addresses: tuple[str, str, str], size: int) -> Round:
    async with fresh(*addresses) as settings:
        return await benchmark.measure(settings, size)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="One benchmark; a JSON object per round, and the result last."
    )
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=0)
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(
        logging.CRITICAL
    )  # it complains about topics that are too new
    benchmark, rounds = BENCHMARKS[arguments.name], list[Round]()
    with engines() as addresses:
        for _ in range(arguments.rounds):
            rounds.append(
                asyncio.run(one_round(benchmark, addresses, arguments.size or benchmark.size))
            )
            print(json.dumps({"round": rounds[-1]}), flush=True)  # noqa: T201  # for the bench
    print(json.dumps(benchmark.result(rounds)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
