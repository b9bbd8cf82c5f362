"""Logging in to real relays on loopback, and to servers that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.local.engines.engine import free_port
from connectors.routes.destinations import destinations
from connectors.routes.findings import Finding, Part, Verdict
from connectors.routes.login import log_in
from tables.tenants.routes import Credentials
from tests.certificates import Authority
from tests.connectors.routes.given import route, settings
from tests.smtp_server import PASSWORD, USER, relay, saying

GOOD = Credentials(USER, PASSWORD)


async def found(
    port: int, credentials: Credentials | None = GOOD, tls: str = "none", **changes: Any
) -> list[Finding]:
    host = changes.pop("host", "localhost")
    there, here = route(port=port, host=host, tls=tls), settings(**changes)
    return await log_in(here, there, credentials, await destinations(here, there))


def said(findings: list[Finding]) -> list[tuple[Part, Verdict]]:
    return [(finding.part, finding.status) for finding in findings]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_relay_with_tls_lets_in_whoever_knows_the_password(
    tls: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    trusted: dict[str, Any] = {"routes_ca_file": str(authority.file)}
    async with relay(tls, authority.issue("localhost")) as server:
        findings = await found(server.port, tls=tls, **trusted)
        assert said(findings) == [
            (Part.CONNECTION, Verdict.OK),
            (Part.TLS, Verdict.OK),
            (Part.LOGIN, Verdict.OK),
        ]
        assert "TLSv1" in findings[1].explanation
        assert server.logins == [(USER, PASSWORD)] and server.mails == 0
        wrong = await found(server.port, Credentials(USER, "wrong"), tls=tls, **trusted)
        assert said(wrong)[-1] == (Part.LOGIN, Verdict.ERROR)
        assert "535" in wrong[-1].explanation and "wrong" not in str(wrong)
        without = await found(server.port, None, tls=tls, **trusted)
        assert [part for part, _ in said(without)] == [Part.CONNECTION, Part.TLS]


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_password(
    tls: str, tmp_path: Path
) -> None:
    pair, other = Authority(tmp_path / "a").issue("localhost"), Authority(tmp_path / "b")
    async with relay(tls, pair) as server:
        findings = await found(server.port, tls=tls, routes_ca_file=str(other.file))
        assert said(findings)[-1] == (Part.TLS, Verdict.ERROR)
        assert "certificate" in findings[-1].explanation and server.logins == []


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_of_another_name_ends_it_before_the_password(
    tls: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with relay(tls, authority.issue("other.example")) as server:
        findings = await found(server.port, tls=tls, routes_ca_file=str(authority.file))
        assert said(findings)[-1] == (Part.TLS, Verdict.ERROR)
        assert "certificate" in findings[-1].explanation and server.logins == []


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_authorities_that_cannot_be_used_are_named_before_anything_is_sent(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    async with relay() as server:
        [finding] = await found(server.port, tls="starttls", routes_ca_file=str(file))
        assert finding.status is Verdict.ERROR and str(tmp_path) not in finding.explanation
        assert "CAMPAIGNS_ROUTES_CA_FILE" in finding.explanation and server.connections == 0


async def test_a_username_and_a_password_may_have_any_letters() -> None:
    async with relay() as server:
        findings = await found(server.port, Credentials("anä", "größe 😀"))
        assert said(findings)[-1] == (Part.LOGIN, Verdict.ERROR)
        assert server.logins[-1] == ("anä", "größe 😀")


async def test_without_tls_it_is_a_warning_and_the_password_is_tried() -> None:
    async with relay() as server:
        assert said(await found(server.port)) == [
            (Part.CONNECTION, Verdict.OK),
            (Part.TLS, Verdict.WARNING),
            (Part.LOGIN, Verdict.OK),
        ]


async def test_a_relay_that_asks_for_nothing_takes_no_password() -> None:
    async with saying(GREETING, b"250-relay.example\r\n250 SIZE\r\n", b"221 bye\r\n") as port:
        findings = await found(port)
        assert said(findings)[-1] == (Part.LOGIN, Verdict.ERROR)
        assert "asks for no username" in findings[-1].explanation


async def test_a_password_is_never_sent_where_starttls_is_not_offered() -> None:
    async with relay() as server:
        findings = await found(server.port, tls="starttls")
        assert said(findings) == [(Part.CONNECTION, Verdict.OK), (Part.TLS, Verdict.ERROR)]
        assert "offers no STARTTLS" in findings[-1].explanation and server.logins == []


async def test_tls_where_the_port_begins_without_it_is_named(tmp_path: Path) -> None:
    async with relay("starttls", Authority(tmp_path).issue("localhost")) as server:
        findings = await found(server.port, tls="tls")
        assert said(findings) == [(Part.TLS, Verdict.ERROR)]
        assert "`starttls`" in findings[0].explanation


GREETING, HELLO = b"220 relay.example ESMTP\r\n", b"250-relay.example\r\n250 STARTTLS\r\n"


@pytest.mark.parametrize(
    ("replies", "tls", "part", "explanation"),
    [
        ((), "none", Part.CONNECTION, "speaks no SMTP"),
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "none", Part.CONNECTION, "speaks no SMTP"),
        ((b"\x00" * 100_000,), "none", Part.CONNECTION, "speaks no SMTP"),
        ((b"554 5.7.1 go away\x07\r\n",), "none", Part.CONNECTION, "554 5.7.1 go away"),
        ((b"421 busy\r\n",), "none", Part.CONNECTION, "421 busy"),
        ((GREETING,), "none", Part.CONNECTION, "speaks no SMTP"),
        ((GREETING, b"550 no\r\n", b"550 no\r\n"), "none", Part.CONNECTION, "550 no"),
        ((GREETING, HELLO, b"454 not now\r\n"), "starttls", Part.TLS, "454 not now"),
        ((GREETING, HELLO), "starttls", Part.TLS, "ended the conversation"),
        ((GREETING, HELLO, b"220 go\r\n250 in clear\r\n"), "starttls", Part.TLS, ""),
        ((GREETING, b"250-a\r\n250 AUTH PLAIN\r\n"), "none", Part.LOGIN, "ended the conversation"),
        (
            (GREETING, b"250-a\r\n250 AUTH PLAIN\r\n", b"535 5.7.8 " + b"no " * 900 + b"\r\n"),
            "none",
            Part.LOGIN,
            "535 5.7.8 no",
        ),
    ],
)
async def test_a_server_that_does_not_do_what_a_relay_does_is_told_of_in_a_sentence(
    replies: tuple[bytes, ...], tls: str, part: Part, explanation: str
) -> None:
    async with saying(*replies) as port:
        findings = await found(port, tls=tls)
    assert said(findings)[-1] == (part, Verdict.ERROR), findings
    assert explanation in findings[-1].explanation and len(findings[-1].explanation) < 400
    assert findings[-1].explanation.isprintable()
    assert [status for _, status in said(findings)].count(Verdict.ERROR) == 1


@pytest.mark.parametrize(
    ("replies", "part"),
    [
        ((), Part.CONNECTION),
        ((GREETING,), Part.CONNECTION),
        ((GREETING, HELLO, b"220 go\r\n"), Part.TLS),
    ],
)
async def test_a_server_that_falls_silent_is_not_waited_for_longer_than_is_set(
    replies: tuple[bytes, ...], part: Part
) -> None:
    async with saying(*replies, ends=False) as port:
        findings = await found(port, tls="starttls", route_timeout="PT0.5S")
    assert said(findings)[-1][1] is Verdict.ERROR
    if len(said(findings)) > 1 or part is Part.CONNECTION:  # a slow machine may not come so far
        assert said(findings)[-1][0] is part
    assert "did not answer within 0.5 s" in findings[-1].explanation


async def test_where_nobody_listens_the_port_is_asked_about() -> None:
    findings = await found(free_port(), host="127.0.0.1")
    assert said(findings) == [(Part.CONNECTION, Verdict.ERROR)]
    assert "takes no connection" in findings[0].explanation


async def test_of_several_addresses_the_first_that_answers_is_taken() -> None:
    async with relay() as server:  # on 127.0.0.1 alone; localhost may be ::1, too
        here, there = settings(), route(port=server.port, host="localhost")
        to = await destinations(here, route(port=server.port, host="::1"))
        to += await destinations(here, route(port=server.port))
        assert said(await log_in(here, there, GOOD, to))[-1] == (Part.LOGIN, Verdict.OK)
        assert server.connections == 1
