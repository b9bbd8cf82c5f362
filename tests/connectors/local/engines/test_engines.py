"""The three engines start on an empty folder, survive kill -9 with what they stored, and stop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

import nats
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from connectors.local.engines.engine import OPEN, Engine, EngineError, RunningEngine, free_port
from connectors.local.engines.kafka import Kafka
from connectors.local.engines.kafka_jars import KAFKA, LOGGING, cache_folder, class_path, listed
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from tests.postgres import connect as connect_client


@contextmanager
def _started(engine: Engine, folder: Path) -> Iterator[RunningEngine]:
    running = RunningEngine(engine, folder / "log")
    running.start()
    try:
        yield running
    finally:
        running.stop()
        assert not psutil.pid_exists(running.pid)


async def test_kafka_keeps_an_acknowledged_record_through_kill_9(tmp_path: Path) -> None:
    with _started(Kafka(tmp_path / "kafka", free_port(), free_port(), OPEN), tmp_path) as engine:
        admin = AIOKafkaAdminClient(bootstrap_servers=engine.address)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=engine.address, acks="all")
        await producer.start()
        await producer.send_and_wait("kept", b"still here")
        await producer.stop()

        engine.kill()
        assert not engine.engine.is_ready()
        engine.start()

        consumer = AIOKafkaConsumer(
            "kept", bootstrap_servers=engine.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        assert (await consumer.getone()).value == b"still here"
        await consumer.stop()


async def test_a_killed_broker_leaves_nothing_outside_its_folder(tmp_path: Path) -> None:
    home = tmp_path / "kafka"
    with _started(Kafka(home, free_port(), free_port(), OPEN), tmp_path) as engine:
        admin = AIOKafkaAdminClient(bootstrap_servers=engine.address)
        await admin.start()
        await admin.create_topics(
            [NewTopic("packed", 1, 1, topic_configs={"compression.type": "zstd"})]
        )
        await admin.close()
        for compression in ("lz4", "snappy"):  # the broker unpacks a native library for each
            async with AIOKafkaProducer(
                bootstrap_servers=engine.address, compression_type=compression
            ) as producer:
                await producer.send_and_wait("packed", b"small" * 100)
        java = next(
            each
            for each in (psutil.Process(engine.pid), *psutil.Process(engine.pid).children())
            if "kafka.Kafka" in each.cmdline()
        )
        used = {each.path for each in java.memory_maps()} | {it.path for it in java.open_files()}
        temporary = {it for it in used if it.startswith((gettempdir(), "/tmp", "/var/tmp"))}
        unpacked = {Path(it).name.partition("-")[0] for it in temporary if ".so" in it}
        assert unpacked >= {"liblz4", "libzstd", "snappy"}
        assert {it for it in temporary if not it.startswith(str(tmp_path))} == set()

        engine.kill()
        left = set((home / "tmp").iterdir())
        assert left
        engine.start()
        assert not left & set((home / "tmp").iterdir())


async def test_postgres_keeps_a_committed_row_through_kill_9(tmp_path: Path) -> None:
    with _started(Postgres(tmp_path / "postgres", free_port(), OPEN), tmp_path) as engine:
        connection = await connect_client(engine.address)
        await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

        engine.kill()
        await connection.close()
        engine.start()

        connection = await connect_client(engine.address)
        assert await connection.fetchval("SELECT one FROM kept") == 1
        assert str(await connection.fetchval("SHOW server_version")).startswith("18.")
        await connection.close()


async def test_nats_keeps_an_acknowledged_message_through_kill_9(tmp_path: Path) -> None:
    with _started(Nats(tmp_path / "nats", free_port(), OPEN), tmp_path) as engine:
        client = await nats.connect(engine.address)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"still here")
        await client.close()

        engine.kill()
        engine.start()

        client = await nats.connect(engine.address)
        assert (await client.jetstream().get_msg("KEPT", 1)).data == b"still here"
        await client.close()


def test_postgres_starts_when_the_pid_in_its_lock_file_belongs_to_somebody_else(
    tmp_path: Path,
) -> None:
    engine = RunningEngine(Postgres(tmp_path / "postgres", free_port(), OPEN), tmp_path / "log")
    engine.start()
    engine.kill()
    lock = tmp_path / "postgres" / "postmaster.pid"
    _, _, rest = lock.read_text().partition("\n")
    lock.write_text(f"{psutil.Process().pid}\n{rest}")  # the number was given out again, to us
    engine.start()
    engine.stop()


def test_an_engine_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    port = free_port()
    with _started(Nats(tmp_path / "first", port, OPEN), tmp_path):
        second = RunningEngine(Postgres(tmp_path / "second", port, OPEN), tmp_path / "second.log")
        with pytest.raises(EngineError, match=r"postgres ended at once.*Address already in use"):
            second.start()


def test_every_jar_is_pinned_and_a_damaged_one_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jars = listed()
    assert {KAFKA, LOGGING} <= {jar.coordinate for jar in jars}
    assert all(len(jar.sha256) == 64 for jar in jars)
    class_path()  # fetched before, or now

    copies = tmp_path / "kafka"
    copies.mkdir()
    for jar in jars:
        (copies / jar.filename).symlink_to(cache_folder() / "kafka" / jar.filename)
    damaged = next(jar for jar in jars if jar.coordinate == LOGGING)
    (copies / damaged.filename).unlink()
    (copies / damaged.filename).write_bytes(b"not a jar")
    monkeypatch.setenv("CAMPAIGNS_CACHE", str(tmp_path))
    monkeypatch.setattr(
        "connectors.local.engines.kafka_jars._download",
        lambda coordinate, repository: copies / damaged.filename,
    )
    with pytest.raises(EngineError, match="is not the one pinned"):
        class_path()
