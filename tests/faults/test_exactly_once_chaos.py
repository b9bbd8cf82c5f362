"""Exactly-once agents on a real broker under everything that goes wrong, compared with an
independent recomputation from the raw logs.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from connectors.local.engines.engine import RunningEngine
from streams.topics import Name
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.command_feed import Feed
from tests.faults.counting_app import ACKS, COMMANDS, GRANTS, MESSAGES, TOPICS
from tests.faults.recompute import differences
from tests.faults.workers import Role, Slot, Worker, settings_environment

PARTITIONS = 6  # with three workers of a role each has some, so that an armed crash point is met


def installation(servers: str, partitions: int = PARTITIONS) -> str:
    """Creates the topics of both roles; answers their prefix."""
    prefix = f"x{secrets.token_hex(4)}-"
    topics = {prefix + topic: partitions for topic in TOPICS} | {prefix + Name.DEAD_LETTERS: 1}
    raw_kafka.create_topics(
        servers,
        topics,
        {f"{prefix}campaigns-{role}-state": partitions for role in ("limit", "count")},
    )
    return prefix


@asynccontextmanager
async def running(slots: list[Slot]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(slot.supervise()) for slot in slots]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(
            *(slot.worker.stop() for slot in slots if slot.worker.process is not None)
        )


def crash_points(dice: random.Random) -> list[str]:
    """In random order, a zombie first: the seconds of a run may not suffice for all of them."""
    points = [
        f"{point}:{dice.randrange(2, 12)}"
        for point in ("begun", "before-commit", "after-commit", "body")
    ] + ["restore:1"]
    dice.shuffle(points)
    zombies = [f"begun:{dice.randrange(2, 12)}:stop", f"before-commit:{dice.randrange(2, 12)}:stop"]
    dice.shuffle(zombies)
    return [zombies[0], *points[:3], zombies[1], *points[3:]]


@pytest.mark.timeout(1800)
async def test_two_roles_in_a_loop_do_all_once_and_in_order_through_kills_freezes_and_rebalances(
    own_broker: RunningEngine, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(1 << 32)))
    print(f"CHAOS_SEED={seed}", flush=True)  # noqa: T201
    dice, servers = random.Random(seed), own_broker.address
    prefix = installation(servers)
    environment = settings_environment(servers, prefix, PARTITIONS)
    roles = [Role(name, crash_points(dice)) for name in ("limit", "count")]
    slots = [
        Slot(role, Worker(role.name, tmp_path / f"{role.name}{i}.log", environment), i < 2)
        for role in roles
        for i in range(3)
    ]
    feed = Feed(servers, prefix + COMMANDS, PARTITIONS, rate=120, seed=seed)
    feed.start()
    async with running(slots):
        await arrived(servers, prefix + ACKS, lambda n: n > 100, within=300)
        disturbances = ["kill", "term", "broker", "join", "leave"]
        dice.shuffle(disturbances)
        # for all of it 100 to 200, each kill costs a session; a busy machine goes on until it has
        # met what a run must have met to mean anything
        deadline = time.monotonic() + float(os.environ.get("CHAOS_SECONDS", "75"))
        while (any(role.todo or role.armed for role in roles) or disturbances) and (
            time.monotonic() < deadline or not is_meaningful(roles)
        ):
            await asyncio.sleep(dice.uniform(2, 8))
            if disturbances:
                await disturb(disturbances.pop(), slots, own_broker, dice)
        await asyncio.to_thread(feed.stop)
        for role in roles:
            role.todo.clear()
        commands = raw_kafka.count_all(servers, prefix + COMMANDS, PARTITIONS)
        await arrived(servers, prefix + ACKS, lambda n: n >= commands, within=600)
    wrong = differences(servers, prefix, PARTITIONS)
    record_property("seed", seed)
    record_property(
        "recipients",
        await asyncio.to_thread(raw_kafka.count_all, servers, prefix + MESSAGES, PARTITIONS),
    )
    record_property("events", commands)
    record_property("violations", len(wrong))
    assert wrong == []
    logs = "".join(slot.worker.log.read_text() for slot in slots if slot.worker.log.exists())
    assert logs.count("LostInputError") == 0
    met = sum((role.met for role in roles), Counter[str]())
    exits = [dict(s.exits) for s in slots]
    print(  # noqa: T201
        f"seed {seed}: {commands} commands, {feed.aborted} aborted transactions, "
        f"{dict(met)}, exits {exits}"
    )
    assert feed.aborted > 0
    assert is_meaningful(roles), "too few crash points were met, or no zombie woke up"
    assert "FencedError" in logs, "no zombie was refused"


def is_meaningful(roles: list[Role]) -> bool:
    """Whether four crash points have been met, a zombie's among them."""
    met = sum((role.met for role in roles), Counter[str]())
    return met.total() >= 4 and any("zombie" in point for point in met)


