"""The rules of Kafka's settings, and the arguments of aiokafka and Faust that are made of them."""

from __future__ import annotations

import logging
import re
import ssl
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import ValidationError

from streams.exactly_once.transport import credentials
from streams.kafka.access import AccessRefusedError
from streams.kafka.clients import access
from streams.settings import Settings, sentences
from tests.certificates import Authority
from tests.streams.kafka.secured import with_kafka

_SCRAM = {"mechanism": "SCRAM-SHA-512", "user": "campaigns", "password": "hunter2"}
_OAUTH = {"mechanism": "OAUTHBEARER", "token_url": "https://login.example/token"}
_CLIENT = {"token_client": "campaigns", "token_secret": "hunter2"}
_FILES = {"ca_file": "ca.pem", "certificate_file": "me.crt", "key_file": "me.key"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"security": "PLAINTEXT"},
        {"security": "SSL"},
        {"security": "SSL", **_FILES, "key_password": "hunter2"},
        {"security": "SSL", "certificate_file": "me.pem"},
        {"security": "SASL_PLAINTEXT", **_SCRAM},
        {"security": "SASL_SSL", **_SCRAM, "mechanism": "PLAIN"},
        {"security": "SASL_SSL", **_SCRAM, **_FILES},
        {"security": "SASL_SSL", "mechanism": "OAUTHBEARER", "token_file": "token"},
        {"security": "SASL_SSL", **_OAUTH, **_CLIENT, "token_scope": "kafka"},
        {"security": "SASL_SSL", **_OAUTH, **_CLIENT, "token_url": "http://127.0.0.1:1/token"},
    ],
)
def test_settings_that_belong_together_are_taken(given: dict[str, str]) -> None:
    made = with_kafka(**given)
    assert made.kafka_security == given.get("security", "PLAINTEXT")
    environment = made.environment()
    again = {name.removeprefix("CAMPAIGNS_").lower(): it for name, it in environment.items()}
    assert Settings.model_validate(again) == made


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"security": "SASL_SSL"},
            "CAMPAIGNS_KAFKA_SECURITY=SASL_SSL needs CAMPAIGNS_KAFKA_MECHANISM",
        ),
        (
            {"security": "SASL_SSL", "mechanism": "SCRAM-SHA-256"},
            "CAMPAIGNS_KAFKA_SECURITY=SASL_SSL with CAMPAIGNS_KAFKA_MECHANISM=SCRAM-SHA-256 needs "
            "CAMPAIGNS_KAFKA_PASSWORD and CAMPAIGNS_KAFKA_USER",
        ),
        (
            {"security": "SASL_SSL", "mechanism": "OAUTHBEARER"},
            "CAMPAIGNS_KAFKA_MECHANISM=OAUTHBEARER needs either CAMPAIGNS_KAFKA_TOKEN_FILE or "
            "CAMPAIGNS_KAFKA_TOKEN_URL",
        ),
        (
            {"security": "SASL_SSL", **_OAUTH, "token_file": "token"},
            "CAMPAIGNS_KAFKA_MECHANISM=OAUTHBEARER needs either CAMPAIGNS_KAFKA_TOKEN_FILE or "
            "CAMPAIGNS_KAFKA_TOKEN_URL",
        ),
        (
            {"security": "SASL_SSL", **_OAUTH},
            "CAMPAIGNS_KAFKA_SECURITY=SASL_SSL with CAMPAIGNS_KAFKA_MECHANISM=OAUTHBEARER needs "
            "CAMPAIGNS_KAFKA_TOKEN_CLIENT and CAMPAIGNS_KAFKA_TOKEN_SECRET",
        ),
        (
            {"security": "SSL", "key_file": "me.key"},
            "CAMPAIGNS_KAFKA_SECURITY=SSL needs CAMPAIGNS_KAFKA_CERTIFICATE_FILE",
        ),
        (
            {"user": "campaigns", "password": "hunter2"},
            "CAMPAIGNS_KAFKA_SECURITY=PLAINTEXT does not use CAMPAIGNS_KAFKA_PASSWORD and "
            "CAMPAIGNS_KAFKA_USER: unset it, or choose another",
        ),
        (
            {"security": "SASL_PLAINTEXT", **_SCRAM, "ca_file": "ca.pem"},
            "CAMPAIGNS_KAFKA_SECURITY=SASL_PLAINTEXT with CAMPAIGNS_KAFKA_MECHANISM=SCRAM-SHA-512 "
            "does not use CAMPAIGNS_KAFKA_CA_FILE: unset it, or choose another",
        ),
        (
            {"security": "SSL", "mechanism": "PLAIN"},
            "CAMPAIGNS_KAFKA_SECURITY=SSL does not use CAMPAIGNS_KAFKA_MECHANISM: unset it, or "
            "choose another",
        ),
        (
            {"security": "SASL_SSL", **_OAUTH, **_CLIENT, "token_url": "http://login.example"},
            "CAMPAIGNS_KAFKA_TOKEN_URL: a secret is sent there: it must be an https:// URL",
        ),
        (
            {"security": "TLS"},
            "CAMPAIGNS_KAFKA_SECURITY: Input should be 'PLAINTEXT', 'SSL', 'SASL_PLAINTEXT' or "
            "'SASL_SSL'",
        ),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence_that_names_the_variables(
    given: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        with_kafka(**given)
    assert sentences(refused.value) == [sentence]
    assert "hunter2" not in str(refused.value)


def test_faust_tells_aiokafka_what_our_own_clients_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    ca, own = {"ca_file": str(authority.file)}, str(authority.issue("campaigns.example").both)
    token = {"mechanism": "OAUTHBEARER", "token_file": str(tmp_path / "token")}
    given: list[dict[str, str]] = [
        {},
        {"security": "SSL", **ca, "certificate_file": own},
        {"security": "SASL_PLAINTEXT", **_SCRAM},
        {"security": "SASL_SSL", **_SCRAM, **ca},
        {"security": "SASL_SSL", **token, **ca},
        {"security": "SASL_PLAINTEXT", **token},
    ]
    for each in given:
        ours = access(with_kafka(**each))
        theirs: dict[str, Any] = credentials_to_aiokafka_auth(credentials(ours))
        assert {name: it for name, it in theirs.items() if it is not None} == ours


def test_chain_and_host_name_of_a_broker_are_always_checked(tmp_path: Path) -> None:
    file = str(Authority(tmp_path).file)
    for security in ({"security": "SSL"}, {"security": "SASL_SSL", **_SCRAM}):
        context = access(with_kafka(**security, ca_file=file))["ssl_context"]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert len(context.get_ca_certs()) == 1


def test_a_key_with_a_password_is_opened(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("campaigns.example", password="hunter2")
    files = {"certificate_file": str(pair.certificate), "key_file": str(pair.key)}
    assert access(with_kafka(security="SSL", **files, key_password="hunter2"))
    for wrong in ({"key_password": "other"}, {}):
        with pytest.raises(AccessRefusedError, match="CAMPAIGNS_KAFKA_KEY_PASSWORD"):
            access(with_kafka(security="SSL", **files, **wrong))


def test_a_file_that_cannot_be_used_is_named_with_its_variable(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")
    pair, foreign = authority.issue("campaigns.example"), other.issue("campaigns.example")
    nothing, junk = tmp_path / "nothing.pem", tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    for given, sentence in (
        ({"ca_file": nothing}, f"CAMPAIGNS_KAFKA_CA_FILE: {nothing} cannot be read"),
        ({"ca_file": junk}, f"CAMPAIGNS_KAFKA_CA_FILE: {junk} does not hold certificates"),
        (
            {"certificate_file": nothing},
            f"CAMPAIGNS_KAFKA_CERTIFICATE_FILE: there is no file {nothing}",
        ),
        (
            {"certificate_file": pair.certificate, "key_file": nothing},
            f"CAMPAIGNS_KAFKA_KEY_FILE: there is no file {nothing}",
        ),
        (
            {"certificate_file": pair.certificate, "key_file": foreign.key},
            "CAMPAIGNS_KAFKA_CERTIFICATE_FILE and CAMPAIGNS_KAFKA_KEY_FILE",
        ),
    ):
        with pytest.raises(AccessRefusedError) as refused:
            access(with_kafka(security="SSL", **{name: str(it) for name, it in given.items()}))
        assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    ("kafka", "given", "is_exposed"),
    [
        ("broker:9092", {"security": "SASL_PLAINTEXT", **_SCRAM, "mechanism": "PLAIN"}, True),
        ("broker:9092", {"security": "SASL_PLAINTEXT", **_SCRAM}, False),
        ("broker:9092", {"security": "SASL_SSL", **_SCRAM, "mechanism": "PLAIN"}, False),
        ("broker:9092", {}, False),
        (
            "localhost:1,[::1]:2",
            {"security": "SASL_PLAINTEXT", **_SCRAM, "mechanism": "PLAIN"},
            False,
        ),
        ("127.0.0.1:1, b:2", {"security": "SASL_PLAINTEXT", **_SCRAM, "mechanism": "PLAIN"}, True),
        ("[bad:1", {"security": "SASL_PLAINTEXT", **_SCRAM, "mechanism": "PLAIN"}, True),
    ],
)
def test_a_secret_that_crosses_a_network_in_clear_is_warned_of(
    kafka: str, given: dict[str, str], is_exposed: bool
) -> None:
    said = with_kafka(kafka, **given).exposed()
    assert ("sends the secret over the network in clear" in said) == is_exposed
    assert "hunter2" not in said


def test_aiokafka_does_not_say_so_at_every_connection(caplog: pytest.LogCaptureFixture) -> None:
    spoken = (Path(aiokafka.__file__).parent / "conn.py").read_text()
    logger = logging.getLogger("aiokafka.conn")
    for sentence in re.findall(r'log\.warning\("(Sending [^"]+)"\)', spoken):
        logger.warning(sentence)
    logger.warning("anything else")
    assert [record.message for record in caplog.records] == ["anything else"]
