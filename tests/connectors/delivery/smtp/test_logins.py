"""Logins, and mail through TLS, at servers of aiosmtpd and at one that asks without end."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as ServerSession

from connectors.delivery.outcomes import Accepted, Refused, Reply
from connectors.delivery.smtp.connection import SessionError
from connectors.delivery.smtp.logins import Login
from connectors.delivery.smtp.opening import Relay, open_session
from tests.certificates import Authority
from tests.connectors.delivery.smtp.mail_server import (
    MAIL,
    Client,
    mail_server,
)

_PASSWORD = Login("acme", "s3cret")
_TOKEN = Login("acme", "t" * 500, is_token=True)  # too long to stand behind a command


class _Mailbox:
    """Keeps what an aiosmtpd server was given; knows acme, and speaks two mechanisms more."""

    def __init__(self) -> None:
        self.taken = list[Envelope]()
        self.mechanisms = list[str]()

    async def handle_DATA(  # noqa: N802  # aiosmtpd's name
        self, server: SMTP, session: ServerSession, envelope: Envelope
    ) -> str:
        if b"refuse me" in (envelope.content or b""):
            return "554 5.7.1 Refused"
        self.taken.append(envelope)
        return "250 2.0.0 Ok"

    def known(
        self, server: SMTP, session: ServerSession, envelope: Envelope, how: str, what: Any
    ) -> AuthResult:
        self.mechanisms.append(how)
        given = what.login, what.password
        return AuthResult(success=given == (b"acme", b"s3cret"), handled=False)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        self.mechanisms.append("XOAUTH2")
        given = args[1].encode() if len(args) > 1 else None
        text = base64.b64decode(given) if given else await server.challenge_auth("")
        assert isinstance(text, bytes)
        if text == f"user=acme\x01auth=Bearer {_TOKEN.secret}\x01\x01".encode():
            return AuthResult(success=True, auth_data=LoginPassword(b"acme", b""))
        assert await server.challenge_auth('{"status":"401"}') == b""
        return AuthResult(success=False, handled=False)

    async def auth_CRAM__MD5(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802
        self.mechanisms.append("CRAM-MD5")
        answer = await server.challenge_auth("<1896.697170952@mx.example>")
        assert isinstance(answer, bytes)
        digest = hmac.new(b"s3cret", b"<1896.697170952@mx.example>", "md5").hexdigest()
        return AuthResult(success=answer == f"acme {digest}".encode(), handled=False)


_Options = dict[str, Any]


@asynccontextmanager
async def _aiosmtpd(
    mailbox: _Mailbox, authority: Authority, *, implicit: bool = False, **options: Any
) -> AsyncIterator[Relay]:
    """A server of aiosmtpd with TLS and AUTH, without PIPELINING, and a way to it for a client that
    trusts the authority.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.issue("localhost").both)
    made: _Options = {
        "authenticator": mailbox.known,
        "auth_required": True,
        "auth_require_tls": True,
        "enable_SMTPUTF8": True,
        **({} if implicit else {"tls_context": context, "require_starttls": True}),
        **options,
    }
    if implicit:  # aiosmtpd cannot know of a listener's TLS
        made["auth_required"] = made["auth_require_tls"] = False
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(mailbox, loop=loop, **made),
        "127.0.0.1",
        0,
        ssl=context if implicit else None,
    )
    async with server:
        yield Relay(
            "localhost",
            server.sockets[0].getsockname()[1],
            "client.example",
            tls="implicit" if implicit else "starttls",
            login=_PASSWORD,
            context=ssl.create_default_context(cafile=str(authority.file)),
        )


_CONTENT = "Subject: x\r\n\r\n.\r\n..\r\n.x\r\nü\r\n".encode()


@pytest.mark.parametrize("implicit", [False, True])
async def test_mail_arrives_at_aiosmtpd_as_it_was_handed_in(tmp_path: Path, implicit: bool) -> None:
    mailbox = _Mailbox()
    async with _aiosmtpd(mailbox, Authority(tmp_path), implicit=implicit) as relay:
        session = await open_session(relay)
        mails = [
            MAIL._replace(content=_CONTENT),
            MAIL._replace(content=b"Subject: x\r\n\r\nrefuse me\r\n"),
            MAIL._replace(recipient="ü@example.com", sender=""),
        ]
        found = await asyncio.gather(*map(session.hand_off, mails))
        await session.quit()
    ok = Accepted(Reply(250, "2.0.0 Ok"))
    assert found == [ok, Refused(Reply(554, "5.7.1 Refused")), ok]
    first, second = mailbox.taken
    assert (first.mail_from, first.rcpt_tos) == (MAIL.sender, [MAIL.recipient])
    assert first.content == _CONTENT
    assert first.mail_options == [f"SIZE={len(_CONTENT)}", "BODY=8BITMIME"]
    assert second.rcpt_tos == ["ü@example.com"]
    assert second.smtp_utf8


