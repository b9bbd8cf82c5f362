"""The relay keeps PostgreSQL and Kafka in step, whatever kills it, and writes nothing once one of
them went back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from connectors.setup.prepare import prepare
from streams.exactly_once.fatal import RefusedError
from streams.kafka import marks
from streams.settings import Settings
from streams.topics import Name
from tables.database.connection import Database
from tables.database.outbox import Outgoing, append
from tables.installation import rounds
from tables.installation.settings_watch import SettingsWatch
from tests.agents.processes.control_workers import control_worker, has_said, process, read
from tests.eventually import eventually
from tests.postgres import sql

SAID = "PostgreSQL has lost what Kafka has already published"


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[Database]:
    await prepare(settings)
    async with Database(settings) as pool:
        yield pool


async def _fill(pool: Database, count: int = 3) -> set[str]:
    ids = [str(uuid4()) for _ in range(count)]
    for one in ids:
        row = Outgoing(Name.EVENTS, one, "campaign.updated", UUID(one), b"{}")
        async with pool.transaction() as session:
            await append(session, [row])
    return set(ids)


async def _is_empty(pool: Database) -> bool:
    return bool(await sql(pool).fetchval("SELECT count(*) FROM outbox") == 0)


async def _known(pool: Database) -> rounds.RoundCounts:
    known = await rounds.present(pool)
    assert known is not None
    return known


def _written(settings: Settings) -> set[str]:
    return {record.headers["id"] for record in read(settings, Name.EVENTS)}


async def test_killed_at_every_point_the_two_stay_in_step(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    points = ("outbox:announced:1", "outbox:before-commit:1", "outbox:published:1")
    written = set[str]()
    async with process(settings, "relay", tmp_path, *points) as slot:
        for _ in range(4):
            written |= await _fill(pool)
            await eventually(lambda: _is_empty(pool), within=300)
    assert slot.role.met.total() == 3
    known, mark = await _known(pool), await marks.read(settings)
    assert mark is not None and rounds.compared(known, mark) is None
    assert 4 <= mark.round == known.acknowledged <= known.announced
    assert _written(settings) == written
    await prepare(settings)  # finds the same
    assert await marks.read(settings) == mark


async def test_a_postgresql_that_went_back_is_published_nothing_of(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    async with process(settings, "relay", tmp_path, name="before"):
        published = await _fill(pool)
        await eventually(lambda: _is_empty(pool), within=300)
    await sql(pool).execute("UPDATE installation SET announced = 0, acknowledged = 0")
    await _fill(pool)
    relay = await control_worker(settings, "relay", tmp_path, "refused").start()
    assert await relay.ended() == 70
    assert has_said(tmp_path, "refused", SAID)
    assert _written(settings) == published
    known = await _known(pool)
    assert known.mismatch.startswith(SAID) and rounds.refusal(settings) == known.mismatch


async def test_a_relay_at_work_ends_when_postgresql_goes_back(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    relay = await control_worker(settings, "relay", tmp_path).start()
    published = await _fill(pool)
    await eventually(lambda: _is_empty(pool), within=300)
    await sql(pool).execute("UPDATE installation SET announced = 0, acknowledged = 0")
    await _fill(pool)
    assert await relay.ended() == 70
    assert has_said(tmp_path, "relay", SAID)
    assert _written(settings) == published


async def test_a_relay_waits_while_a_backup_is_being_read_in_and_then_compares(
    settings: Settings, pool: Database, tmp_path: Path
) -> None:
    async with process(settings, "relay", tmp_path, name="before"):
        published = await _fill(pool)
        await eventually(lambda: _is_empty(pool), within=300)
    await sql(pool).execute("CREATE TABLE backup AS SELECT * FROM installation")
    await sql(pool).execute("UPDATE backup SET announced = 0, acknowledged = 0")
    await sql(pool).execute("DELETE FROM installation")
    relay = await control_worker(settings, "relay", tmp_path).start()
    await eventually(lambda: has_said(tmp_path, "relay", "is still being read in"), within=300)
    await sql(pool).execute("INSERT INTO installation SELECT * FROM backup")
    assert await relay.ended() == 70
    assert has_said(tmp_path, "relay", SAID)
    assert _written(settings) == published
    assert (await _known(pool)).mismatch.startswith(SAID)


async def test_a_process_at_work_compares_again_after_it_has_lost_its_connection(
    settings: Settings, pool: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = SettingsWatch(None, settings)
    monkeypatch.setattr(watch, "sleep", lambda _: asyncio.sleep(0))
    async with AsyncExitStack() as stack:
        await watch.open(stack)
        await watch.turn()
        await watch.turn()
        async with pool.transaction() as session:
            ahead = (await rounds.announce(session)).mark()
        await marks.write(settings, ahead)
        # it went back between two looks: nothing that PostgreSQL shows has fallen since
        await sql(pool).execute("UPDATE installation SET announced = announced - 1")
        await watch.turn()
        await sql(pool).execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'campaigns-settings'"
        )
        with pytest.raises(RefusedError, match=SAID):
            await _turned(watch)


async def _turned(watch: SettingsWatch) -> None:
    """Some turns: the first one finds the connection closed."""
    for _ in range(5):
        await watch.turn()


async def test_servers_that_were_never_joined_are_not_compared(
    settings: Settings, tmp_path: Path
) -> None:
    async with Database(settings) as pool, process(settings, "relay", tmp_path):
        published = await _fill(pool)
        await eventually(lambda: _is_empty(pool), within=300)
        assert await rounds.present(pool) is None
    assert await marks.read(settings) is None
    assert _written(settings) == published
    assert rounds.refusal(settings) == ""
