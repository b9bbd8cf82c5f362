"""The settings of a relay: what is taken, in one spelling, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streams.contracts.routes import MOST_DOMAINS, RouteSettings, SmtpRoute

GIVEN: dict[str, Any] = {
    "channel": "email",
    "provider": "smtp",
    "host": "smtp.acme.example",
    "port": 587,
    "fromDomains": ["acme.example"],
}


def made(**changes: Any) -> SmtpRoute:
    found = RouteSettings.model_validate(GIVEN | changes)
    assert isinstance(found, SmtpRoute)
    return found


def test_what_is_not_said_is_what_most_relays_take() -> None:
    route = made()
    assert (route.tls, route.allow_plaintext, route.on_doubt) == ("starttls", False, "resend")
    assert (route.priority, route.weight, route.tags) == (1, 100, [])
    limits = route.limits
    assert (limits.per_second, limits.per_hour, limits.per_day) == (None, None, None)
    assert (limits.connections, limits.messages_per_connection) == (8, 100)
    assert route.retry.max_age == "P1D"


def test_what_is_stored_is_read_again_as_it_was() -> None:
    route = made(limits={"perHour": 20_000}, retry={"maxAge": "PT4H"}, tags=["b", "a", "b"])
    stored = route.model_dump(mode="json", by_alias=True)
    assert RouteSettings.model_validate(stored) == route and stored["tags"] == ["b", "a"]


@pytest.mark.parametrize(
    ("host", "spelling"),
    [
        ("SMTP.Acme.Example.", "smtp.acme.example"),
        ("mailpit", "mailpit"),
        ("mail_relay", "mail_relay"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("[2001:DB8::0:1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:127.0.0.1", "::ffff:7f00:1"),
    ],
)
def test_a_host_has_one_spelling(host: str, spelling: str) -> None:
    assert made(host=host).host == spelling


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "a..b", "-a.example", "a-.example", "smtp.acme.example:587", "a b"),
        *("smtps://smtp.acme.example", "smtp.acme.example/", "user@acme.example", "a\r\nb", "a\0"),
        *("127.1", "2130706433", "0x7f.1", "0x7f000001", "0x", "127.0.0.0x1", "1.2.3.4.5", "07.1"),
        *("bücher.example", "x" * 64 + ".example", ".".join(["abcdefgh"] * 29), "fe80::1%eth0x/"),
        *("%", "*.example", None, 7, ["a"]),
    ],
)
def test_what_is_no_host_is_refused_by_name(host: Any) -> None:
    with pytest.raises(ValidationError) as wrong:
        made(host=host)
    assert [error["loc"] for error in wrong.value.errors()] == [("host",)]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channel": "sms"}, "channel"),
        ({"provider": "fax"}, "provider"),
        ({"provider": ["smtp"]}, "provider"),
        ({"provider": None}, "provider"),
        ({"url": "https://smtp.acme.example"}, "url"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"port": "587"}, "port"),
        ({"tls": "ssl"}, "tls"),
        ({"allowPlaintext": "yes"}, "allowPlaintext"),
        ({"fromDomains": []}, "fromDomains"),
        ({"fromDomains": ["example"]}, "fromDomains"),
        ({"fromDomains": ["ana@acme.example"]}, "fromDomains"),
        (
            {"fromDomains": [f"n{number}.example" for number in range(MOST_DOMAINS + 1)]},
            "fromDomains",
        ),
        ({"priority": 0}, "priority"),
        ({"weight": 1_001}, "weight"),
        ({"tags": ["Marketing"]}, "tags"),
        ({"tags": [f"t{number}" for number in range(21)]}, "tags"),
        ({"limits": {"perSecond": 0}}, "limits"),
        ({"limits": {"connections": 101}}, "limits"),
        ({"limits": {"connections": None}}, "limits"),
        ({"limits": {"perMinute": 1}}, "limits"),
        ({"retry": {"maxAge": "P8D"}}, "retry"),
        ({"retry": {"maxAge": "PT0S"}}, "retry"),
        ({"onDoubt": "drops"}, "onDoubt"),
        ({"password": "secret"}, "password"),
        ({"bounces": {"domain": "localhost"}}, "bounces"),
        ({"bounces": {"domain": "b.acme.example", "imap": {"host": "a", "port": 0}}}, "bounces"),
        ({"bounces": {"domain": "b.acme.example", "imap": {"host": "a", "tls": "x"}}}, "bounces"),
        *(
            (
                {"bounces": {"domain": "b.acme.example", "imap": {"host": "a", "folder": folder}}},
                "bounces",
            )
            for folder in ("", 'a"b', "a\\b", "a\r\nb", "Gelöscht", "x" * 201)
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        made(**changes)
    assert {error["loc"][0] for error in wrong.value.errors()} == {field}


def test_domains_have_one_spelling_and_stand_once() -> None:
    domains = ["Acme.Example.", "acme.example", "Bücher.example"]
    assert made(fromDomains=domains).from_domains == ["acme.example", "xn--bcher-kva.example"]


def test_the_destination_is_what_credentials_are_given_for() -> None:
    same = made(host="SMTP.acme.example.", fromDomains=["other.example"], priority=5, tags=["x"])
    assert same.destination == made().destination
    for change in (
        {"host": "smtp.evil.example"},
        {"port": 25},
        {"tls": "none"},
        {"allowPlaintext": True},
    ):
        assert made(**change).destination != made().destination


def test_a_mailbox_is_reached_with_tls_and_its_inbox_read_unless_something_else_is_said() -> None:
    there = made(bounces={"domain": "Bounce.Acme.Example.", "imap": {"host": "imap.acme.example"}})
    assert there.bounces is not None and there.bounces.domain == "bounce.acme.example"
    imap = there.bounces.imap
    assert imap is not None
    assert (imap.port, imap.tls, imap.folder, imap.move_to) == (993, "tls", "INBOX", None)


def test_settings_that_were_stored_before_there_were_bounces_are_read() -> None:
    stored = made().model_dump(mode="json", by_alias=True)
    del stored["bounces"]
    assert RouteSettings.model_validate(stored) == made()
