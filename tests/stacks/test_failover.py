"""A failover to a standby that lacks the last commits, when these were recipients and nothing that
PostgreSQL and Kafka count together: nobody is passed over without a word.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from connectors.local.engines.engine import RunningEngine
from streams.settings import Settings
from tests.e2e import world
from tests.e2e.checker import sent_messages
from tests.e2e.conftest import Running, installed
from tests.eventually import eventually, eventually_sync
from tests.postgres import Client
from tests.stacks.replicated import promote, replicated

_PEOPLE, _AN_HOUR = 600, 60  # an hour is six seconds here
_SENDER = {"fromName": "Acme", "fromEmail": "news@acme.example"}
_WAITS = """
SELECT (SELECT count(*) = 1 FROM pg_stat_activity
         WHERE application_name = 'campaigns-expand' AND wait_event_type = 'Lock')
   AND (SELECT count(*) = 0 FROM outbox)
   AND (SELECT announced > 0 AND announced = acknowledged FROM installation)"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RunningEngine, RunningEngine]]:
    with replicated(tmp_path) as made:
        yield made


@pytest.fixture
def running(
    pair: tuple[RunningEngine, RunningEngine], kafka: str, nats: str, tmp_path: Path
) -> Iterator[Running]:
    hosts = ",".join(engine.address.partition("@")[2].partition("/")[0] for engine in pair)
    name = f"t{secrets.token_hex(4)}"
    settings = Settings(
        kafka=kafka,
        nats=nats,
        postgres=f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write"
        "&connect_timeout=3",
        topic_prefix=f"{name}-",
        partitions=4,
        page_size=100,
        message_keys=(SecretStr(secrets.token_hex(32)),),
    )
    with installed(settings, tmp_path) as made:
        yield made


def _part(standby: RunningEngine, primary: RunningEngine) -> None:
    """From now on the standby gets nothing more; it has all that was committed before."""
    with (
        psycopg.connect(primary.address, autocommit=True) as source,
        psycopg.connect(standby.address, autocommit=True) as copy,
    ):
        written = source.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert written is not None
        eventually_sync(
            lambda: (
                copy.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written).fetchone()
                == (True,)
            )
        )
        copy.execute("ALTER SYSTEM SET primary_conninfo = ''")
        copy.execute("SELECT pg_reload_conf()")
        eventually_sync(
            lambda: copy.execute("SELECT count(*) FROM pg_stat_wal_receiver").fetchone() == (0,)
        )


async def _is(connection: Client, query: str) -> bool:
    return bool(await connection.fetchval(query))


@pytest.mark.timeout(1200)
async def test_a_campaign_whose_recipients_alone_were_lost_ends_and_says_so(
    running: Running, pair: tuple[RunningEngine, RunningEngine]
) -> None:
    primary, standby = pair
    connection = await world.connect(running.settings.postgres)
    looking = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme", hourly=_AN_HOUR)
    await world.people(connection, acme, "all", _PEOPLE)
    template = await world.template(connection, acme)
    rest = world.Rest(running.url, acme.key)
    # its start is known to both before the first page of its recipients is written
    await connection.execute("BEGIN")
    await connection.execute("LOCK TABLE campaign_recipients IN SHARE MODE")
    campaign = await rest.started(template, [acme.segments["all"]], settings=_SENDER)
    await eventually(lambda: _is(looking, _WAITS))
    _part(standby, primary)
    await connection.execute("COMMIT")
    await connection.close()
    await looking.close()

    async def is_sending() -> bool:
        stats = await rest("GET", f"/campaigns/{campaign}/stats")
        return bool(stats["sentCount"] >= _AN_HOUR)

    await eventually(is_sending)
    primary.kill()
    promote(standby)

    async def is_cancelled() -> bool:
        return bool((await rest("GET", f"/campaigns/{campaign}"))["status"] == "cancelled")

    await eventually(is_cancelled)
    shown = await rest("GET", f"/campaigns/{campaign}")
    assert shown["statusReason"].startswith("recipients-lost: PostgreSQL has lost ")
    await rest.close()
    sent = Counter(message.contact_id for message in sent_messages(running.settings))
    assert _AN_HOUR <= len(sent) < _PEOPLE
    assert set(sent.values()) == {1}
