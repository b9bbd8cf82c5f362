"""The settings of providers over HTTP: what each of them takes, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streams.contracts.routes import HttpRoute, RouteSettings, SmtpRoute

MAIL: dict[str, Any] = {"channel": "email", "fromDomains": ["acme.example"]}
TEXT: dict[str, Any] = {"channel": "sms", "senders": ["+4930123456"]}
WEBHOOK = MAIL | {"provider": "webhook", "url": "https://hooks.acme.example/take"}
#: One of each kind, with no more than it needs.
KINDS: dict[str, dict[str, Any]] = {
    "webhook": WEBHOOK,
    "resend": MAIL,
    "postmark": MAIL,
    "sendgrid": MAIL,
    "mailgun": MAIL | {"domain": "mg.acme.example"},
    "brevo": MAIL,
    "ses": MAIL | {"region": "eu-central-1"},
    "twilio": TEXT | {"accountSid": "AC" + "0f" * 16},
    "vonage": TEXT,
    "whatsapp": {"channel": "whatsapp", "phoneNumberId": "106540352242922"},
}


def made(provider: str = "webhook", **changes: Any) -> HttpRoute:
    found = RouteSettings.model_validate(KINDS[provider] | {"provider": provider} | changes)
    assert isinstance(found, HttpRoute)
    return found


def test_each_kind_of_route_is_among_these_but_for_relays() -> None:
    assert RouteSettings.kinds.keys() == KINDS.keys() | {"smtp"}
    assert RouteSettings.kinds["smtp"] is SmtpRoute


@pytest.mark.parametrize("provider", KINDS)
def test_what_is_stored_is_read_again_as_it_was(provider: str) -> None:
    route = made(provider, limits={"perHour": 20_000}, onDoubt="hold", tags=["b", "a", "b"])
    stored = route.model_dump(mode="json", by_alias=True)
    assert RouteSettings.model_validate(stored) == route
    assert type(route) is RouteSettings.kinds[provider]
    assert route.needs in (("password",), ("username", "password"))


@pytest.mark.parametrize("provider", KINDS)
def test_each_leads_to_a_server_with_tls_or_where_the_tenant_says(provider: str) -> None:
    host, port, tls = made(provider).server
    assert (port, tls) == (443, "tls") and "." in host
    there = made(provider, url="http://127.0.0.1:8080/api")
    assert there.server == ("127.0.0.1", 8080, "none")
    assert there.base == "http://127.0.0.1:8080/api"
    assert there.destination != made(provider).destination
    assert there.told == {"host": "127.0.0.1", "port": 8080, "tls": "none"}


@pytest.mark.parametrize(
    ("url", "spelling"),
    [
        ("https://API.Acme.Example:443/v1", "https://api.acme.example/v1"),
        ("http://localhost:80", "http://localhost"),
        ("https://[2001:DB8::0:1]:8443/x", "https://[2001:db8::1]:8443/x"),
        ("https://acme.example/take?token=a%2Fb&c", "https://acme.example/take?token=a%2Fb&c"),
    ],
)
def test_a_url_has_one_spelling(url: str, spelling: str) -> None:
    assert made(url=url).base == spelling


@pytest.mark.parametrize(
    "url",
    [
        *("", "acme.example", "ftp://acme.example", "https://", "https:///take", "//acme.example"),
        *("https://ana:secret@acme.example", "https://ana@acme.example", "https://acme.example#x"),
        *("https://acme.example:0", "https://acme.example:99999", "https://acme.example:x"),
        *("https://127.1", "https://0x7f.1", "https://2130706433", "https://bücher.example"),
        *("https://a b.example", "https://acme.example/\r\nHost: x", "https://acme.example/\0"),
        *("https://" + "x" * 1_000 + ".example", "https://[::1", 7, None, ["https://acme.example"]),
    ],
)
def test_what_is_no_url_is_refused_by_name(url: Any) -> None:
    with pytest.raises(ValidationError) as wrong:
        made(url=url)
    assert [error["loc"] for error in wrong.value.errors()] == [("url",)]


@pytest.mark.parametrize(
    ("provider", "changes", "field"),
    [
        ("webhook", {"batch": 0}, "batch"),
        ("webhook", {"batch": 1_001}, "batch"),
        ("webhook", {"channel": "fax"}, "channel"),
        ("webhook", {"fromDomains": None}, "fromDomains"),
        ("webhook", {"channel": "sms"}, "fromDomains"),
        ("webhook", {"channel": "push", "fromDomains": None, "senders": ["x"]}, "senders"),
        ("webhook", {"channel": "sms", "fromDomains": None, "senders": [""]}, "senders"),
        ("webhook", {"limits": {"messagesPerConnection": 5}}, "limits"),
        ("webhook", {"host": "acme.example"}, "host"),
        ("resend", {"channel": "sms"}, "channel"),
        ("resend", {"url": "https://proxy.example/?to=resend"}, "url"),
        ("resend", {"region": "eu"}, "region"),
        ("postmark", {"messageStream": "a/b"}, "messageStream"),
        ("sendgrid", {"region": "us"}, "region"),
        ("mailgun", {"domain": "../messages"}, "domain"),
        ("mailgun", {"domain": None}, "domain"),
        ("ses", {"region": "eu-central-1.evil.example/"}, "region"),
        ("ses", {"region": None}, "region"),
        ("ses", {"configurationSet": "a b"}, "configurationSet"),
        ("twilio", {"accountSid": "AC/../x"}, "accountSid"),
        ("twilio", {"statusCallback": "https://acme.example/?a=b"}, "statusCallback"),
        ("twilio", {"senders": []}, "senders"),
        ("vonage", {"channel": "email"}, "channel"),
        ("whatsapp", {"phoneNumberId": "me/../x"}, "phoneNumberId"),
        ("whatsapp", {"apiVersion": "latest"}, "apiVersion"),
        ("vonage", {"fromDomains": ["acme.example"]}, "fromDomains"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name(
    provider: str, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as wrong:
        made(provider, **changes)
    assert {error["loc"][0] for error in wrong.value.errors()} == {field}


def test_email_leaves_by_its_domain_and_the_rest_by_its_sender() -> None:
    for provider in (name for name, given in KINDS.items() if given["channel"] == "email"):
        route = made(provider)
        assert route.domains == ["acme.example"]
        assert route.takes("acme.example") and route.takes("news.acme.example")
        assert not route.takes("evil-acme.example") and not route.takes("")
    texts = made(channel="sms", fromDomains=None, senders=["ACME", "+4930123456"])
    assert texts.takes("ACME") and texts.takes("") and not texts.takes("OTHER")
    assert made("vonage").takes("") and not made("twilio").takes("OTHER")
    everything = made(channel="push", fromDomains=None)
    assert everything.takes("") and everything.domains == []
