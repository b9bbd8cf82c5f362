"""`campaigns prepare` writes down what processes must share; those that have something else end
with a sentence before they touch anything.
"""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from agents.delivery.worker import Deliver
from connectors.setup import topics
from connectors.setup.prepare import prepare
from streams.kafka import marks
from streams.kafka.partition_counts import refused, wrong_counts
from streams.process.consumers import group_of
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.database.connection import Database
from tables.installation.installation import SettingsDifferError
from tables.installation.rounds import MismatchError
from tables.tenants import routes, webhook_secrets
from tables.tenants.routes import Credentials
from tables.tenants.seals import SealError
from tables.tenants.webhook_secrets import WebhookSecret
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.faults.workers import Worker
from tests.postgres import connect as connect_client
from tests.streams.contracts.routes.test_smtp import made as made_route

SEALED = WebhookSecret(secret="s3cret")
CREDENTIALS = Credentials("user", "s3cret")


async def _opened(settings: Settings) -> WebhookSecret:
    async with Database(settings) as database, database.transaction() as session:
        row = await webhook_secrets.stored(session, "acme", "mailgun")
        assert row is not None
        return webhook_secrets.sealing(settings).open(row.sealed, "acme", "mailgun")


async def _let_in(settings: Settings) -> list[Credentials | None]:
    """To the relay, and to the mailbox of its bounces."""
    async with Database(settings) as database, database.transaction() as session:
        route = await routes.get_route(session, "acme", "relay")
        seal = routes.sealing(settings)
        return [routes.opened(seal, route), routes.opened_mailbox(seal, route)]


async def test_a_new_key_takes_the_secrets_over_before_the_old_one_goes(
    settings: Settings,
) -> None:
    old, new = (secrets.token_hex(32) for _ in range(2))
    first, both, last = (
        settings.model_copy(
            update={"message_keys": tuple(map(SecretStr, keys)), "address_key": SecretStr(old)}
        )
        for keys in ((f"0:{old}",), (f"0:{old}", f"1:{new}"), (f"1:{new}",))
    )
    await prepare(first)
    client = await connect_client(settings.postgres)
    await client.execute("INSERT INTO tenants (id) VALUES ('acme')")
    await client.close()
    async with Database(settings) as database, database.transaction() as session:
        seal = webhook_secrets.sealing(first)
        await webhook_secrets.put(session, seal, "acme", "mailgun", SEALED)
        closing = routes.sealing(first)
        given = made_route(bounces={"domain": "b.acme.example", "imap": {"host": "imap.example"}})
        put = partial(routes.put, session, closing, "acme")
        await put("relay", given, CREDENTIALS, mailbox=CREDENTIALS)
        await routes.put(session, closing, "acme", "without", made_route(), None)
    with pytest.raises(SealError):
        await _opened(last)
    await prepare(both)
    await prepare(both)
    assert await _opened(both) == await _opened(last) == SEALED
    assert await _let_in(both) == await _let_in(last) == [CREDENTIALS] * 2
    await prepare(last)
    assert await _opened(last) == SEALED and await _let_in(last) == [CREDENTIALS] * 2


async def test_other_partitions_than_the_topics_have_are_refused_everywhere(
    settings: Settings, tmp_path: Path
) -> None:
    await prepare(settings)
    assert await wrong_counts(settings) == [] and await refused(settings) == ""
    for wrong in (1, settings.partitions + 1):
        other = settings.model_copy(update={"partitions": wrong})
        with pytest.raises(SettingsDifferError, match=f"has 4 partitions instead of {wrong}"):
            await prepare(other)
        assert f"instead of {wrong} (CAMPAIGNS_PARTITIONS)" in await refused(other)
    variables = settings.environment() | {"CAMPAIGNS_PARTITIONS": "1"}
    for role in ("emit", "bridge"):
        log = tmp_path / f"{role}.log"
        worker = await Worker(role, log, variables, module="agents.worker").start()
        assert await worker.ended() == 70
        said = log.read_text()
        assert "has 4 partitions instead of 1 (CAMPAIGNS_PARTITIONS)" in said
        assert "CAMPAIGNS_PARTITIONS is 1 in this process and 4 in the installation" in said
        assert "Traceback" not in said


async def test_a_kafka_that_is_away_refuses_nobody(settings: Settings) -> None:
    assert await refused(settings.model_copy(update={"kafka": "127.0.0.1:1"})) == ""


async def test_an_installation_older_than_delivery_gets_its_state_and_one_that_lost_it_is_refused(
    settings: Settings,
) -> None:
    await prepare(settings)
    state = Topics(settings).name(Name.DELIVER_STATE)
    raw_kafka.delete_topic(settings.kafka, state)
    await eventually(lambda: topics.create(settings))
    assert await marks.unused_states(settings) == [state]
    await prepare(settings)
    assert await marks.unused_states(settings) == []
    group = group_of(settings, "deliver")
    async with Deliver(None, settings):
        messages = Topics(settings).name(Name.MESSAGES)
        await eventually(
            lambda: 0 in raw_kafka.group_offsets(settings.kafka, group, messages, 4), every=0.5
        )
    raw_kafka.delete_topic(settings.kafka, state)
    await eventually(lambda: topics.create(settings))
    with pytest.raises(MismatchError, match=f"Kafka has lost what was in {state}"):
        await prepare(settings)
