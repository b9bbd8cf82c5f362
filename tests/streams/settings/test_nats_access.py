"""The servers of CAMPAIGNS_NATS, and identities of NATS that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from streams.settings import Settings
from streams.settings.nats_access import Servers, servers


def made(nats: str = "nats://n", **values: Any) -> Settings:
    keys = (SecretStr("00" * 32),)
    return Settings(kafka="", postgres="", nats=nats, message_keys=keys, **values)


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        ("nats://a:1", Servers(("nats://a:1",))),
        ("tls://a, tls://b:2", Servers(("tls://a", "tls://b:2"))),
        ("nats://[::1]:4222", Servers(("nats://[::1]:4222",))),
        ("nats://u:p%40ss@a:1", Servers(("nats://a:1",), user="u", password="p@ss")),
        ("nats://u:p@a,nats://b", Servers(("nats://a", "nats://b"), user="u", password="p")),
        ("nats://t%2Foken@a,nats://t%2Foken@b", Servers(("nats://a", "nats://b"), token="t/oken")),
    ],
)
def test_servers_and_the_identity_before_the_at_sign(addresses: str, found: Servers) -> None:
    assert servers(addresses) == found


def test_one_tls_url_asks_for_tls() -> None:
    assert servers("nats://a,tls://b").ask_for_tls and not servers("nats://a").ask_for_tls


@pytest.mark.parametrize(
    "addresses",
    [
        "a:4222",
        "http://a:4222",
        "nats://",
        "nats://a:hidden",
        "nats://u:hid/den@a:1",
        "nats://[::1",
        "nats://a,",
        "nats://u:hidden@a,nats://u:other@b",
        "nats://hidden@a,nats://u:hidden@b",
    ],
)
def test_unusable_servers_are_refused_without_quoting_a_secret(addresses: str) -> None:
    with pytest.raises(ValidationError) as raised:
        made(addresses)
    (only,) = raised.value.errors(include_input=False)
    assert only["loc"] == ("nats",)
    assert "hid" not in str(raised.value)


@pytest.mark.parametrize(
    ("nats", "values", "named"),
    [
        ("nats://n", {"nats_user": "u"}, "CAMPAIGNS_NATS_USER needs CAMPAIGNS_NATS_PASSWORD"),
        ("nats://n", {"nats_password": "p"}, "CAMPAIGNS_NATS_PASSWORD needs CAMPAIGNS_NATS_USER"),
        (
            "nats://n",
            {"nats_key_file": "k"},
            "CAMPAIGNS_NATS_KEY_FILE needs CAMPAIGNS_NATS_CERTIFICATE_FILE",
        ),
        (
            "nats://n",
            {"nats_credentials_file": "c", "nats_token": "t"},
            "CAMPAIGNS_NATS_CREDENTIALS_FILE and CAMPAIGNS_NATS_TOKEN: unset",
        ),
        (
            "nats://u:p@n",
            {"nats_nkey_file": "n"},
            "the user or token in CAMPAIGNS_NATS and CAMPAIGNS_NATS_NKEY_FILE: unset",
        ),
        (
            "nats://t@n",
            {"nats_user": "u", "nats_password": "p"},
            "the user or token in CAMPAIGNS_NATS and CAMPAIGNS_NATS_USER: unset",
        ),
    ],
)
def test_contradictory_settings_are_refused_and_named(
    nats: str, values: dict[str, str], named: str
) -> None:
    with pytest.raises(ValidationError, match=named):
        made(nats, **values)


def test_every_identity_alone_is_accepted_and_reaches_another_process() -> None:
    alone: list[dict[str, Any]] = [
        {"nats_credentials_file": "c"},
        {"nats_nkey_file": "n"},
        {"nats_user": "u", "nats_password": SecretStr("p")},
        {"nats_token": SecretStr("t"), "nats_certificate_file": "c", "nats_key_file": "k"},
    ]
    for values in alone:
        its = made(**values)
        names = {
            name.removeprefix("CAMPAIGNS_").lower(): value
            for name, value in its.environment().items()
        }
        assert Settings.model_validate(names) == its
