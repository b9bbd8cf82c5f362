"""The bridge with a NATS that asks for TLS and an identity, with several servers, and as a
process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from pydantic import SecretStr

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.nats import Nats
from connectors.nats.bridge import Bridge
from connectors.nats.connection import connect
from streams.exactly_once.fatal import EXIT_CODE
from streams.settings import Settings
from streams.topics import Name
from tests.certificates import Authority
from tests.connectors.nats import secured
from tests.connectors.nats.test_bridge import (
    all_stored,
    delivered,
    is_committed,
    kafka_producer,
    make_campaign,
    send_outcomes,
    stream,
)
from tests.environment import environment
from tests.eventually import eventually

Start = Callable[[str], RunningEngine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with the given configuration."""
    running = list[RunningEngine]()

    def started(configuration: str) -> RunningEngine:
        folder = tmp_path / f"nats{len(running)}"
        engine = Nats(folder, free_port(), OPEN, configuration=configuration)
        running.append(RunningEngine(engine, folder.with_suffix(".log")))
        running[-1].start()
        return running[-1]

    yield started
    for engine in running:
        engine.stop()


async def messages_in(settings: Settings) -> int:
    client = await connect(settings)
    try:
        return int((await client.jsm().stream_info(stream(settings))).state.messages)
    except nats.js.errors.NotFoundError:
        return 0
    finally:
        await client.end()


async def test_tls_and_an_identity_survive_a_kill_and_a_dead_server_of_the_list(
    settings: Settings, start: Start, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "certificates")
    own = authority.issue("bridge@campaigns.test")
    configuration, credentials = secured.operator(tmp_path)
    engine = start(secured.tls(authority, asks_for_certificate=True) + configuration)
    its = settings.model_copy(
        update={
            "nats": f"tls://127.0.0.1:{free_port()},{engine.address}",
            "nats_credentials_file": str(credentials),
            "nats_ca_file": str(authority.file),
            "nats_certificate_file": str(own.certificate),
            "nats_key_file": str(own.key),
        }
    )
    number, _ = await make_campaign(its)
    async with kafka_producer(its) as producer, Bridge(None, its) as bridge:
        for first in (0, 3000, 6000):
            await send_outcomes(producer, its, number, 0, [delivered(range(first, first + 3000))])
            engine.kill()
            engine.start()
        await eventually(lambda: bridge.publisher.published >= 9000, 300)
        assert await messages_in(its) == 9000


async def test_the_second_server_of_the_list_gets_everything_when_the_first_is_killed(
    settings: Settings, start: Start
) -> None:
    first, second = start(""), start("")
    its = settings.model_copy(update={"nats": f"{first.address},{second.address}"})
    number, _ = await make_campaign(its)
    async with kafka_producer(its) as producer, Bridge(None, its) as bridge:
        await send_outcomes(producer, its, number, 0, [delivered(range(2000))])
        await eventually(lambda: bridge.publisher.published >= 2000, 300)
        alive = [second, first]
        counts = {
            engine.address: await messages_in(its.model_copy(update={"nats": engine.address}))
            for engine in alive
        }
        used = max(alive, key=lambda engine: counts[engine.address])
        alive.remove(used)
        used.kill()
        await send_outcomes(producer, its, number, 0, [delivered(range(2000, 2500))])
        left = its.model_copy(update={"nats": alive[0].address})
        assert len(await all_stored(left, 2500, within=300)) == 2500


async def test_positions_of_an_older_version_are_known(settings: Settings) -> None:
    number, _ = await make_campaign(settings)
    async with kafka_producer(settings) as producer:
        async with Bridge(None, settings):
            await send_outcomes(producer, settings, number, 0, [delivered(range(100))])
            await all_stored(settings, 100)
            await eventually(lambda: is_committed(settings), 300)
        await commit_again_as_older_versions_did(settings)
        await send_outcomes(producer, settings, number, 0, [delivered(range(100, 150))])
        async with Bridge(None, settings) as second:
            await all_stored(settings, 150)
            assert second.publisher.duplicates == 0


async def commit_again_as_older_versions_did(settings: Settings) -> None:
    """With the time of the stream's creation as JetStream spells it, in nanoseconds."""
    client = await nats.connect(settings.nats)
    answer = await client.request(f"$JS.API.STREAM.INFO.{stream(settings)}", b"", timeout=60)
    await client.close()
    created = json.loads(answer.data)["created"]
    topic = settings.topic_prefix + Name.MESSAGE_EVENTS
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        group_id=f"{settings.topic_prefix}campaigns-bridge",
        enable_auto_commit=False,
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(settings.partitions)]
        consumer.assign(partitions)
        positions = {
            partition: OffsetAndMetadata(at, created)
            for partition in partitions
            if (at := await consumer.committed(partition)) is not None
        }
        assert positions
        await consumer.commit(positions)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"nats_user": "bridge", "nats_password": SecretStr("wrong")},
            "NATS refuses the identity in CAMPAIGNS_NATS_USER and CAMPAIGNS_NATS_PASSWORD",
        ),
        ({"nats_ca_file": ""}, "The certificate of NATS is not accepted"),
        ({"nats_nkey_file": "/nowhere/seed"}, "CAMPAIGNS_NATS_NKEY_FILE: /nowhere/seed cannot be"),
    ],
)
async def test_the_process_ends_with_one_sentence(
    settings: Settings, start: Start, tmp_path: Path, wrong: dict[str, Any], sentence: str
) -> None:
    authority = Authority(tmp_path / "certificates")
    engine = start(secured.tls(authority) + secured.password("bridge", "secret"))
    its = settings.model_copy(
        update={"nats": engine.address, "nats_ca_file": str(authority.file), **wrong}
    )
    done = subprocess.run(  # noqa: ASYNC221  # nothing else runs here
        [sys.executable, "-m", "agents.worker", "bridge"],
        env=environment(its),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == EXIT_CODE
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (critical,) = [line for line in lines if line["level"] == "CRITICAL"]
    assert sentence in critical["message"]
    assert "Traceback" not in done.stderr and "exception" not in critical
    assert {line["level"] for line in lines[:-1]} == {"INFO"}, done.stderr
    assert lines[-1] == critical
