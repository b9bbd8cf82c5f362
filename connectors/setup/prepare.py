"""Makes PostgreSQL and Kafka ready for the processes: creates and migrates the database, creates
the topics, writes down the settings that every process must have, and joins the two servers.

Order of effects: database and topics, then the row of settings, then the installation's identity in
PostgreSQL, in every partition of the state topics, and last in Kafka's mark. Killed in between, or
repeated, it finds what is there. Settings that contradict those of the installation, and servers of
which one went back (tables/installation/rounds.py), are refused when nothing but missing tables and
topics has been made.
"""

from __future__ import annotations

import asyncio
import sys
import time

import psycopg
from aiokafka.errors import KafkaError
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.setup import topics
from streams.errors import CampaignError
from streams.exactly_once.crash_points import crash_point
from streams.kafka import marks
from streams.kafka.access import AccessRefusedError
from streams.kafka.partition_counts import wrong_counts
from streams.process.start import read_settings
from streams.records.marks import Mark
from streams.settings import Settings
from tables.database.connection import Database, Session
from tables.database.driver import DriverConnection
from tables.database.failures import is_missing_database, is_refused
from tables.database.migrate import upgrade
from tables.installation import installation, rounds
from tables.installation.installation import SettingsDifferError
from tables.installation.rounds import MismatchError
from tables.stats.views import SendingView, StatsView
from tables.tenants import webhook_secrets

_PATIENCE = 30.0  # seconds for a server that is just starting


async def prepare(settings: Settings) -> None:
    """Raises `OSError`, `DependencyDownError`, `psycopg.Error` or aiokafka's `KafkaError`
    when a server is away or refuses, `SettingsDifferError` when the settings are not those of the
    installation and must not become them, and `MismatchError` when PostgreSQL or Kafka went back.
    """
    await asyncio.gather(_prepare_database(settings.postgres), topics.create(settings))
    if wrong := await wrong_counts(settings):
        raise SettingsDifferError("; ".join(wrong))
    async with Database(settings, "campaigns-prepare", max_size=1) as database:
        mark = await marks.read(settings)
        await _compare(database, settings, mark)
        await database.once(lambda session: _agree(session, settings))
        if mark is None:
            await _join(database, settings)


async def _compare(database: Database, settings: Settings, mark: Mark | None) -> None:
    """Raises MismatchError."""
    known = await database.once(rounds.known)
    if known is None and mark is not None:  # a database that has just been made
        known = rounds.NOTHING
    wrong = None if known is None else rounds.compared(known, mark)
    if wrong is None and mark is not None and (empty := await marks.unused_states(settings)):
        wrong = rounds.lost_state(empty)
    if known is not None:
        sentence = "" if wrong is None else wrong.sentence
        await database.once(lambda session: rounds.note(session, sentence))
    if wrong is not None:
        raise MismatchError(wrong.sentence)


async def _join(database: Database, settings: Settings) -> None:
    """The first time. Numbers that Kafka has seen before are not given away again."""
    async with StatsView(settings) as stats, SendingView(settings) as sending:
        await stats.ready.wait()
        await sending.ready.wait()
        highest = max([0, *stats.numbers(), *sending.numbers()])
    known = await database.once(rounds.join)
    if highest > known.number:
        first = rounds.number_above(highest)
        await database.once(lambda session: rounds.give_no_number_below(session, first))
        known = await database.once(rounds.join)
    mark = known.mark()
    await marks.write_to_states(settings, mark.installation)
    crash_point("states-marked", "prepare")
    await marks.write(settings, mark)


async def _agree(session: Session, settings: Settings) -> None:
    await installation.write(session, settings)
    await webhook_secrets.reseal(session, webhook_secrets.Seal(settings))


async def _prepare_database(dsn: str) -> None:
    await _create_database(dsn)
    await asyncio.to_thread(upgrade, dsn)


async def _create_database(dsn: str) -> None:
    """Creates the database that the DSN names when it is missing and this user may; the next step
    reports it otherwise.
    """
    deadline, name = time.monotonic() + _PATIENCE, conninfo_to_dict(dsn).get("dbname", "")
    while True:
        try:
            connection = await DriverConnection.open(dsn, application_name="campaigns-prepare")
        except psycopg.OperationalError as error:
            if is_missing_database(error):
                await _create(dsn, str(name))
                return
            if is_refused(error) or time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            await connection.close()
            return


async def _create(dsn: str, name: str) -> None:
    connection = await DriverConnection.open(
        make_conninfo(dsn, dbname="postgres"), application_name="campaigns-prepare", autocommit=True
    )
    try:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    finally:
        await connection.close()


if __name__ == "__main__":
    try:
        asyncio.run(prepare(read_settings()))
    except AccessRefusedError as refused:
        sys.exit(str(refused))
    except SettingsDifferError as differ:
        sys.exit(f"nothing was changed: {differ}")
    except MismatchError as mismatch:
        sys.exit(str(mismatch))
    except (OSError, psycopg.Error, KafkaError, CampaignError) as failure:
        sys.exit(
            f"the database or the topics could not be prepared: {type(failure).__name__}: {failure}"
        )
