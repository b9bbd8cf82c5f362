"""A PostgreSQL and its standby."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg

from connectors.local.engines.engine import OPEN, RunningEngine, free_port
from connectors.local.engines.postgres import Postgres, as_user, binaries
from tests.eventually import eventually_sync

_WITHIN = timedelta(seconds=300)
_STANDBY = "standby"
# A machine that survives the kill of a process keeps what the process wrote.
_DURABLE = {"fsync": "off", "full_page_writes": "on", "wal_level": "replica"}


@contextmanager
def replicated(folder: Path) -> Iterator[tuple[RunningEngine, RunningEngine]]:
    """A primary, and a standby that follows it and that nobody waits for."""
    primary = RunningEngine(
        Postgres(folder / "primary", free_port(), OPEN, _DURABLE), folder / "primary.log"
    )
    try:
        primary.start(_WITHIN)
        standby = RunningEngine(_standby_of(primary, folder / _STANDBY), folder / f"{_STANDBY}.log")
        try:
            standby.start(_WITHIN)
            yield primary, standby
        finally:
            standby.stop()
    finally:
        primary.stop()


def promote(standby: RunningEngine) -> None:
    """Returns when it is a primary."""
    with psycopg.connect(standby.address, autocommit=True) as connection:
        connection.execute("SELECT pg_promote()")


def follow(former: RunningEngine, primary: RunningEngine) -> None:
    """Make a primary that was stopped a standby of the one that has taken its place; it is to be
    started.
    """
    assert isinstance(former.engine, Postgres)
    folder = former.engine.folder
    (folder / "standby.signal").touch()
    with (folder / "postgresql.auto.conf").open("a") as configuration:
        configuration.write(f"primary_conninfo = '{_source(primary)}'\n")


def _standby_of(primary: RunningEngine, folder: Path) -> Postgres:
    program = str(binaries() / "pg_basebackup")
    command = [*as_user(), program, "-d", _source(primary), "-D", str(folder), "-R", "-c", "fast"]
    subprocess.run(command, check=True, capture_output=True)
    return Postgres(folder, free_port(), OPEN, _DURABLE)


def _source(primary: RunningEngine) -> str:
    return f"{primary.address}?application_name={_STANDBY}"


def make_synchronous(primary: RunningEngine) -> None:
    """From now on a commit is answered when the standby has it, too."""
    with psycopg.connect(primary.address, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{_STANDBY}'")
        connection.execute("SELECT pg_reload_conf()")
        eventually_sync(
            lambda: (
                connection.execute(
                    "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                ).fetchone()
                == (1,)
            ),
            within=300,
        )
