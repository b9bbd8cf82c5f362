"""What PostgreSQL's refusals are told apart from: a server that is away or still starting."""

from __future__ import annotations

import psycopg
import pytest
from pydantic import SecretStr

from connectors.local.engines.engine import free_port
from streams.settings import Settings
from tables.database import probe
from tables.database.failures import is_refused


def _settings(dsn: str) -> Settings:
    return Settings(kafka="", postgres=dsn, nats="", message_keys=(SecretStr("00" * 32),))


def test_a_server_that_lets_us_in_and_one_that_is_away_refuse_nothing(postgres: str) -> None:
    assert probe.refusal(_settings(postgres)) == ""
    assert probe.refusal(_settings(f"postgresql://127.0.0.1:{free_port()}/campaigns")) == ""


def test_a_database_that_is_still_to_be_made_is_no_refusal(postgres: str) -> None:
    assert probe.refusal(_settings(f"{postgres.rpartition('/')[0]}/still_to_be_made")) == ""


def test_a_role_that_is_unknown_is_one_sentence(postgres: str) -> None:
    sentence = probe.refusal(_settings(postgres.replace("postgres@", "nobody@")))
    assert sentence.startswith("PostgreSQL does not accept CAMPAIGNS_POSTGRES, or is not accepted")
    assert 'role "nobody" does not exist' in sentence
    assert "\n" not in sentence


def test_a_dsn_that_is_none_is_named_without_its_password() -> None:
    sentence = probe.refusal(_settings("postgresql://u:hunter2@h/db?sslmoode=require"))
    assert sentence.startswith("CAMPAIGNS_POSTGRES is not a DSN that libpq can read")
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("sentence", "is_final"),
    [
        ('FATAL:  password authentication failed for user "u"', True),
        ("fe_sendauth: no password supplied", True),
        ('no pg_hba.conf entry for host "h", user "u", database "d", no encryption', True),
        ("SSL error: certificate verify failed", True),
        ('server certificate for "a" does not match host name "b"', True),
        ("server does not support SSL, but SSL was required", True),
        ("SSL error: tlsv1 alert unknown ca", True),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        ("Connection refused", False),
        ('could not translate host name "db" to address', False),
        ("SSL connection has been closed unexpectedly", False),
        ("server closed the connection unexpectedly", False),
    ],
)
def test_what_passes_by_itself_is_no_refusal(sentence: str, is_final: bool) -> None:
    assert is_refused(psycopg.OperationalError(sentence)) is is_final
