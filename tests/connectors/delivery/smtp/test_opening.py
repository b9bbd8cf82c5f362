"""Getting into mail servers: those that are as they should be, and others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.delivery.outcomes import Accepted, Reply
from connectors.delivery.smtp.connection import SessionError
from connectors.delivery.smtp.logins import Login
from connectors.delivery.smtp.opening import Relay, open_session
from connectors.delivery.smtp.session import Patience
from tests.connectors.delivery.smtp.mail_server import (
    MAIL,
    PATIENT,
    SOON,
    Client,
    Script,
    mail_server,
)

_PASSWORD = Login("acme", "s3cret")


async def _nothing(client: Client) -> None:
    await client.stay()


async def _half_a_greeting(client: Client) -> None:
    client.writer.write(b"220 mx.exam")
    await client.stay()


async def _closes(client: Client) -> None:
    pass


async def _resets(client: Client) -> None:
    client.reset()


async def _takes_no_mail(client: Client) -> None:
    await client.tell("554 No SMTP service here")
    await client.stay()


async def _too_busy(client: Client) -> None:
    await client.tell("421 4.3.2 Too many connections")


async def _another_protocol(client: Client) -> None:
    await client.tell("SSH-2.0-OpenSSH_9.2")
    await client.stay()


async def _code_that_changes(client: Client) -> None:
    await client.tell("220-mx.example", "250 ESMTP")
    await client.stay()


async def _endless_line(client: Client) -> None:
    while True:
        client.writer.write(b"2" * 10_000)
        await client.writer.drain()


async def _endless_lines(client: Client) -> None:
    while True:
        await client.tell(*["220-mx.example"] * 100)


async def _talks_too_early(client: Client) -> None:
    await client.tell("220 mx.example", "250 mx.example")
    await client.stay()


async def _refuses_both_greetings(client: Client) -> None:
    await client.tell("220 mx.example")
    await client.hear()
    await client.tell("502 5.5.2 What?")
    await client.hear()
    await client.tell("504 5.5.2 Go away")
    await client.stay()


async def _knows_us(client: Client) -> None:
    await client.tell("220 mx.example")
    await client.hear()
    await client.tell("550 5.7.1 Not you")
    await client.stay()


_IMPATIENT: dict[Script, Patience] = {
    each: replace(PATIENT, greeting=SOON) for each in (_nothing, _half_a_greeting)
}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (_nothing, "no reply within 0.3 s"),
        (_half_a_greeting, "no reply within 0.3 s"),
        (_closes, "the server closed the connection"),
        (_resets, "Connection reset by peer"),
        (_takes_no_mail, "the server takes no mail: 554 No SMTP service here"),
        (_too_busy, "the server takes no mail: 421 4.3.2 Too many connections"),
        (_another_protocol, "b'SSH-2.0-OpenSSH_9.2' is no reply of SMTP"),
        (_code_that_changes, "a reply that begins with 220 goes on with 250"),
        (_endless_line, "a reply of more than 16,384 bytes"),
        (_endless_lines, "a reply of more than 16,384 bytes"),
        (_talks_too_early, "the server says without being asked: 250 mx.example"),
        (_refuses_both_greetings, "the server refuses the greeting: 504 5.5.2 Go away"),
        (_knows_us, "the server refuses the greeting: 550 5.7.1 Not you"),
    ],
)
async def test_a_server_that_is_of_no_use_is_left_with_the_reason(
    script: Script, reason: str
) -> None:
    async with mail_server(script) as server:
        with pytest.raises(SessionError) as raised:
            await open_session(server.relay(_IMPATIENT.get(script, PATIENT)))
    assert reason in str(raised.value)


async def test_a_server_that_is_not_there_is_not_reached() -> None:
    async with mail_server(_nothing) as server:
        relay = server.relay()
    with pytest.raises(SessionError, match="is not reached"):
        await open_session(relay)


async def test_a_host_that_can_have_no_address_is_not_reached() -> None:
    with pytest.raises(SessionError, match="is not reached"):
        await open_session(Relay("a" * 70 + ".example", 25, "client.example"))


async def test_a_slow_server_with_much_to_say_is_understood() -> None:
    async def script(client: Client) -> None:
        await client.tell_in_pieces("220-mx.example\r\n220-no spam\r\n220 please\r\n")
        await client.hear()
        await client.tell_in_pieces("250-mx.example\n250-size 35882577\n250 PIPELINING\n")
        await client.stay()

    async with mail_server(script) as server:
        session = await open_session(server.relay())
        assert session.offers("SIZE")
        assert session.offers("PIPELINING")
        assert not session.offers("MX.EXAMPLE")
        session.abort()


async def test_a_server_older_than_extensions_takes_mail() -> None:
    async def script(client: Client) -> None:
        await client.tell("220 mx.example")
        assert await client.hear() == "EHLO client.example"
        await client.tell("500 What?")
        assert await client.hear() == "HELO client.example"
        await client.tell("250 mx.example")
        for reply in ("250 Ok", "250 Ok", "354 Go on"):
            await client.hear()
            await client.tell(reply)
        await client.hear_content()
        await client.tell("250 Ok")

    async with mail_server(script) as server:
        session = await open_session(server.relay())
        assert await session.hand_off(MAIL) == Accepted(Reply(250, "Ok"))
        session.abort()


@pytest.mark.parametrize("name", ["", "a b", "client.example\r\nMAIL FROM:<>", "ü"])
async def test_a_name_that_would_be_more_than_a_name_is_not_sent(name: str) -> None:
    with pytest.raises(ValueError, match="no name for EHLO"):
        await open_session(Relay("127.0.0.1", 25, name))


def _tls_server(*behind: bytes, reply: bytes = b"220 Go on\r\n") -> Script:
    """A server that says something behind its reply to STARTTLS, in clear."""

    async def script(client: Client) -> None:
        await client.greet("STARTTLS", "PIPELINING")
        assert await client.hear() == "STARTTLS"
        client.writer.write(reply + b"".join(behind))
        await client.stay()

    return script


@pytest.mark.parametrize(
    "injected",
    [
        b"250-mx.example\r\n250 AUTH PLAIN\r\n",
        b"250-mx.example\r\n",
        b"250 mx",
        b"\r\n",
        b"421 4.3.2 Bye\r\n",
        b"\x16\x03\x03",
    ],
)
async def test_what_is_said_in_clear_behind_the_last_reply_before_tls_is_an_attack(
    injected: bytes,
) -> None:
    """CVE-2011-0411 in the direction of the client: replies to come are slipped in."""
    async with mail_server(_tls_server(injected)) as server:
        with pytest.raises(SessionError):
            await open_session(server.relay(tls="starttls", login=_PASSWORD))
    [client] = server.clients
    assert client.heard == ["EHLO client.example", "STARTTLS"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"454 4.7.0 Not now\r\n", "refuses STARTTLS: 454 4.7.0 Not now"),
        (b"250 Ok\r\n", "refuses STARTTLS: 250 Ok"),
        (b"421 4.3.2 Bye\r\n", "421 4.3.2 Bye"),
    ],
)
async def test_without_tls_nothing_more_is_said(reply: bytes, reason: str) -> None:
    async with mail_server(_tls_server(reply=reply)) as server:
        with pytest.raises(SessionError, match=reason):
            await open_session(server.relay(tls="starttls", login=_PASSWORD))
    assert server.clients[0].heard == ["EHLO client.example", "STARTTLS"]


async def test_what_is_said_in_clear_after_it_is_no_tls() -> None:
    async def script(client: Client) -> None:
        await client.greet("STARTTLS")
        await client.hear()
        await client.tell("220 Go on")
        assert await client.reader.read(1) == b"\x16"  # a handshake
        await client.tell("250 Ok")
        await client.stay()

    async with mail_server(script) as server:
        with pytest.raises(SessionError, match=r"no TLS with 127\.0\.0\.1"):
            await open_session(server.relay(tls="starttls", login=_PASSWORD))


async def test_a_server_that_offers_no_tls_is_told_nothing_more() -> None:
    async def script(client: Client) -> None:
        await client.greet("PIPELINING", "AUTH PLAIN")
        await client.stay()

    async with mail_server(script) as server:
        with pytest.raises(SessionError, match="does not offer STARTTLS"):
            await open_session(server.relay(tls="starttls", login=_PASSWORD))
    assert server.clients[0].heard == ["EHLO client.example"]
