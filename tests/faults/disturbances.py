"""What can happen to an installation while it is sending. Each takes a scene, lasts some seconds,
and leaves every part running. The moments come from the scene's dice.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
from confluent_kafka import Producer

from connectors.local.engines.engine import RunningEngine
from connectors.local.engines.nats import Nats
from tests.e2e import world
from tests.e2e.processes import WORKERS
from tests.e2e.test_main_job import GARBAGE, SOURCES
from tests.eventually import eventually
from tests.faults.raw_batches import send
from tests.faults.scene import Scene
from tests.faults.test_hostile_batches import STORED

Disturbance = Callable[[Scene], Awaitable[None]]
_EVERY_PROCESS = (*WORKERS, "api", "simulate")


async def _moment(of: Scene, least: float = 0.2, most: float = 1.5) -> None:
    """A random moment is the fault itself; nothing is waited for."""
    await asyncio.sleep(of.dice.uniform(least, most))


async def kill_every_process(of: Scene) -> None:
    """Kills each with SIGKILL, in any order; they are started again."""
    for name in of.dice.sample(_EVERY_PROCESS, len(_EVERY_PROCESS)):
        of.site.running.processes.kill(name)
        await _moment(of)


async def restart_one_after_the_other(of: Scene) -> None:
    """SIGTERM, as in a rolling upgrade; each is waited for."""
    processes = of.site.running.processes
    for name in of.dice.sample(WORKERS, len(WORKERS)):
        before = processes.processes[name].restarts
        processes.processes[name].send(signal.SIGTERM)
        await eventually(lambda: processes.processes[name].restarts > before)  # noqa: B023
    await eventually(processes.all_ready)


async def more_workers_and_fewer(of: Scene) -> None:
    """A second emit, stats and control come, share the partitions, and go."""
    processes = of.site.running.processes
    more = [f"{role}-2" for role in ("emit", "stats", "control")]
    for name in more:
        processes.start(name)
    await eventually(lambda: all(map(processes.is_ready, more)))
    await _moment(of, 1, 3)
    for name in of.dice.sample(more, len(more)):
        await asyncio.to_thread(processes.stop, name)


async def freeze_a_worker(of: Scene) -> None:
    """SIGSTOP for longer than a session, then SIGCONT: another worker has taken over by then, or
    would have.
    """
    name = of.dice.choice(("emit", "control", "stats", "expand"))
    seconds = of.site.settings.session_timeout.total_seconds() + 3
    processes = of.site.running.processes
    processes.start(f"{name}-2")
    await eventually(lambda: processes.is_ready(f"{name}-2"))
    await asyncio.to_thread(processes.freeze, name, seconds)
    await asyncio.to_thread(processes.stop, f"{name}-2")


async def kill_the_broker(of: Scene) -> None:
    for _ in range(2):
        await _killed(of, of.site.kafka, 0)
        await _moment(of)


async def take_the_broker_away(of: Scene) -> None:
    """It is stopped properly, and away for longer than a session."""
    await asyncio.to_thread(of.site.kafka.stop)
    await _moment(of, 8, 12)
    of.site.kafka.start()


async def kill_postgresql(of: Scene) -> None:
    for _ in range(2):
        await _killed(of, of.site.postgres, 1)
        await _moment(of)


async def lock_the_campaigns(of: Scene) -> None:
    """Somebody holds a lock on every campaign; what needs it is answered 503 in time."""
    sending = of.sendings[0]
    connection = await world.connect(of.site.settings.postgres)
    try:
        await connection.execute("BEGIN")
        await connection.execute("LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE")
        refused = await sending.rest("POST", f"/campaigns/{sending.campaign}/pause", expect=503)
        assert refused is None
    finally:
        await connection.close()


async def kill_nats(of: Scene) -> None:
    for _ in range(2):
        await _killed(of, of.site.nats, 1)
        await _moment(of)


async def wipe_nats(of: Scene) -> None:
    """Its disk is lost: the stream is made again, and sending does not notice."""
    nats = of.site.nats
    assert isinstance(nats.engine, Nats)
    await asyncio.to_thread(nats.kill)
    shutil.rmtree(nats.engine.folder)
    nats.start()


async def send_garbage(of: Scene) -> None:
    """Records that are no records, and batches that are no batches, on every topic."""
    settings = of.site.settings
    producer = Producer({"bootstrap.servers": settings.kafka})
    for source in SOURCES:
        for value in of.dice.sample(GARBAGE, 3):
            producer.produce(
                settings.topic_prefix + source,
                value,
                partition=of.dice.randrange(settings.partitions),
            )
    assert await asyncio.to_thread(producer.flush, 60) == 0
    for source in SOURCES:
        for raw, _ in STORED.values():
            partition = of.dice.randrange(settings.partitions)
            send(settings.kafka, settings.topic_prefix + source, partition, raw)


async def pause_and_resume_between_kills(of: Scene) -> None:
    sending, kill = of.sendings[0], of.site.running.processes.kill
    for verb, role in (("pause", "control"), ("resume", "emit")):
        if await sending.status() == "completed":
            return
        await sending.rest("POST", f"/campaigns/{sending.campaign}/{verb}")
        kill(role)
        await _moment(of)
    limits = {"messagesPerHour": sending.limit - 1}
    await sending.rest("PATCH", "/tenant", limits)
    kill("control")


async def suppress_people(of: Scene) -> None:
    """They race the message: each gets it or is skipped, never both, never neither."""
    of.skips = True
    for sending in of.sendings:
        chosen = of.dice.sample(sorted(sending.audience), len(sending.audience) // 5)
        rows = [{"channel": "email", "contactId": each} for each in chosen]
        await sending.rest("POST", "/suppressions/bulk", rows)


async def repeat_a_request_through_a_crash(of: Scene) -> None:
    """Twenty requests under one Idempotency-Key while the API is killed are one campaign."""
    sending = of.sendings[0]
    people = str(sending.tenant.segments["all"])
    body = {"name": "once", "channel": "email", "segmentIds": [people]}
    key = {"Idempotency-Key": f"once-{of.dice.getrandbits(64):x}"}

    async def made() -> Any:
        """The campaign, once the API answers again."""
        try:
            answer = await client.post("/campaigns", json=body, headers=key)
        except httpx.TransportError:
            return None
        if answer.status_code >= 500:
            return None
        return answer.raise_for_status().json()["data"]["id"]

    url = f"{of.site.running.url}/api/v1"
    who = {"Authorization": f"Bearer {sending.tenant.key}"}
    async with httpx.AsyncClient(base_url=url, headers=who, timeout=60) as client:
        asking = [asyncio.create_task(eventually(made)) for _ in range(20)]
        await asyncio.sleep(of.dice.uniform(0, 0.05))
        of.site.running.processes.kill("api")
        assert len(set(await asyncio.gather(*asking))) == 1


async def _killed(of: Scene, engine: RunningEngine, most: float) -> None:
    await asyncio.to_thread(engine.kill)
    await asyncio.sleep(of.dice.uniform(0, most))
    engine.start()  # not in a thread: an engine dies with the thread that has started it


#: By the rows of the fault matrix.
DISTURBANCES: Mapping[str, Disturbance] = {
    "kill -9 of every process": kill_every_process,
    "rolling restart": restart_one_after_the_other,
    "one worker, two, one": more_workers_and_fewer,
    "a frozen worker wakes up": freeze_a_worker,
    "kill -9 of the broker": kill_the_broker,
    "the broker is away": take_the_broker_away,
    "kill -9 of PostgreSQL": kill_postgresql,
    "a lock on every campaign": lock_the_campaigns,
    "kill -9 of NATS": kill_nats,
    "NATS loses its disk": wipe_nats,
    "garbage on every topic": send_garbage,
    "pause, resume, another limit": pause_and_resume_between_kills,
    "suppressions race the messages": suppress_people,
    "one request twenty times": repeat_a_request_through_a_crash,
}
