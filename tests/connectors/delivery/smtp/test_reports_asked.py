"""Reports that name the mail are asked of servers that offer DSN (RFC 3461)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.delivery.outcomes import Accepted, Mail
from connectors.delivery.smtp.opening import open_session
from connectors.delivery.smtp.xtext import decoded, xtext
from tests.connectors.delivery.smtp.mail_server import MAIL, OFFERS, PATIENT, Client, mail_server

_ID = "00000000-002a-8000-84d2-9f31c05be7a4"
_NAMED = MAIL._replace(sender=f"b.{_ID}@bounce.acme.example", envelope_id=_ID)


async def heard(mail: Mail, *offers: str) -> list[str]:
    """MAIL and RCPT as a server hears them that offers this."""

    async def script(client: Client) -> None:
        await client.greet(*offers)
        if "PIPELINING" in offers:
            await client.grant()
        else:
            for reply in ("250 Ok", "250 Ok", "354 Go on"):
                await client.hear()
                await client.tell(reply)
        await client.hear_content()
        await client.tell("250 2.0.0 Ok")
        assert await client.hear() == "QUIT"
        await client.tell("221 Bye")

    async with mail_server(script) as server:
        session = await open_session(server.relay(PATIENT))
        [outcome] = await asyncio.gather(session.hand_off(mail))
        assert isinstance(outcome, Accepted)
        await session.quit()
    return [line for line in server.clients[0].heard if line.startswith(("MAIL", "RCPT"))]


@pytest.mark.parametrize("others", [("DSN", *OFFERS), ("DSN", "8BITMIME")])
async def test_a_server_that_offers_dsn_is_asked_for_reports_that_name_the_mail(
    others: tuple[str, ...],
) -> None:
    first, second = await heard(_NAMED, *others)
    assert first.startswith(f"MAIL FROM:<b.{_ID}@bounce.acme.example>")
    assert first.endswith(f" RET=HDRS ENVID={_ID}")
    assert second == "RCPT TO:<ana@example.com> NOTIFY=FAILURE,DELAY"


async def test_no_other_server_is_and_no_mail_without_a_name() -> None:
    for mail, offers in ((_NAMED, OFFERS), (MAIL, ("DSN", *OFFERS))):
        first, second = await heard(mail, *offers)
        assert "RET=" not in first and second == "RCPT TO:<ana@example.com>"


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=100))
def test_a_value_is_read_as_it_was_and_has_no_character_that_would_end_it(text: str) -> None:
    value = xtext(text)
    assert decoded(value) == text
    assert not set(value) & set(" =\r\n<>") - {"<", ">"}


@pytest.mark.parametrize("text", ["x" * 101, "a\r\nRCPT TO:<b@example.com>", "é", "\0"])
def test_what_could_be_another_command_is_no_value(text: str) -> None:
    with pytest.raises(ValueError):
        xtext(text)