async def disturb(what: str, slots: list[Slot], broker: RunningEngine, dice: random.Random) -> None:
    wanted, spare = [slot for slot in slots if slot.is_wanted], dice.choice([slots[2], slots[5]])
    if what == "broker":
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
    elif what == "kill":
        dice.choice(wanted).worker.signal(signal.SIGKILL)
    elif what == "term":
        dice.choice(wanted).worker.signal(signal.SIGTERM)
    else:
        spare.is_wanted = what == "join"
        if what == "leave":
            spare.worker.signal(signal.SIGTERM)


async def test_a_record_that_faust_loses_ends_the_process_and_is_processed_after_the_restart(
    kafka: str, tmp_path: Path
) -> None:
    prefix = installation(kafka)
    produce(kafka, prefix + COMMANDS, 500)
    worker = Worker(
        "limit", tmp_path / "limit.log", settings_environment(kafka, prefix, PARTITIONS)
    )
    await worker.start(PLANT="700")
    assert await asyncio.wait_for(worker.ended(), 300) == 70
    assert "LostInputError" in worker.log.read_text()
    await worker.start()
    await arrived(kafka, prefix + GRANTS, lambda n: n == 500 * PARTITIONS, within=300)
    assert await worker.stop() == 0
    numbers = [
        grant.value.split(b":")[0]
        for part in raw_kafka.read_all(kafka, prefix + GRANTS, PARTITIONS)
        for grant in part
        if grant.value
    ]
    assert Counter(numbers).most_common(1)[0][1] == 1


async def test_retention_that_overtakes_a_frozen_worker_ends_it_and_the_next_one_says_what_is_gone(
    kafka: str, tmp_path: Path
) -> None:
    prefix, ready = installation(kafka), tmp_path / "ready.json"
    worker = Worker(
        "limit",
        tmp_path / "limit.log",
        {**settings_environment(kafka, prefix, PARTITIONS), "CAMPAIGNS_READY_FILE": str(ready)},
    )
    produce(kafka, prefix + COMMANDS, 100)
    await worker.start()
    await eventually(lambda: readiness(ready) == (True, 0, 100 * PARTITIONS), within=300)
    worker.signal(signal.SIGSTOP)
    # the worker has asked for more already: the answer to that holds what comes first
    produce(kafka, prefix + COMMANDS, 100)
    produce(kafka, prefix + COMMANDS, 100)
    raw_kafka.delete_before(kafka, prefix + COMMANDS, 0, 250)
    worker.signal(signal.SIGCONT)
    assert await asyncio.wait_for(worker.ended(), 300) == 70
    assert "RetentionError" in worker.log.read_text()
    await worker.start()
    await arrived(kafka, prefix + GRANTS, lambda n: n >= 300 * PARTITIONS - 150, within=300)
    assert await worker.stop() == 0
    assert re.search(r"retention has deleted [12]\d\d\.\.249 of ", worker.log.read_text())


async def test_a_recreated_source_is_refused(kafka: str, tmp_path: Path) -> None:
    prefix = installation(kafka)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(
        f"{prefix}campaigns-limit-state",
        key=b"\0" + prefix.encode() + COMMANDS.encode(),
        value=b"5",
        partition=1,
    )
    producer.flush()
    worker = Worker(
        "limit", tmp_path / "limit.log", settings_environment(kafka, prefix, PARTITIONS)
    )
    await worker.start()
    assert await asyncio.wait_for(worker.ended(), 300) == 70
    assert "RecreatedTopicError" in worker.log.read_text()


