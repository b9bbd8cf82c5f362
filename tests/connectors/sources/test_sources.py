"""Segments, contacts and templates from services of the company's own: a real local server, a real
database, the real expand worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from pydantic import SecretStr

from connectors.sources.service import DirectoryService, SourceDownError
from connectors.sources.sources import NamedSegment, Sources
from streams.records.expansions import Stage
from streams.settings import Settings
from tables.audience.staging import note_directory
from tables.database.connection import Database
from tests.agents.sending.test_expand import Expansions, expanding, ordinals, read
from tests.api.world import resting
from tests.connectors.sources.directory_server import DirectoryServer
from tests.eventually import eventually
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import make_world


@pytest.fixture
async def server() -> AsyncIterator[DirectoryServer]:
    server = DirectoryServer()
    async with server.up():
        yield server


def using(settings: Settings, server: DirectoryServer, **more: Any) -> Settings:
    urls = {
        "segments_url": server.url,
        "contacts_url": server.url,
        "templates_url": server.url + "/",
    }
    return settings.model_copy(
        update={
            **urls,
            "directory_token": SecretStr("s3cret"),
            **more,
        }
    )


@pytest.fixture
def offline(database: str) -> Settings:
    return Settings(
        kafka="127.0.0.1:1",
        nats="nats://127.0.0.1:1",
        postgres=database,
        message_keys=(SecretStr("00" * 32),),
    )


def people(server: DirectoryServer, count: int) -> tuple[str, list[str]]:
    """A segment of the service with so many new contacts: its id and theirs."""
    segment, ids = str(uuid4()), [str(uuid4()) for _ in range(count)]
    server.segments[segment], server.members[segment] = f"Customers {segment[:4]}", ids
    server.contacts |= {
        each: {"id": each, "email": f"{each}@example.com", "firstName": "Ana", "plan": "pro"}
        for each in ids
    }
    return segment, ids


async def test_a_call_is_repeated_until_it_works_and_carries_the_token(
    server: DirectoryServer, offline: Settings
) -> None:
    segment, _ = people(server, 0)
    server.answers = [503, 4.0]  # refused, then slower than the timeout
    mine = using(offline, server, directory_timeout=timedelta(seconds=3))
    service = DirectoryService("segments", server.url, mine)
    found = await service.get(NamedSegment, "segments", segment, tenantId="acme")
    await service.close()
    assert found == NamedSegment(UUID(segment), server.segments[segment])
    assert server.calls == [("GET", f"/v1/segments/{segment}", "Bearer s3cret")] * 3


@pytest.mark.parametrize(
    ("answers", "calls", "reason"),
    [
        ([500, 500, 500], 3, "answered 500"),
        ([401], 1, "answered 401"),
        ([302], 1, "answered 302"),
        ([b"[1]"], 1, "contract"),
    ],
    ids=["500", "401", "302", "nonsense"],
)
async def test_a_service_that_cannot_be_used_is_named_with_the_reason(
    server: DirectoryServer,
    offline: Settings,
    answers: list[int | float | bytes],
    calls: int,
    reason: str,
) -> None:
    server.answers = answers
    service = DirectoryService("segments", server.url, using(offline, server))
    with pytest.raises(SourceDownError, match=f"segments service.*{reason}"):
        await service.get(NamedSegment, "segments", str(uuid4()))
    await service.close()
    assert len(server.calls) == calls


async def test_a_service_that_keeps_failing_is_left_alone_for_a_while(
    offline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.sources.service._REST", 3.0)
    server = DirectoryServer()
    service = DirectoryService("segments", server.url, using(offline, server))
    segment, _ = people(server, 0)
    for _ in range(5):
        with pytest.raises(SourceDownError):
            await service.get(NamedSegment, "segments", segment)
    with pytest.raises(SourceDownError, match="left alone"):
        await service.get(NamedSegment, "segments", segment)
    async with server.up():

        async def is_back() -> bool:
            try:
                return await service.get(NamedSegment, "segments", segment) is not None
            except SourceDownError:
                return False

        await eventually(is_back)
    await service.close()


async def test_a_campaign_names_segments_and_templates_of_the_services(
    server: DirectoryServer, offline: Settings
) -> None:
    segment, _ = people(server, 1)
    template = {"id": str(uuid4()), "name": "Hello", "channel": "sms", "content": {"text": "Hi"}}
    server.templates[template["id"]] = template  # type: ignore[index]
    async with resting(using(offline, server)) as rest:
        body = {
            "name": "x",
            "channel": "sms",
            "templateId": template["id"],
            "segmentIds": [segment],
        }
        key = {"Idempotency-Key": "k-1"}
        created = await rest.admin.post("/campaigns", json=body, headers=key)
        assert created.status_code == 201, created.text
        unknown = await rest.admin.post("/campaigns", json={**body, "segmentIds": [str(uuid4())]})
        assert (unknown.status_code, unknown.json()["errors"][0]["field"]) == (422, "segmentIds")
        foreign = await rest.stranger.post(
            "/campaigns", json=body
        )  # mirrored for another tenant: the id is taken
        assert foreign.status_code == 422
        template["content"] = {"text": "Hi again"}
        assert (
            await rest.admin.post(f"/campaigns/{created.json()['data']['id']}/start")
        ).status_code == 200
        pool = rest.services.database
        assert await sql(pool).fetchval(
            "SELECT content FROM templates WHERE id = $1", UUID(str(template["id"]))
        ) == {"text": "Hi again"}
        server.answers = [500] * 6
        down = await rest.admin.post("/campaigns", json={**body, "name": "y"})
        assert (down.status_code, down.json()["type"]) == (
            503,
            "urn:campaigns:problem:dependency-down",
        )
        repeat = await rest.admin.post("/campaigns", json=body, headers=key)
        assert (repeat.status_code, repeat.json()) == (201, created.json())
        another = await rest.admin.post("/campaigns", json={**body, "name": "z"}, headers=key)
        assert another.status_code == 409


async def test_a_mirrored_segment_has_the_members_and_details_of_the_moment(
    server: DirectoryServer, offline: Settings
) -> None:
    pool = Database(offline)
    world = await make_world(pool, offline)
    sources, run = Sources(using(offline, server)), pool.once
    segment, ids = people(server, 5)
    await sources.learn(run, "acme", segments=[UUID(segment)])
    started = await world.started(segmentIds=[segment])
    number = await sql(pool).fetchval("SELECT number FROM campaigns WHERE id = $1", started)

    async def members() -> set[str]:
        rows = await sql(pool).fetch(
            "SELECT c.email FROM segment_members m"
            " JOIN contacts c ON c.id = m.contact_id WHERE segment_id = $1",
            UUID(segment),
        )
        return {row["email"] for row in rows}

    await sources.synchronise(run, "acme", number)
    assert await members() == {f"{each}@example.com" for each in ids}
    gone, kept = ids[:2], ids[2:]
    server.members[segment], server.contacts[kept[0]]["email"] = kept, "new@example.com"
    await sources.synchronise(run, "acme", number)
    assert await members() == {"new@example.com", *(f"{each}@example.com" for each in kept[1:])}
    assert (
        await sql(pool).fetchval("SELECT count(*) FROM contacts WHERE id = ANY ($1::uuid[])", gone)
        == 2
    )  # they only left the segment
    assert await sql(pool).fetchval("SELECT count(*) FROM mirrored_members") == 0
    await sources.close()
    await pool.close()


async def test_contacts_of_a_service_that_contradict_each_other_hold_up_nothing(
    server: DirectoryServer, offline: Settings
) -> None:
    pool = Database(offline)
    world = await make_world(pool, offline)
    sources, run = Sources(using(offline, server)), pool.once
    server.page = 10
    segment, (first, second, third) = people(server, 3)
    server.contacts[first]["externalId"] = server.contacts[second]["externalId"] = "the same"
    server.members[segment].append(third)  # twice on a page
    await sources.learn(run, "acme", segments=[UUID(segment)])
    started = await world.started(segmentIds=[segment])
    await sources.synchronise(
        run, "acme", await sql(pool).fetchval("SELECT number FROM campaigns WHERE id = $1", started)
    )
    members = await sql(pool).fetch(
        "SELECT contact_id FROM segment_members WHERE segment_id = $1", UUID(segment)
    )
    assert {str(row["contact_id"]) for row in members} == {first, third}
    await sources.close()
    await pool.close()


async def test_a_segment_whose_pages_go_round_in_a_circle_is_not_read_for_ever(
    server: DirectoryServer, offline: Settings
) -> None:
    server.answers = [
        b'{"contactIds":[],"nextCursor":"%s"}' % cursor for cursor in (b"2", b"4", b"2")
    ]
    sources = Sources(using(offline, server))
    assert sources.segments is not None
    with pytest.raises(SourceDownError, match="twice"):
        async for _ in sources.segments.members("acme", uuid4()):
            pass
    await sources.close()


async def test_an_audience_waits_for_its_service_and_holds_up_nobody_else(
    settings: Settings, tmp_path: Path
) -> None:
    server = DirectoryServer(page=100)
    segment, _ = people(server, 250)
    mine = using(settings, server)
    async with resting(mine) as rest:
        world, pool = rest.world, rest.world.pool
        async with server.up():
            campaign = await rest.running(segmentIds=[segment])
        waiting = UUID(campaign["id"])
        number = await sql(pool).fetchval("SELECT number FROM campaigns WHERE id = $1", waiting)

        async def reason() -> object:
            shown = (await rest.admin.get(f"/campaigns/{waiting}")).json()["data"]
            assert shown["version"] == campaign["version"] or shown["totalRecipients"] is not None
            return shown["waiting"] and shown["waiting"]["reason"]

        async def is_down() -> bool:
            return await reason() == "dependency-down"

        assert await reason() == "audience"
        expansions = Expansions(settings)
        async with expanding(mine, tmp_path) as slot:
            await expansions.relay(world)
            await eventually(is_down, 300)
            assert "waits for a directory service" in (tmp_path / "expand.log").read_text()
            other = await world.started()
            await expansions.relay(world)
            other_number = await sql(pool).fetchval(
                "SELECT number FROM campaigns WHERE id = $1", other
            )

            async def announced(number: int, recipients: int) -> bool:
                found = await asyncio.to_thread(read, settings)  # the service answers meanwhile
                return number in found.opened and max(found.stops[number], default=0) == recipients

            await eventually(lambda: announced(other_number, 0), 300)
            assert number not in read(settings).opened
            assert not slot.exits
        assert await is_down()  # while no worker is there, too
        async with expanding(mine, tmp_path) as slot:
            async with server.up():
                await eventually(lambda: announced(number, 250), 300)
            assert not slot.exits
        assert await reason() is None
        assert not await sql(pool).fetchval(
            "SELECT is_directory_down FROM campaigns WHERE id = $1", waiting
        )
        assert await ordinals(pool, number) == list(range(250))


async def test_a_directory_service_that_is_back_ends_the_wait_before_the_audience_is_made(
    offline: Settings,
) -> None:
    pool = Database(offline)
    world = await make_world(pool, offline)
    campaign = await world.started()
    number = await sql(pool).fetchval("SELECT number FROM campaigns WHERE id = $1", campaign)
    wanted = Stage(
        tenant_id="acme", campaign_id=str(campaign), number=number, correlation_id=str(campaign)
    )
    found = []
    for tenant, is_down in (("acme", True), ("globex", False), ("acme", False)):
        stage = msgspec.structs.replace(wanted, tenant_id=tenant)
        await pool.once(partial(note_directory, wanted=stage, is_down=is_down))
        found.append(
            await sql(pool).fetchval(
                "SELECT is_directory_down FROM campaigns WHERE id = $1", campaign
            )
        )
    assert found == [True, True, False]  # a foreign tenant's record changes nothing
    await pool.close()
