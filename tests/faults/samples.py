"""What an installation holds at a moment: memory and open files of every process, the disk of each
engine, topics, tables, the outbox, the stream. What cannot be asked, because its engine is away, is
left out of a sample.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from connectors.local.engines.engine import RunningEngine
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from connectors.nats.connection import connect_options
from connectors.nats.stream import stream_name
from streams.topics import STATES, TOPICS, Name, Topics
from tests import postgres
from tests.confluent import access
from tests.faults.levels import Allowed
from tests.faults.scene import Site

EVERY = 5.0  # seconds
_STATES_EVERY = 8  # samples: their topics are read from the beginning
_MB = 1 << 20

#: By kind, the first words of a series' name: what it may differ by between two thirds of a run.
ALLOWED: Mapping[str, Allowed] = {
    "open files of kafka": Allowed(0.2, 100),  # three a segment
    "memory": Allowed(0.05, 3 * _MB),  # pools of the allocator, and a row a campaign
    "open files": Allowed(0, 6),
    "disk": Allowed(0.15, 8 * _MB),  # segments of Kafka and of the write-ahead log
    "bytes of topic": Allowed(0.2, 2 * _MB),  # half a segment
    "records of topic": Allowed(0.2, 200),
    "bytes of table": Allowed(0.2, 256 << 10),  # 32 pages, which a vacuum has not come to
    "rows of state": Allowed(0.2, 200),
    "rows": Allowed(0.2, 50),
    "bytes of state": Allowed(0.2, 128 << 10),
    "connections": Allowed(0, 4),
    "stages": Allowed(0, 3),
    "messages": Allowed(0.2, 1000),
}

_TABLES = """
SELECT CASE WHEN c.relname LIKE 'stage\\_%' THEN 'stages'
            ELSE coalesce(pg_partition_root(c.oid)::regclass::text, c.relname) END AS name,
       sum(pg_total_relation_size(c.oid)) AS size
  FROM pg_class c
 WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
 GROUP BY 1"""
_COUNTS = """
SELECT (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM outbox_refused) AS refused,
       (SELECT count(*) FROM tenants) AS tenants,
       (SELECT count(*) FROM campaigns) AS campaigns,
       (SELECT count(*) FROM answers) AS answers,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
       (SELECT count(*) FROM pg_class WHERE relname LIKE 'stage\\_%' AND relkind = 'r') AS stages,
       pg_database_size(current_database()) AS size"""
Values = dict[str, float]


def kind(name: str) -> str:
    """The kind of a series, one of `ALLOWED`."""
    return next(kind for kind in ALLOWED if name.startswith(kind))


@dataclass
class Samples:
    """The series of a run, by name; times are seconds since its start."""

    where: Site
    series: defaultdict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _start: float = field(default_factory=time.monotonic)
    _taken: int = 0

    @property
    def age(self) -> float:
        return time.monotonic() - self._start

    async def take(self) -> None:
        """One sample of everything."""
        at = self.age
        looks = [self._of_processes, self._of_disks, self._of_topics]
        if self._taken % _STATES_EVERY == 0:
            looks.append(self._of_states)
        self._taken += 1
        for look in looks:
            for name, value in (await asyncio.to_thread(look)).items():
                self.series[name].append((at, value))
        for ask in (self._of_postgres, self._of_nats):
            with suppress(psycopg.Error, NatsError, OSError, TimeoutError):
                for name, value in (await asyncio.wait_for(ask(), EVERY)).items():
                    self.series[name].append((at, value))

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Samples are taken while the block runs."""

        async def again_and_again() -> None:
            while True:
                await self.take()
                await asyncio.sleep(EVERY)

        task = asyncio.create_task(again_and_again())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _of_processes(self) -> Values:
        found = Values()
        for name, one in dict(self.where.running.processes.processes).items():
            if one.process is not None and not name.endswith("-2"):
                with suppress(psutil.Error):
                    process = psutil.Process(one.process.pid)
                    found[f"memory of {name}"] = process.memory_info().rss
                    found[f"open files of {name}"] = process.num_fds()
        for engine in (self.where.kafka, self.where.postgres, self.where.nats):
            with suppress(psutil.Error):
                found |= _of_engine(engine)
        return found

    def _of_disks(self) -> Values:
        return {
            f"disk of {engine.engine.role}": sum(size for _, size in _files(_folder(engine)))
            for engine in (self.where.kafka, self.where.postgres, self.where.nats)
        }

    def _of_topics(self) -> Values:
        found: defaultdict[str, float] = defaultdict(float)
        for file, size in _files(_folder(self.where.kafka) / "data"):
            if file.suffix == ".log":
                topic = file.parent.name.rpartition("-")[0]
                found[f"bytes of topic {self._plain(topic)}"] += size
        with suppress(KafkaException):
            for topic, records in _records(self.where).items():
                found[f"records of topic {self._plain(topic)}"] = records
        return dict(found)

    def _of_states(self) -> Values:
        """What is alive in the compacted topics, however much of them is not compacted yet."""
        found: defaultdict[str, float] = defaultdict(float)
        with suppress(KafkaException):
            for topic, rows in _rows(self.where).items():
                for key, value in rows.items():
                    table = key.partition(b"\0")[0].decode() if topic in STATES else ""
                    found[f"rows of state {' '.join((topic, table)).strip()}"] += 1
                    found[f"bytes of state {topic}"] += len(key) + len(value)
        return dict(found)

    def _plain(self, topic: str) -> str:
        return topic.removeprefix(self.where.settings.topic_prefix)

    async def _of_postgres(self) -> Values:
        patience = "-c timezone=UTC -c statement_timeout=2000"
        connection = await psycopg.AsyncConnection.connect(
            self.where.settings.postgres, autocommit=True, options=patience, connect_timeout=2
        )
        try:
            client = postgres.Client(connection, self.where.settings.postgres)
            tables = await client.fetch(_TABLES)
            counts = await client.fetchrow(_COUNTS)
        finally:
            await connection.close()
        assert counts is not None
        found = {f"bytes of table {row['name']}": float(row["size"] or 0) for row in tables}
        found.pop("bytes of table stages", None)  # there while an audience is written
        of_what = {"outbox": "outbox", "refused": "outbox_refused"}
        for name in ("outbox", "refused", "tenants", "campaigns", "answers"):
            found[f"rows of {of_what.get(name, name)}"] = counts[name]
        return found | {
            "connections of postgres": counts["connections"],
            "stages of audiences": counts["stages"],
            "disk of the database": counts["size"],
        }

    async def _of_nats(self) -> Values:
        async with _connected(self.where) as client:
            info = await client.jetstream().stream_info(stream_name(self.where.settings))
        return {"messages in nats": info.state.messages}


