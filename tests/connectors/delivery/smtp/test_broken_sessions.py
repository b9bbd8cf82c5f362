"""Sessions that break off: each mail has the outcome that is true of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from connectors.delivery.outcomes import Accepted, InDoubt, NotTried, Outcome, Refused, Reply
from connectors.delivery.smtp.opening import open_session
from connectors.delivery.smtp.session import Patience
from tests.connectors.delivery.smtp.mail_server import (
    PATIENT,
    SOON,
    Client,
    Script,
    mail,
    mail_server,
)


async def _goodbye_to_mail(client: Client) -> None:
    await client.take_request()
    await client.tell("421 4.3.2 Shutting down")


async def _goodbye_to_recipient(client: Client) -> None:
    await client.take_request()
    await client.tell("250 Ok", "421 4.7.0 Too fast")


async def _goodbye_to_content(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    await client.tell("421 4.7.28 Too many")


async def _closed_before_data(client: Client) -> None:
    await client.take_request()
    await client.tell("250 Ok", "250 Ok")


async def _closed_after_a_refusal(client: Client) -> None:
    await client.take_request()
    await client.tell("250 Ok", "550 5.1.1 Unknown")


async def _silent_on_data(client: Client) -> None:
    await client.take_request()
    await client.tell("250 Ok", "250 Ok")
    await client.stay()


async def _data_granted_by_the_wrong_code(client: Client) -> None:
    await client.take_request()
    await client.tell("250 Ok", "250 Ok", "250 Ok")
    await client.stay()


async def _mail_answered_with_a_question(client: Client) -> None:
    await client.take_request()
    await client.tell("354 Go on")
    await client.stay()


async def _reset_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    client.reset()


async def _closed_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()


async def _silent_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    await client.stay()


async def _half_a_reply_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    client.writer.write(b"250 2.0.0 O")
    await client.stay()


async def _half_of_many_lines_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    await client.tell("250-2.0.0 Ok", "250-and")
    await client.stay()


async def _no_reply_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    await client.tell("HTTP/1.1 400 Bad Request")
    await client.stay()


async def _question_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    await client.tell("354 And now?")
    await client.stay()


async def _endless_reply_after_the_dot(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    while True:
        await client.tell("250-Ok")


async def _accepted_and_garbage(client: Client) -> None:
    await client.grant()
    await client.hear_content()
    await client.tell("250 Ok", "what else?")
    await client.stay()


_IMPATIENT: dict[Script, Patience] = {
    _silent_on_data: replace(PATIENT, data=SOON),
    _silent_after_the_dot: replace(PATIENT, content=SOON),
    _half_a_reply_after_the_dot: replace(PATIENT, content=SOON),
    _half_of_many_lines_after_the_dot: replace(PATIENT, content=SOON),
}


@pytest.mark.parametrize(
    ("script", "first"),
    [
        (_goodbye_to_mail, Refused(Reply(421, "4.3.2 Shutting down"))),
        (_goodbye_to_recipient, Refused(Reply(421, "4.7.0 Too fast"))),
        (_goodbye_to_content, Refused(Reply(421, "4.7.28 Too many"))),
        (_closed_before_data, NotTried("the server closed the connection")),
        (_closed_after_a_refusal, Refused(Reply(550, "5.1.1 Unknown"))),
        (_silent_on_data, NotTried("no reply within 0.3 s")),
        (_data_granted_by_the_wrong_code, NotTried("DATA is answered with 250 Ok")),
        (_mail_answered_with_a_question, NotTried("neither yes nor no: 354 Go on")),
        (_reset_after_the_dot, InDoubt("[Errno 104] Connection reset by peer")),
        (_closed_after_the_dot, InDoubt("the server closed the connection")),
        (_silent_after_the_dot, InDoubt("no reply within 0.3 s")),
        (_half_a_reply_after_the_dot, InDoubt("no reply within 0.3 s")),
        (_half_of_many_lines_after_the_dot, InDoubt("no reply within 0.3 s")),
        (
            _no_reply_after_the_dot,
            InDoubt("b'HTTP/1.1 400 Bad Request' is no reply of SMTP"),
        ),
        (_question_after_the_dot, InDoubt("neither yes nor no: 354 And now?")),
        (_endless_reply_after_the_dot, InDoubt("a reply of more than 16,384 bytes")),
        (_accepted_and_garbage, Accepted(Reply(250, "Ok"))),
    ],
)
async def test_a_session_that_breaks_off_says_what_became_of_each_mail(
    script: Script, first: Outcome
) -> None:
    async def whole(client: Client) -> None:
        await client.greet()
        await script(client)

    async with mail_server(whole) as server:
        session = await open_session(server.relay(_IMPATIENT.get(script, PATIENT)))
        found = await asyncio.gather(*(session.hand_off(mail(n)) for n in range(4)))
        assert not session.is_open or session.pending == 0
        session.abort()
    assert found[0] == first
    assert {type(each) for each in found[1:]} == {NotTried}
