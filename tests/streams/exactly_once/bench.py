"""An exactly-once app without a broker: a producer that writes down what it is told, and events as
the transport stamps them.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from faust.types import TP
from pydantic import SecretStr

from streams.exactly_once.agents import Body
from streams.exactly_once.policy import Policy
from streams.exactly_once.tables import PartitionState
from streams.process.app import App, create_app
from streams.settings import Settings

SOURCE, STATE = "x-in", "x-campaigns-test-state"


MOST_BYTES = 1024


class Batch:
    """aiokafka's own builder of batches of at most 1 kB, which also writes down what it takes."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self.times = set[int]()  # in milliseconds
        self._builder = BatchBuilder(MOST_BYTES, 0, is_transactional=True)

    def append(
        self,
        *,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
    ) -> object | None:
        taken: object | None = self._builder.append(
            timestamp=timestamp, key=key, value=value, headers=headers
        )
        if taken is not None:
            self.records.append((key, value))
            self.times.add(timestamp)
        return taken

    def size(self) -> int:
        size: int = self._builder.size()
        return size

    def close(self) -> None:
        self._builder.close()


class Producer:
    """A transactional producer that only writes down what it is told."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.committed: list[tuple[str, int, bytes | None, bytes | None]] = []
        self.open: list[tuple[str, int, bytes | None, bytes | None]] = []
        self.failure: Exception | None = None
        self.batches: list[Batch] = []  # sent, also of transactions that were not committed

    def create_batch(self) -> Batch:
        return Batch()

    async def begin_transaction(self) -> None:
        self.log.append("begin")

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[None]:
        self.batches.append(batch)
        self.open += [(topic, partition, key, value) for key, value in batch.records]
        delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failure is None:
            delivered.set_result(None)
        else:
            delivered.set_exception(self.failure)
        return delivered

    async def commit_transaction(self) -> None:
        self.log.append("commit")
        self.committed += self.open
        self.open.clear()

    def state(self) -> dict[bytes | None, bytes | None]:
        return {key: value for topic, _, key, value in self.committed if topic == STATE}

    def sent(self, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
        return [
            (partition, key, value)
            for name, partition, key, value in self.committed
            if name == topic
        ]


class Bench:
    """An app with three tables and two partitions, without a broker."""

    def __init__(self) -> None:
        settings = Settings(
            kafka="nowhere:1",
            postgres="-",
            nats="",
            topic_prefix="x-",
            partitions=2,
            message_keys=(SecretStr("00" * 32),),
        )
        policy = Policy(slow_body=timedelta(milliseconds=20), batch_bytes=MOST_BYTES)
        self.app: App = create_app("test", settings, policy)
        self.eo, self.ends = self.app.exactly_once, list[BaseException]()
        self.eo.end = self.ends.append
        self.eo.sources.add(SOURCE)
        self.app.consumer = SimpleNamespace(epoch=0)
        self.totals = self.app.Table("totals", default=int, key_type=str)
        self.minutes = self.app.Table("minutes", default=int, key_type=str).tumbling(
            60, expires=120
        )
        self.blobs = self.app.Table("blobs", key_type=bytes, value_type=bytes)
        self.producers = [Producer(), Producer()]
        for number, producer in enumerate(self.producers):
            self.eo.owned[number] = PartitionState(number, self.app.tables.transactional, producer)

    async def feed(self, body: Body, *events: Any) -> None:
        await self.eo.process("test", events, body)


def event(
    offset: int,
    value: Any = b"v",
    *,
    partition: int = 0,
    previous: int | None = None,
    epoch: int = 0,
) -> Any:
    stamped = SimpleNamespace(
        tp=TP(SOURCE, partition),
        offset=offset,
        previous=offset - 1 if previous is None else previous,
        epoch=epoch,
        timestamp=1_700_000_000.123,
        headers=(("type", b"t"),),
    )
    return SimpleNamespace(key=b"k", value=value, message=stamped)