@pytest.mark.parametrize(
    ("login", "without", "mechanism"),
    [
        (_PASSWORD, [], "PLAIN"),
        (_PASSWORD, ["PLAIN"], "LOGIN"),
        (_PASSWORD, ["PLAIN", "LOGIN"], "CRAM-MD5"),
        (_TOKEN, [], "XOAUTH2"),
    ],
)
async def test_a_login_takes_the_first_mechanism_that_is_offered(
    tmp_path: Path, login: Login, without: list[str], mechanism: str
) -> None:
    mailbox = _Mailbox()
    authority = Authority(tmp_path)
    async with _aiosmtpd(mailbox, authority, auth_exclude_mechanism=without) as relay:
        session = await open_session(_with(relay, login=login))
        assert isinstance(await session.hand_off(MAIL), Accepted)
        await session.quit()
    assert mailbox.mechanisms == [mechanism]


@pytest.mark.parametrize(
    ("login", "without"),
    [
        (Login("acme", "wrong"), []),
        (Login("acme", "wrong"), ["PLAIN"]),
        (Login("acme", "wrong"), ["PLAIN", "LOGIN"]),
        (Login("acme", "wrong", is_token=True), []),
    ],
)
async def test_a_wrong_secret_is_told_by_its_reply(
    tmp_path: Path, login: Login, without: list[str]
) -> None:
    authority = Authority(tmp_path)
    async with _aiosmtpd(_Mailbox(), authority, auth_exclude_mechanism=without) as relay:
        with pytest.raises(SessionError, match="refuses the login") as raised:
            await open_session(_with(relay, login=login))
    assert raised.value.reply is not None
    assert raised.value.reply.code == 535
    assert "wrong" not in str(raised.value)


async def test_no_login_is_tried_that_the_server_does_not_offer(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    without = ["PLAIN", "LOGIN", "CRAM-MD5"]
    async with _aiosmtpd(_Mailbox(), authority, auth_exclude_mechanism=without) as relay:
        with pytest.raises(SessionError, match="no login with a password"):
            await open_session(relay)


@pytest.mark.parametrize("implicit", [False, True])
async def test_the_certificate_has_to_be_the_hosts_and_an_authoritys(
    tmp_path: Path, implicit: bool
) -> None:
    mailbox, authority = _Mailbox(), Authority(tmp_path)
    async with _aiosmtpd(mailbox, authority, implicit=implicit) as relay:
        for wrong in (
            _with(relay, host="127.0.0.1"),  # not in the certificate
            _with(relay, context=ssl.create_default_context()),
        ):
            with pytest.raises(SessionError, match="certificate verify failed"):
                await open_session(wrong)
    assert mailbox.mechanisms == []


def _with(relay: Relay, **changes: Any) -> Relay:
    return replace(relay, **changes)


async def test_an_endless_login_ends() -> None:
    async def script(client: Client) -> None:
        await client.greet("AUTH LOGIN")
        while True:
            await client.hear()
            await client.tell("334 " + base64.b64encode(b"More:").decode())

    async with mail_server(script) as server:
        with pytest.raises(SessionError, match="refuses the login: 334"):
            await open_session(server.relay(login=_PASSWORD))


@pytest.mark.parametrize("challenge", ["334 ?", "334 !!!!", "334 YWJ"])
async def test_a_challenge_that_is_none_ends_the_login(challenge: str) -> None:
    async def script(client: Client) -> None:
        await client.greet("AUTH CRAM-MD5")
        await client.hear()
        await client.tell(challenge)
        await client.stay()

    async with mail_server(script) as server:
        with pytest.raises(SessionError, match="refuses the login"):
            await open_session(server.relay(login=_PASSWORD))


async def test_a_secret_that_cannot_be_sent_is_not() -> None:
    async def script(client: Client) -> None:
        await client.greet("AUTH PLAIN")
        await client.stay()

    async with mail_server(script) as server:
        with pytest.raises(ValueError, match="NUL"):
            await open_session(server.relay(login=Login("acme", "a\0b")))
    assert server.clients[0].heard == ["EHLO client.example"]


def test_a_secret_is_in_no_representation() -> None:
    relay = Relay("mx.example", 25, "client.example", login=_PASSWORD)
    assert "s3cret" not in repr(relay)
