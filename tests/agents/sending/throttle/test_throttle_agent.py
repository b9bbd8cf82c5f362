"""The throttle on a real broker: killed at every point of a transaction, with feedback that comes
late.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from connectors.setup import topics
from streams.contracts.envelope import encode
from streams.records.sending import (
    CHUNK,
    Cancelled,
    Finished,
    Grant,
    Limits,
    Paused,
    PlanOpened,
    Resumed,
    Retire,
    RowsReady,
    Span,
    decode_grant,
    decode_milestone,
    lane,
)
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.stats.views import SendingView
from tables.throttle.state import CampaignSending, Waiting, decode_tenant
from tests.agents.sending.throttle.throttled_emission import Emission, control
from tests.eventually import eventually
from tests.faults.raw_kafka import Raw, read_all

HOUR = timedelta(seconds=12)
PARTITIONS = 4


@pytest.fixture
async def short(kafka: str) -> AsyncIterator[Settings]:
    """An installation whose hour is 12 s and whose day 30 s."""
    made = Settings(
        kafka=kafka,
        postgres="",
        nats="",
        topic_prefix=f"t{secrets.token_hex(4)}-",
        partitions=PARTITIONS,
        hour=HOUR,
        day=timedelta(seconds=30),
        in_flight=5000,
        message_keys=(SecretStr("00" * 32),),
    )
    await topics.create(made)
    yield made
    await topics.delete(made)


async def records(settings: Settings, topic: Name, partitions: int = PARTITIONS) -> list[list[Raw]]:
    return await asyncio.to_thread(
        read_all, settings.kafka, Topics(settings).name(topic), partitions
    )


async def milestones(settings: Settings, least: int = 0) -> list[Finished]:
    """The campaigns that have finished; fails if they are fewer than `least`."""
    found = (
        decode_milestone(record.value or b"")
        for part in await records(settings, Name.MILESTONES)
        for record in part
    )
    finished = [milestone for milestone in found if isinstance(milestone, Finished)]
    assert len(finished) >= least
    return finished


async def granted(settings: Settings) -> tuple[dict[int, list[Grant]], list[Retire]]:
    """What is committed in the grants topic, and checks that each lies in its lane."""
    grants: defaultdict[int, list[Grant]] = defaultdict(list)
    retired: list[Retire] = []
    for partition, part in enumerate(await records(settings, Name.GRANTS)):
        for record in part:
            grant = decode_grant(record.value or b"")
            if isinstance(grant, Retire):
                retired.append(grant)
                continue
            assert lane(grant.start, PARTITIONS) == partition
            assert grant.start // CHUNK == (grant.stop - 1) // CHUNK
            grants[grant.number].append(grant)
    return grants, retired


async def campaigns(settings: Settings) -> dict[int, CampaignSending]:
    """The rows of the state topic as a reader finds them, by number."""
    rows: dict[bytes, bytes | None] = {}
    for part in await records(settings, Name.CONTROL_STATE):
        rows |= {
            record.key: record.value
            for record in part
            if record.key is not None and record.key.startswith(b"sending\0")
        }
    return {
        number: campaign
        for row in rows.values()
        if row
        for number, campaign in decode_tenant(row).campaigns.items()
    }


async def test_grants_have_no_gap_and_no_overlap_and_limits_hold_whenever_the_worker_is_killed(
    short: Settings, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    logging.getLogger(__name__).warning("seed %d", seed)
    limited, daily = Limits(per_hour=700), Limits(per_day=1500)
    plans = [
        PlanOpened("acme", "a", 1, "email", 2000, (Span(0, 2000),), limited),
        PlanOpened("acme", "b", 2, "email", 9000, (Span(0, 9000),)),
        PlanOpened("globex", "c", 3, "email", 900, (Span(0, 900),), Limits(), Limits(per_hour=500)),
        PlanOpened("globex", "d", 4, "email", 600, (Span(0, 600),), Limits(), Limits(per_hour=500)),
        PlanOpened("initech", "e", 5, "email", 1800, (Span(0, 1800),), daily),
    ]
    points = ["body:3", "begun:3", "before-commit:4", "after-commit:3"]
    random.Random(seed).shuffle(points)
    crashes = [f"throttle:{point}" for point in points]
    async with (
        control(short, tmp_path / "control.log", crashes) as role,
        Emission(short, lag=1.5, seed=seed).running() as emission,
    ):
        for plan in plans:
            await emission.write(plan, RowsReady(plan.tenant_id, plan.number, plan.total))
        await eventually(lambda: not role.todo, within=300)
        finished = await eventually(lambda: milestones(short, len(plans)), within=300)
    assert sum(role.met.values()) == len(points)
    grants, retired = await granted(short)
    for plan in plans:
        ranges = sorted((grant.start, grant.stop) for grant in grants[plan.number])
        assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
        assert ranges[-1][1] == plan.total
    assert sorted((m.number, m.sent) for m in finished) == [
        (plan.number, plan.total) for plan in plans
    ]
    assert sorted(r.number for r in retired) == sorted(
        plan.number for plan in plans for _ in range(PARTITIONS)
    )
    assert emission.most_in_any(short.hour, "acme", 1) <= 700
    assert emission.most_in_any(short.hour, "globex") <= 500
    assert emission.most_in_any(short.day, "initech", 5) <= 1500
    assert await campaigns(short) == {}


async def test_pause_resume_and_cancel_act_on_a_running_campaign(
    short: Settings, tmp_path: Path
) -> None:
    settings = short.model_copy(update={"in_flight": 1000})
    emission, view = Emission(settings, lag=0.1, seed=1), SendingView(settings)
    async with control(settings, tmp_path / "control.log", []), emission.running(), view:
        for number, name in ((1, "a"), (2, "b")):
            plan = PlanOpened("acme", name, number, "email", 1_000_000, (Span(0, 1_000_000),))
            await emission.write(plan, RowsReady("acme", number, 1_000_000))
        await eventually(
            lambda: min(messages(emission, 1), messages(emission, 2)) > 5000, within=300
        )
        await emission.write(Paused("acme", "a", 1))
        paused = await eventually(lambda: paused_and_drained(view, 1), within=300)
        assert paused.waiting == Waiting("paused")
        other = messages(emission, 2)
        await eventually(lambda: messages(emission, 2) > other + 5000, within=300)
        assert view.campaign(1) == paused
        await emission.write(Resumed("acme", "a", 1))
        await eventually(lambda: messages(emission, 1) > paused.sent + 3000, within=300)
        await emission.write(Cancelled("acme", "a", 1), Cancelled("acme", "b", 2))
        await eventually(lambda: view.numbers() == [], within=300)
    grants, retired = await granted(settings)
    for number in (1, 2):
        ranges = sorted((grant.start, grant.stop) for grant in grants[number])
        assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
        assert ranges[-1][1] == messages(emission, number) < 1_000_000
    assert {r.number for r in retired} == {1, 2}
    assert await milestones(settings) == []


def messages(emission: Emission, number: int) -> int:
    return sum(each.messages for each in emission.emitted if each.number == number)


def paused_and_drained(view: SendingView, number: int) -> CampaignSending:
    campaign = view.campaign(number)
    assert campaign is not None
    assert campaign.is_paused
    assert campaign.in_flight == 0
    return campaign


async def test_what_nobody_can_use_is_put_aside_and_the_stream_goes_on(
    short: Settings, tmp_path: Path
) -> None:
    async with (
        control(short, tmp_path / "control.log", []),
        Emission(short, lag=0, seed=1).running() as emission,
    ):
        topic, partition = Topics(short).name(Name.SENDING), Topics(short).partition("acme")
        for poison in (b"{", None, b'{"type":"opened"}'):
            await emission.producer.send_and_wait(topic, poison, key=b"acme", partition=partition)
        foreign = RowsReady("acme", 1, 5)
        await emission.producer.send_and_wait(
            topic, encode(foreign), partition=(partition + 1) % PARTITIONS
        )
        await emission.write(
            PlanOpened("acme", "a", 1, "email", 5, (Span(0, 5),)), RowsReady("acme", 1, 5)
        )
        await eventually(lambda: milestones(short, 1), within=300)
        dead = (await records(short, Name.DEAD_LETTERS, 1))[0]
        codes = sorted(msgspec.json.decode(record.value or b"")["code"] for record in dead)
        assert codes == ["malformed", "malformed", "malformed", "wrong-partition"]
