"""An engine with an account lets in nobody else, and takes a new password and a folder that let
everybody in.
"""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from connectors.local.engines.engine import (
    OPEN,
    Account,
    Engine,
    EngineError,
    RunningEngine,
    free_port,
)
from connectors.local.engines.nats import Nats
from connectors.local.engines.postgres import Postgres
from connectors.nats.connection import connect
from connectors.nats.failures import NatsRefusedError
from streams.settings import Settings

_ANA = Account("ana", "s3cret")
_AGAIN = Account("ana", "an0ther")


def _run(engine: Engine, folder: Path) -> RunningEngine:
    running = RunningEngine(engine, folder / f"{engine.role}.log")
    running.start()
    return running


def _settings(nats: str, **more: str) -> Settings:
    elsewhere = {"kafka": "", "postgres": "", "message_keys": "00" * 16}
    return Settings.model_validate({**elsewhere, "nats": nats, **more})


def test_a_password_is_in_no_representation_of_an_engine(tmp_path: Path) -> None:
    for engine in (Postgres(tmp_path, 1, _ANA), Nats(tmp_path, 1, _ANA)):
        assert "s3cret" not in repr(engine)


def test_a_new_password_takes_the_place_of_a_lost_one(tmp_path: Path) -> None:
    port, found = free_port(), []
    for account in (_ANA, _ANA, _AGAIN):
        engine = _run(Postgres(tmp_path / "postgres", port, account), tmp_path)
        try:
            with psycopg.connect(engine.address) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS one")
                found.append(connection.execute("SELECT count(*) FROM kept").fetchone())
            other = _AGAIN if account is _ANA else _ANA
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(Postgres(tmp_path, port, other).address)
        finally:
            engine.stop()
    assert found == [(1,)] * 3


def test_a_database_of_everybody_becomes_the_accounts_with_all_in_it(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "postgres"
    engine = _run(Postgres(folder, port, OPEN), tmp_path)
    with psycopg.connect(engine.address, autocommit=True) as connection:
        connection.execute("CREATE DATABASE ana")
    with psycopg.connect(engine.address, dbname="ana") as connection:
        connection.execute(
            """
            CREATE SCHEMA "my rooms";
            CREATE TYPE colour AS ENUM ('red');
            CREATE TYPE pair AS (one int, two int);
            CREATE DOMAIN name AS text CHECK (VALUE <> '');
            CREATE TABLE parent (id bigint GENERATED ALWAYS AS IDENTITY, c colour)
              PARTITION BY RANGE (id);
            CREATE TABLE "a child" PARTITION OF parent FOR VALUES FROM (1) TO (1000);
            CREATE TABLE "my rooms".serial (id serial PRIMARY KEY);
            CREATE SEQUENCE alone;
            CREATE VIEW seen AS SELECT * FROM parent;
            CREATE MATERIALIZED VIEW stored AS SELECT 1 AS one;
            CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
            CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
            CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int);
            INSERT INTO parent (c) VALUES ('red')
            """
        )
    engine.kill()  # the change waits for no clean end

    engine = _run(Postgres(folder, port, _ANA), tmp_path)
    try:
        with psycopg.connect(engine.address) as connection:
            for catalogue, prefix in (
                ("pg_class", "rel"),
                ("pg_proc", "pro"),
                ("pg_type", "typ"),
            ):
                strangers = connection.execute(
                    f"SELECT {prefix}name FROM {catalogue}"
                    f" WHERE {prefix}owner <> 'ana'::regrole AND {prefix}namespace IN"
                    " (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'my rooms'))"
                ).fetchall()
                assert strangers == []
            connection.execute("ALTER TABLE parent ADD COLUMN more int")
            connection.execute('DROP SCHEMA "my rooms" CASCADE')
            assert connection.execute("SELECT c FROM seen").fetchall() == [("red",)]
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(Postgres(folder, port, OPEN).address)
    finally:
        engine.stop()


def test_an_interrupted_change_is_made_again(tmp_path: Path) -> None:
    """The rules are written last: with old rules all the rest is done a second time."""
    port, folder = free_port(), tmp_path / "postgres"
    _run(Postgres(folder, port, _ANA), tmp_path).stop()
    rules = (folder / "pg_hba.conf").read_text()
    (folder / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n")
    engine = _run(Postgres(folder, port, _ANA), tmp_path)
    try:
        psycopg.connect(engine.address).close()
        assert (folder / "pg_hba.conf").read_text() == rules
        assert "s3cret" not in rules
    finally:
        engine.stop()


def test_a_folder_that_cannot_be_made_private_is_named_without_the_password(
    tmp_path: Path,
) -> None:
    port, folder = free_port(), tmp_path / "postgres"
    _run(Postgres(folder, port, OPEN), tmp_path).stop()
    (folder / "global" / "pg_control").rename(tmp_path / "pg_control")
    with pytest.raises(EngineError, match="postgres cannot be made private") as failed:
        Postgres(folder, port, _ANA).prepare()
    assert "s3cret" not in str(failed.value)


async def test_nats_lets_in_its_account_alone(tmp_path: Path) -> None:
    engine = _run(Nats(tmp_path / "nats", free_port(), _ANA), tmp_path)
    try:
        client = await connect(_settings(engine.address, nats_user="ana", nats_password="s3cret"))
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.end()
        for wrong in (
            {},
            {"nats_user": "ana", "nats_password": "guess"},
            {"nats_token": "s3cret"},
        ):
            with pytest.raises(NatsRefusedError):
                await connect(_settings(engine.address, **wrong))
        configuration = (tmp_path / "nats" / "nats.conf").stat()
        assert configuration.st_mode & 0o077 == 0
        assert configuration.st_uid == os.geteuid()
    finally:
        engine.stop()