@asynccontextmanager
async def _connected(where: Site) -> AsyncIterator[Client]:
    client = Client()
    options = connect_options(where.settings) | {
        "allow_reconnect": False,
        "connect_timeout": 2,
        "max_reconnect_attempts": 0,
    }
    await client.connect(**options)
    try:
        yield client
    finally:
        await client.close()


async def bound_stream(where: Site, most: int) -> None:
    """The stream may have so many bytes, as an operator would set it: it keeps a week of messages,
    and is made anew when NATS has lost its disk. Does nothing while NATS is away.
    """
    with suppress(NatsError, OSError, TimeoutError):
        async with _connected(where) as client:
            stream = client.jetstream()
            info = await stream.stream_info(stream_name(where.settings))
            if info.config.max_bytes != most:
                await stream.update_stream(info.config, max_bytes=most)


def _of_engine(engine: RunningEngine) -> Values:
    """The whole tree of processes; memory that several share counts once."""
    first = psutil.Process(engine.pid)
    memory = files = 0
    for process in (first, *first.children(recursive=True)):
        with suppress(psutil.Error):
            memory += process.memory_full_info().pss
            files += process.num_fds()
    role = engine.engine.role
    found: Values = {f"memory of {role}": memory}
    if role != "postgres":  # one process a connection, and a file for each table it has touched
        found[f"open files of {role}"] = files
    return found


def _folder(engine: RunningEngine) -> Path:
    assert isinstance(engine.engine, Kafka | Postgres | Nats)
    return engine.engine.folder


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """The files of a folder with the bytes that they take up on the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            file = Path(parent) / name
            with suppress(OSError):
                yield file, file.stat().st_blocks * 512


def _records(where: Site) -> Mapping[str, int]:
    """Offsets between beginning and end, by topic; of compacted topics they say nothing."""
    topics, admin = Topics(where.settings), AdminClient({**access(where.settings), "log_level": 0})
    parts = [
        TopicPartition(topics.name(name), number)
        for name, topic in TOPICS.items()
        if topic.config["cleanup.policy"] == "delete"
        for number in range(topics.count(name))
    ]

    def offsets(spec: Callable[[], Any]) -> Mapping[TopicPartition, int]:
        asked = admin.list_offsets(
            {part: spec() for part in parts},
            isolation_level=IsolationLevel.READ_UNCOMMITTED,
            request_timeout=2,
        )
        return {part: future.result().offset for part, future in asked.items()}

    found: defaultdict[str, int] = defaultdict(int)
    first, last = offsets(OffsetSpec.earliest), offsets(OffsetSpec.latest)
    for part, end in last.items():
        found[part.topic] += end - first[part]
    return found


def _rows(where: Site) -> Mapping[Name, Mapping[bytes, bytes]]:
    """The newest value of every key of the compacted topics; nothing while Kafka is away."""
    topics = Topics(where.settings)
    compacted = [name for name in TOPICS if TOPICS[name].config["cleanup.policy"] == "compact"]
    names = {topics.name(name): name for name in compacted}
    found: dict[Name, dict[bytes, bytes]] = {name: {} for name in compacted}
    parts = {
        (topics.name(name), number) for name in compacted for number in range(topics.count(name))
    }
    consumer = Consumer(
        {
            **access(where.settings),
            "group.id": "samples",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + 2 * EVERY
    try:
        consumer.assign([TopicPartition(topic, number, 0) for topic, number in parts])
        while parts and time.monotonic() < deadline:
            for record in consumer.consume(5000, timeout=0.2):
                if record.error() is not None:
                    parts.discard((record.topic() or "", record.partition() or 0))
                elif record.value() is None:
                    found[names[record.topic()]].pop(record.key(), None)
                else:
                    found[names[record.topic()]][record.key()] = record.value()
    finally:
        consumer.close()
    return {} if parts else found
