"""P2a: ingest and fold together, exact uniques checked, against a raw aiokafka `getmany` loop that
only decodes the same events.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from connectors.setup import topics
from streams.records.message_id import MessageIds
from streams.records.reported_events import decode_incoming
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.stats.views import StatsView
from tests.faults.workers import Worker, settings_environment

_TENANT, _NUMBER, _SLICE = "bench", 1, 2_000
_WEIGHTS = {"delivered": 62, "opened": 25, "clicked": 10, "bounced": 2, "failed": 1}


async def measure(settings: Settings, events: int) -> dict[str, float]:
    """One round on fresh topics: rates in events a second, CPU seconds per million events, and the
    ratio of either to the raw loop's.

    The events are of one campaign with half as many recipients, in random order and with the
    repeats that chance brings. The time runs from the first fact to the last exact count, as a
    reader of the stats sees it. Raises AssertionError when a count is not that of plain sets.
    """
    mine = settings.model_copy(update={"topic_prefix": f"bench-{secrets.token_hex(4)}-"})
    await topics.create(mine)
    try:
        truth = await _produce(mine, events)
        raw, raw_cpu = await _raw(mine, events)
        seconds, cpu = await _fold(mine, truth)
    finally:
        await topics.delete(mine)
    rate = events / seconds
    costs = {
        "cpu_seconds_per_million": cpu / events * 1e6,
        "raw_cpu_seconds_per_million": raw_cpu / events * 1e6,
    }
    return {
        "events": events,
        "rate": rate,
        "raw_rate": raw,
        "ratio": rate / raw,
        "cpu_ratio": raw_cpu / cpu,
        **costs,
    }


def _events(settings: Settings, count: int, truth: dict[str, bytearray]) -> Iterator[bytes]:
    chance, ids, recipients = random.Random(1), MessageIds.of(settings), count // 2
    truth.update((kind, bytearray(recipients)) for kind in _WEIGHTS)
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for kind in chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=count):
        ordinal = chance.randrange(recipients)
        truth[kind][ordinal] = 1
        text = ids.make(_NUMBER, ordinal, _TENANT, settings.key_epoch)
        report = f'"type":"{kind}","messageId":"{text}","tenantId":"{_TENANT}","timestamp":"{now}"'
        yield f"{{{report}}}".encode()


async def _produce(settings: Settings, events: int) -> dict[str, int]:
    """Writes the events; answers the counts that must come out."""
    name, truth = Topics(settings).name(Name.INCOMING), dict[str, bytearray]()
    async with AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", max_batch_size=900_000, compression_type="lz4"
    ) as producer:
        sent = []
        for i, values in enumerate(_slices(_events(settings, events, truth))):
            batch = producer.create_batch()
            for value in values:
                assert batch.append(timestamp=None, key=None, value=value) is not None
            batch.close()
            sent.append(await producer.send_batch(batch, name, partition=i % settings.partitions))
        await asyncio.gather(*sent)
    opened = [o | c for o, c in zip(truth["opened"], truth["clicked"], strict=True)]
    delivered = [d | o for d, o in zip(truth["delivered"], opened, strict=True)]
    return {kind: sum(flags) for kind, flags in truth.items()} | {
        "opened": sum(opened),
        "delivered": sum(delivered),
    }


def _slices(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    for value in values:
        some.append(value)
        if len(some) == _SLICE:
            yield some
            some = []
    if some:
        yield some


async def _raw(settings: Settings, events: int) -> tuple[float, float]:
    """Events a second and CPU seconds of the denominator, in a process like the one that is
    measured: nothing else runs in it.
    """
    name = Topics(settings).name(Name.INCOMING)
    arguments = (
        sys.executable,
        "-m",
        "tests.benchmarks.fold",
        settings.kafka,
        name,
        str(settings.partitions),
        str(events),
    )
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    rate, cpu = (await process.communicate())[0].split()
    return float(rate), float(cpu)


async def decode_only(servers: str, name: str, partitions: int, events: int) -> tuple[float, float]:
    """Events a second that aiokafka and msgspec alone reach, and the CPU seconds it takes them."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=2 << 20,
    )
    async with consumer:
        consumer.assign([TopicPartition(name, partition) for partition in range(partitions)])
        left, started, used = events, time.perf_counter(), time.process_time()
        while left:
            for records in (await consumer.getmany(timeout_ms=200, max_records=20_000)).values():
                for record in records:
                    decode_incoming(record.value)
                left -= len(records)
        return events / (time.perf_counter() - started), time.process_time() - used


async def _fold(settings: Settings, truth: dict[str, int]) -> tuple[float, float]:
    """Wall seconds and CPU seconds of a stats worker that starts with all events before it."""
    environment = settings_environment(settings.kafka, settings.topic_prefix, settings.partitions)
    environment["CAMPAIGNS_MESSAGE_KEYS"] = ",".join(
        key.get_secret_value() for key in settings.message_keys
    )
    with tempfile.TemporaryDirectory() as folder:
        worker = Worker(
            "stats",
            Path(folder) / "worker.log",
            environment,
            module="tests.agents.processes.stats_worker",
        )
        async with StatsView(settings) as view:
            await view.ready.wait()
            await worker.start()
            assert worker.process is not None
            try:
                before = 0.0  # of its start
                while (reached := _reached(view, truth)) < sum(truth.values()):
                    assert worker.process.returncode is None, worker.log.read_text()
                    before = before if reached else _cpu(worker.process.pid)
                    await asyncio.sleep(0.05)
                ended, cpu = time.time(), _cpu(worker.process.pid) - before
            finally:
                await worker.stop()
            counts = view.campaign(_NUMBER).total
        assert {kind: getattr(counts, kind) for kind in truth} == truth
    return ended - await _first_fact(settings), cpu


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _reached(view: StatsView, truth: dict[str, int]) -> int:
    counts = view.campaign(_NUMBER).total
    return sum(getattr(counts, kind) for kind in truth)


async def _first_fact(settings: Settings) -> float:
    """Unix seconds; that first round has been read, sorted and sent before, which is the 20,000
    events that the rate leaves out.
    """
    names = Topics(settings)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    async with consumer:
        sources = [
            TopicPartition(names.name(Name.FACTS), partition)
            for partition in range(settings.partitions)
        ]
        consumer.assign(sources)
        beginnings = await consumer.offsets_for_times(dict.fromkeys(sources, 0))
        return (
            float(min(found.timestamp for found in beginnings.values() if found is not None)) / 1000
        )


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    print(*asyncio.run(decode_only(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))  # noqa: T201  # to the parent