async def test_what_nobody_can_use_is_put_aside_and_the_stream_goes_on(
    kafka: str, tmp_path: Path
) -> None:
    prefix = installation(kafka)
    producer = Producer({"bootstrap.servers": kafka})
    producer.produce(
        prefix + COMMANDS, key=None, value=None, partition=0, headers=[("type", b"campaign.start")]
    )
    producer.produce(prefix + COMMANDS, key=b"k", value=b"\xff{", partition=0)
    producer.flush()
    produce(kafka, prefix + COMMANDS, 1)
    worker = Worker(
        "limit", tmp_path / "limit.log", settings_environment(kafka, prefix, PARTITIONS)
    )
    await worker.start()
    await arrived(kafka, prefix + GRANTS, lambda n: n == PARTITIONS, within=300)
    assert await worker.stop() == 0
    [letters] = raw_kafka.read_all(kafka, prefix + Name.DEAD_LETTERS, 1)
    assert [letter.key for letter in letters] == [
        f"{prefix}{COMMANDS}-0-{offset}".encode() for offset in range(2)
    ]
    first, second = (json.loads(letter.value or b"") for letter in letters)
    assert first["headers"] == {"type": "campaign.start"}
    assert (first["payload"], second["payload"], second["code"]) == ("", "/3s=", "malformed")


async def test_a_worker_without_partitions_is_ready_too(kafka: str, tmp_path: Path) -> None:
    prefix = installation(kafka, partitions=1)
    environment, files = (
        settings_environment(kafka, prefix, 1),
        [tmp_path / "0.json", tmp_path / "1.json"],
    )
    workers = [
        Worker("count", tmp_path / "count.log", {**environment, "CAMPAIGNS_READY_FILE": str(file)})
        for file in files
    ]
    for worker in workers:
        await worker.start()
    await eventually(lambda: [readiness(file) for file in files] == [(True, 0, 0)] * 2, within=300)
    assert [await worker.stop() for worker in workers] == [0, 0]


async def test_a_worker_that_is_told_to_end_while_it_takes_partitions_over_ends_with_0(
    kafka: str, tmp_path: Path
) -> None:
    prefix, log = installation(kafka), tmp_path / "limit.log"
    worker = Worker("limit", log, settings_environment(kafka, prefix, PARTITIONS))
    await worker.start(HOLD="1")
    await eventually(lambda: "waits for its coordinator" in log.read_text(), within=300)
    assert await worker.stop() == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("how", "session"), [(signal.SIGTERM, "PT10M"), (signal.SIGKILL, "PT6S")], ids=["term", "kill"]
)
async def test_another_worker_takes_over(
    how: signal.Signals, session: str, kafka: str, tmp_path: Path
) -> None:
    """A worker that is told to end leaves its group: its partitions move at once and not when its
    session expires. The benchmark `failover` measures how long it takes.
    """
    prefix = installation(kafka)
    environment = {
        **settings_environment(kafka, prefix, PARTITIONS),
        "CAMPAIGNS_SESSION_TIMEOUT": session,
    }
    workers = [Worker("limit", tmp_path / f"{i}.log", environment) for i in range(2)]
    feed = Feed(kafka, prefix + COMMANDS, PARTITIONS, rate=400, seed=1)
    feed.start()
    for worker in workers:
        await worker.start()
    await eventually(
        lambda: all("restored" in worker.log.read_text() for worker in workers), within=300
    )
    await arrived(kafka, prefix + GRANTS, lambda n: n > 1000, within=300)
    workers[0].signal(how)
    await workers[0].ended()
    ended = int(time.time() * 1000)

    async def all_go_on() -> bool:
        parts = await asyncio.to_thread(raw_kafka.read_all, kafka, prefix + GRANTS, PARTITIONS)
        return all(part and part[-1].timestamp > ended for part in parts)

    await eventually(all_go_on, within=300)
    await asyncio.to_thread(feed.stop)
    assert await workers[1].stop() == 0


async def arrived(servers: str, topic: str, enough: Callable[[int], bool], within: float) -> None:
    """Waits until the number of committed records in a topic is enough; reads the topic three times
    a second, beside the event loop.
    """

    async def is_enough() -> bool:
        await asyncio.sleep(0.3)
        return enough(await asyncio.to_thread(raw_kafka.count_all, servers, topic, PARTITIONS))

    await eventually(is_enough, within=within)


def produce(servers: str, topic: str, each: int) -> None:
    """`each` commands into every partition, outside of transactions."""
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
    for i in range(each * PARTITIONS):
        command = {"id": i, "tenant": f"t{i % PARTITIONS}", "n": 1, "at": 1_700_000_040.0}
        producer.produce(topic, key=b"k", value=json.dumps(command), partition=i % PARTITIONS)
    producer.flush()


def readiness(path: Path) -> tuple[bool, int, int] | None:
    if not path.exists():
        return None
    report = json.loads(path.read_text())
    return report["ready"], report["lag"], report["position"]
