"""Makes PostgreSQL and Kafka ready for the processes: creates and migrates the database, creates
the topics, writes down the settings that every process must have, and joins the two servers.

Order of effects: database and topics, then the row of settings, then the installation's identity in
PostgreSQL, in every partition of the state topics, and last in Kafka's mark. Killed in between, or
repeated, it finds what is there. Settings that contradict those of the installation, and servers of
which one went back (tables/installation/rounds.py), are refused when nothing but missing tables and
topics has been made. The roles of other processes come last: what was just migrated is granted to
them, too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from connectors.setup import topics
from streams.errors import CampaignError
from streams.exactly_once.crash_points import crash_point
from streams.kafka import clients, marks
from streams.kafka.access import AccessRefusedError
from streams.kafka.partition_counts import wrong_counts
from streams.process.consumers import group_of
from streams.process.start import read_settings
from streams.records.marks import Mark
from streams.settings import Settings
from streams.settings.secret_files import text_in
from streams.topics import Name, Topics
from tables.database.connection import Database, Session
from tables.database.failures import PostgresError
from tables.database.migrate import create, upgrade
from tables.installation import installation, logins, rounds
from tables.installation.installation import SettingsDifferError
from tables.installation.logins import Login
from tables.installation.rounds import MismatchError
from tables.models import Route, WebhookSecret
from tables.stats.views import complete_views
from tables.tenants import routes, webhook_secrets
from tables.tenants.seals import reseal


async def prepare(settings: Settings) -> None:
    """Raises `OSError`, `DependencyDownError`, `PostgresError` or aiokafka's `KafkaError`
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


async def prepare_roles(settings: Settings, wanted: Sequence[Login]) -> None:
    """Make the roles of other processes, if there are any but the one of these settings. Raises
    `PostgresError`.
    """
    own = Login.of(settings.postgres)
    if others := [login for login in wanted if login != own]:
        await logins.make(settings.postgres, others)


def _roles_of(files: Sequence[str]) -> list[Login]:
    """The roles in the DSNs that the files hold; a DSN of another role than `campaigns roles
    postgres` makes is left alone. Ends the process when a file cannot be used.
    """
    try:
        found = [_named(file) for file in files]
    except ValueError as unusable:
        sys.exit(f"nothing was changed: {unusable}")
    return [login for login in found if login is not None]


def _named(file: str) -> Login | None:
    """Raises ValueError."""
    dsn = text_in(file, "--role-of")
    try:
        return Login.of(dsn)
    except ValueError as error:
        raise ValueError(f"--role-of: {file}: {error}") from None


async def _compare(database: Database, settings: Settings, mark: Mark | None) -> None:
    """Raises MismatchError."""
    known = await database.once(rounds.known)
    if known is None and mark is not None:  # a database that has just been made
        known = rounds.NOTHING
    wrong = None if known is None else rounds.compared(known, mark)
    if wrong is None and mark is not None and (empty := await _lost_states(settings, mark)):
        wrong = rounds.lost_state(empty)
    if known is not None:
        sentence = "" if wrong is None else wrong.sentence
        await database.once(lambda session: rounds.note(session, sentence))
    if wrong is not None:
        raise MismatchError(wrong.sentence)


async def _lost_states(settings: Settings, mark: Mark) -> list[str]:
    """State topics with nothing in them, that of `deliver` not among them before its first use: an
    installation older than the role gets the topic with its identity.
    """
    empty, known_topics = await marks.unused_states(settings), Topics(settings)
    new = known_topics.name(Name.DELIVER_STATE)
    if new not in empty:
        return empty
    group = group_of(settings, "deliver")
    source = known_topics.name(Name.MESSAGES)
    partitions = [TopicPartition(source, each) for each in range(known_topics.count(Name.MESSAGES))]
    async with clients.admin(settings) as admin:
        known = await admin.list_consumer_group_offsets(group, partitions=partitions)
    if any(at.offset >= 0 for at in known.values()):
        return empty
    await marks.write_to_states(settings, mark.installation, (Name.DELIVER_STATE,))
    return [topic for topic in empty if topic != new]


async def _join(database: Database, settings: Settings) -> None:
    """The first time. Numbers that Kafka has seen before are not given away again."""
    async with complete_views(settings) as (stats, sending):
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
    await reseal(session, webhook_secrets.sealing(settings), WebhookSecret.sealed)
    of_routes = routes.sealing(settings)
    await reseal(session, of_routes, Route.sealed)
    await reseal(session, of_routes, Route.sealed_mailbox, routes.MAILBOX)


async def _prepare_database(dsn: str) -> None:
    await create(dsn)
    await asyncio.to_thread(upgrade, dsn)


async def _main(settings: Settings, wanted: Sequence[Login]) -> None:
    await prepare(settings)
    await prepare_roles(settings, wanted)


if __name__ == "__main__":
    try:
        asyncio.run(_main(read_settings(), _roles_of(sys.argv[1:])))
    except AccessRefusedError as refused:
        sys.exit(str(refused))
    except SettingsDifferError as differ:
        sys.exit(f"nothing was changed: {differ}")
    except MismatchError as mismatch:
        sys.exit(str(mismatch))
    except (OSError, PostgresError, KafkaError, CampaignError) as failure:
        sys.exit(
            f"the database or the topics could not be prepared: {type(failure).__name__}: {failure}"
        )
