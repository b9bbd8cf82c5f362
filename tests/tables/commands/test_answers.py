"""A repeated request or command gets the first answer again, whatever it was, and nothing is done
twice.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from streams.contracts.commands import Verb
from streams.errors import ConflictError, IllegalTransitionError
from tables.commands.execute import execute, known_answer
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World
from tests.tables.commands.expired import forget_expired


async def test_a_repeated_request_gets_the_first_answer_and_is_done_once(world: World) -> None:
    answers = await asyncio.gather(
        *(world.answer(Verb.CREATE, body=world.draft(), key="k") for _ in range(20))
    )
    assert len({answer.campaign_id for answer in answers}) == 1
    assert [answer for answer in answers if answer != answers[0]] == []
    assert len(await world.events()) == 1
    other = await world.answer(Verb.CREATE, body=world.draft(name="another"), key="k")
    with pytest.raises(ConflictError, match="Idempotency-Key"):
        other.result()


async def test_numbers_of_any_size_in_a_body_are_refused_like_every_other_mistake(
    world: World,
) -> None:
    for odd in (1 << 80, float("inf"), float("nan"), [{"a": 1e308}]):
        answer = await world.answer(
            Verb.CREATE, body=world.draft(settings={"fromName": odd}), key=f"k{odd}"
        )
        assert answer.status == 422


async def test_a_refusal_is_remembered_too_and_keeps_its_class(world: World) -> None:
    campaign_id = await world.created()
    first = await world.answer(Verb.PAUSE, campaign_id, key="k")
    await world.do(Verb.START, campaign_id)
    again = await world.answer(Verb.PAUSE, campaign_id, key="k")
    assert again == first
    with pytest.raises(IllegalTransitionError):
        again.result()
    assert (await world.answer(Verb.PAUSE, campaign_id, key="l")).status == 200


async def test_answers_are_kept_apart_by_scope_and_tenant_and_forgotten_in_time(
    world: World,
) -> None:
    command = world.command(Verb.CREATE, body=world.draft())
    async with world.pool.transaction() as connection:
        rest = await execute(connection, world.settings, command, scope="rest", key="k")
        kafka = await execute(connection, world.settings, command, scope="command", key="k")
        expired = world.command(
            Verb.CREATE, body=world.draft(), at=datetime.now(UTC) + timedelta(hours=25)
        )
        tomorrow = await execute(connection, world.settings, expired, scope="rest", key="k")
    assert len({rest.campaign_id, kafka.campaign_id, tomorrow.campaign_id}) == 3


async def test_the_first_answer_can_be_asked_for_without_doing_anything(world: World) -> None:
    command, other = (
        world.command(Verb.CREATE, body=world.draft(name=name)) for name in ("one", "other")
    )
    async with world.pool.transaction() as connection:
        assert await known_answer(connection, command, scope="command", key="k") is None
        done = await execute(connection, world.settings, command, scope="command", key="k")
        assert await known_answer(connection, command, scope="command", key="k") == done
        refused = await known_answer(connection, other, scope="command", key="k")
    assert refused is not None and refused.status == 409
    assert len(await world.events()) == 1


async def test_a_crash_before_the_commit_leaves_neither_row_nor_event_nor_answer(
    world: World,
) -> None:
    command = world.command(Verb.CREATE, body=world.draft())
    with pytest.raises(psycopg.Error):
        async with world.pool.transaction() as connection:
            await execute(connection, world.settings, command, scope="rest", key="k")
            await sql(connection).execute("SELECT 1 / 0")
    for table in ("campaigns", "outbox", "answers"):
        assert await sql(world.pool).fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_expired_answers_are_removed_and_the_others_stay(world: World) -> None:
    for key in ("a", "b"):
        await world.answer(Verb.CREATE, body=world.draft(), key=key)
    async with world.pool.transaction() as connection:
        assert await forget_expired(connection, datetime.now(UTC) + timedelta(hours=23)) == 0
        assert (
            await forget_expired(connection, datetime.now(UTC) + timedelta(hours=25), limit=1) == 1
        )
        assert await sql(connection).fetchval("SELECT count(*) FROM answers") == 1
