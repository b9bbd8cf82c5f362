"""What becomes of mails at servers that do as they should, and at others."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.delivery.outcomes import (
    Accepted,
    InDoubt,
    Mail,
    NotTried,
    Outcome,
    Refused,
    Reply,
)
from connectors.delivery.smtp.opening import open_session
from tests.connectors.delivery.smtp.mail_server import (
    MAIL,
    OFFERS,
    PATIENT,
    SOON,
    Client,
    MailServer,
    Script,
    mail,
    mail_server,
)

_LOCK_STEP = ("SIZE 1000000", "8BITMIME")


async def outcomes(script: Script, count: int = 1) -> tuple[MailServer, list[Outcome]]:
    """Hands mails to a server that plays the script, all at once."""
    async with mail_server(script) as server:
        session = await open_session(server.relay())
        found = await asyncio.gather(*(session.hand_off(mail(n)) for n in range(count)))
        await session.quit()
    return server, found


async def test_a_mail_takes_one_round_trip() -> None:
    """The server answers nothing before it has the content of a mail and the next request."""

    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        for number in range(9):
            await client.hear_content()
            await client.take_request()
            await client.tell(f"250 2.0.0 Ok {number}", "250 Ok", "250 Ok", "354 Go on")
        await client.hear_content()
        await client.tell("250 2.0.0 Ok 9")
        assert await client.hear() == "QUIT"
        await client.tell("221 Bye")

    server, found = await outcomes(script, 10)
    assert found == [Accepted(Reply(250, f"2.0.0 Ok {number}")) for number in range(10)]
    [client] = server.clients
    assert client.contents == [mail(number).content + b".\r\n" for number in range(10)]
    assert "RSET" not in client.heard


async def test_at_most_one_content_is_unanswered() -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        await client.hear_content()
        await client.take_request()
        await _expect_silence(client)

    _, found = await outcomes(script, 3)
    assert [type(each) for each in found] == [InDoubt, NotTried, NotTried]


async def test_without_pipelining_every_command_waits_for_its_reply() -> None:
    async def script(client: Client) -> None:
        await client.greet(*_LOCK_STEP)
        for _ in range(2):
            for reply in ("250 Ok", "250 Ok", "354 Go on"):
                await client.hear()
                await _expect_silence(client)
                await client.tell(reply)
            await client.hear_content()
            await _expect_silence(client)
            await client.tell("250 Ok")
        await client.hear()
        await client.tell("221 Bye")

    server, found = await outcomes(script, 2)
    assert found == [Accepted(Reply(250, "Ok"))] * 2
    begin = ["EHLO client.example"]
    one = ["MAIL FROM:<news@acme.example> SIZE=21", "RCPT TO:<ana@example.com>", "DATA"]
    assert server.clients[0].heard == [*begin, *one, *one, "QUIT"]


async def _expect_silence(client: Client) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await client.reader.readexactly(1)


@pytest.mark.parametrize("offers", [OFFERS, _LOCK_STEP])
async def test_a_refused_recipient_is_no_matter_of_the_next_one(offers: tuple[str, ...]) -> None:
    async def script(client: Client) -> None:
        await client.greet(*offers)
        await _serve(client, ["250 Ok", "550 5.1.1 Unknown", "503 5.5.1 No recipient", ""])
        await _serve(client, ["250 Ok", "250 Ok", "354 Go on", "250 Ok"])

    server, found = await outcomes(script, 2)
    assert found == [Refused(Reply(550, "5.1.1 Unknown")), Accepted(Reply(250, "Ok"))]
    heard = server.clients[0].heard
    assert heard.count("RSET") == 1  # the first MAIL was granted, and stays so until then
    assert heard.index("RSET") < len(heard) - 1 - heard[::-1].index("DATA")


async def _serve(client: Client, replies: list[str]) -> None:
    """One mail, each command answered when it comes, with the replies to MAIL, RCPT, DATA and
    content.
    """
    to_mail, to_recipient, to_data, to_content = replies
    while True:
        match (await client.hear()).partition(" ")[0]:
            case "RSET":
                await client.tell("250 Ok")
            case "MAIL":
                await client.tell(to_mail)
                if to_mail[0] != "2" and "PIPELINING" not in client.offers:
                    return
            case "RCPT":
                await client.tell(to_recipient)
                if to_recipient[0] != "2" and "PIPELINING" not in client.offers:
                    return
            case "DATA":
                await client.tell(to_data)
                if to_data[0] == "3":
                    await client.hear_content()
                    await client.tell(to_content)
                return


async def test_a_server_that_wants_content_for_nobody_gets_none() -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.take_request()
        await client.tell("250 Ok", "550 5.1.1 Unknown", "354 Go on")
        assert await client.hear_content() == b".\r\n"
        await client.tell("554 5.5.1 No valid recipients")
        await client.grant()
        await client.hear_content()
        await client.tell("250 Ok")

    server, found = await outcomes(script, 2)
    assert found == [Refused(Reply(550, "5.1.1 Unknown")), Accepted(Reply(250, "Ok"))]
    assert "RSET" not in server.clients[0].heard


async def test_refused_content_ends_the_transaction() -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        await client.hear_content()
        await client.take_request()
        await client.tell("554 5.7.1 Spam", "250 Ok", "250 Ok", "354 Go on")
        await client.hear_content()
        await client.tell("250 Ok")

    server, found = await outcomes(script, 2)
    assert found == [Refused(Reply(554, "5.7.1 Spam")), Accepted(Reply(250, "Ok"))]
    assert "RSET" not in server.clients[0].heard


async def test_content_that_is_refused_before_its_end_is_refused() -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        await client.tell("552 5.3.4 Too large")
        await client.hear_content()
        assert await client.hear() == "QUIT"
        await client.tell("221 Bye")

    _, found = await outcomes(script)
    assert found == [Refused(Reply(552, "5.3.4 Too large"))]


async def test_a_goodbye_while_nothing_is_asked_ends_the_session() -> None:
    gone = asyncio.Event()

    async def script(client: Client) -> None:
        await client.greet()
        await client.tell("421 4.4.2 Timeout")
        await client.stay()
        gone.set()

    async with mail_server(script) as server:
        session = await open_session(server.relay())
        await gone.wait()
        assert not session.is_open
        outcome = await session.hand_off(MAIL)
    assert isinstance(outcome, NotTried)
    assert "421 4.4.2 Timeout" in outcome.reason


async def test_quitting_waits_for_what_was_handed_in_and_takes_nothing_more() -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        await client.hear_content()
        await client.tell("250 Ok")
        await client.hear()
        await client.stay()  # no goodbye

    async with mail_server(script) as server:
        session = await open_session(server.relay(replace(PATIENT, quit=SOON)))
        first = session.hand_off(MAIL)
        quitting = asyncio.create_task(session.quit())
        await asyncio.sleep(0)
        late = session.hand_off(MAIL)
        await quitting
    assert await first == Accepted(Reply(250, "Ok"))
    assert await late == NotTried("the session is being closed")
    assert server.clients[0].heard[-1] == "QUIT"


async def test_a_caller_that_gives_up_costs_nobody_else_anything() -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        for _ in range(2):
            await client.hear_content()
            await client.take_request()
            await client.tell("250 Ok", "250 Ok", "250 Ok", "354 Go on")
        await client.hear_content()
        await client.tell("250 Ok")

    async with mail_server(script) as server:
        session = await open_session(server.relay())
        handed = [session.hand_off(mail(number)) for number in range(3)]
        handed[0].cancel()
        handed[1].cancel()
        assert await handed[2] == Accepted(Reply(250, "Ok"))
        await session.quit()


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (MAIL._replace(recipient="a@b.example>\r\nDATA"), "5.1.3"),
        (MAIL._replace(recipient="a@b.example> SIZE=1"), "5.1.3"),
        (MAIL._replace(recipient="a\n@b.example"), "5.1.3"),
        (MAIL._replace(recipient=""), "5.1.3"),
        (MAIL._replace(sender="a@b.example\r\nRCPT TO:<c@d.example"), "5.1.7"),
        (MAIL._replace(recipient="ü@b.example"), "5.6.7"),
        (MAIL._replace(needs_utf8=True), "5.6.7"),
        (MAIL._replace(content="ü\r\n".encode()), "5.6.3"),
        (MAIL._replace(content=b"x" * 2_000 + b"\r\n"), "5.3.4"),
        (MAIL._replace(content=b"a\n.\r\nMAIL FROM:<>\r\n"), "5.6.0"),
        (MAIL._replace(content=b"a\r.\r\n"), "5.6.0"),
        (MAIL._replace(content=b"a\r\n.\r"), "5.6.0"),
    ],
)
async def test_what_the_server_would_refuse_or_misread_is_not_sent(one: Mail, code: str) -> None:
    async def script(client: Client) -> None:
        await client.greet("PIPELINING", "SIZE 1000")
        await client.stay()

    async with mail_server(script) as server:
        session = await open_session(server.relay())
        outcome = await session.hand_off(one)
        session.abort()
    assert isinstance(outcome, Refused)
    assert not outcome.is_from_server
    assert outcome.reply.text.startswith(code)
    assert server.clients[0].heard == ["EHLO client.example"]


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (MAIL._replace(sender=""), "MAIL FROM:<> SIZE=21"),
        (
            MAIL._replace(sender='"a b"@c.example', content="ü\r\n".encode()),
            'MAIL FROM:<"a b"@c.example> SIZE=4 BODY=8BITMIME',
        ),
        (MAIL._replace(recipient="ü@b.example"), "MAIL FROM:<news@acme.example> SIZE=21 SMTPUTF8"),
    ],
)
async def test_an_extension_is_used_where_the_mail_needs_it(one: Mail, line: str) -> None:
    async def script(client: Client) -> None:
        await client.greet()
        await client.grant()
        await client.hear_content()
        await client.tell("250 Ok")

    async with mail_server(script) as server:
        session = await open_session(server.relay())
        await session.hand_off(one)
        session.abort()
    assert server.clients[0].heard[1] == line


_REPLIES = ("250 Ok", "450 Later", "550 Never", "421 Bye", "close", "reset")
_STEPS = ("MAIL", "RCPT", "DATA", "content")


@settings(max_examples=150)
@given(
    plan=st.lists(
        st.tuples(st.sampled_from(_STEPS), st.sampled_from(_REPLIES)), min_size=1, max_size=6
    ),
    pipelines=st.booleans(),
    wants_content=st.booleans(),
)
def test_an_outcome_is_what_the_server_knows(
    plan: list[tuple[str, str]], pipelines: bool, wants_content: bool
) -> None:
    """`plan`: for each mail the step that goes another way than well, and how. `wants_content`: the
    server says 354 to DATA even without a recipient.
    """
    offers = OFFERS if pipelines else _LOCK_STEP
    had, answered = set[int](), dict[int, str]()

    async def script(client: Client) -> None:
        await client.greet(*offers)
        number, recipient_is_fine, is_begun = -1, False, False

        async def answer(step: str, good: str) -> bool:
            odd, reply = plan[number]
            reply = reply if step == odd and not (step == "DATA" and reply[0] == "2") else good
            if reply == "reset":
                client.reset()
                raise ConnectionResetError
            if reply == "close":
                raise ConnectionResetError
            if step == "content":
                answered[number] = reply
            await client.tell(reply)
            if reply.startswith("421"):
                raise ConnectionResetError
            return reply[0] in "23"

        while True:
            match (await client.hear()).partition(" ")[0]:
                case "RSET":
                    is_begun = False
                    await client.tell("250 Ok")
                case "MAIL":
                    assert not is_begun, "a MAIL in a transaction"
                    number, recipient_is_fine = number + 1, False
                    is_begun = await answer("MAIL", "250 Ok")
                case "RCPT" if not is_begun:
                    await client.tell("503 5.5.1 No MAIL")
                case "RCPT":
                    recipient_is_fine = await answer("RCPT", "250 Ok")
                case "DATA" if recipient_is_fine:
                    if await answer("DATA", "354 Go on"):
                        had.add(int((await client.hear_content()).split()[1]))
                        is_begun = False
                        await answer("content", "250 Ok")
                case "DATA" if wants_content and is_begun:
                    await client.tell("354 Go on")
                    assert await client.hear_content() == b".\r\n"
                    is_begun = False
                    await client.tell("554 No recipients")
                case "DATA":
                    await client.tell("503 5.5.1 No RCPT")
                case "QUIT":
                    await client.tell("221 Bye")
                    return

    async def play() -> list[Outcome]:
        async with mail_server(script) as server:
            session = await open_session(server.relay())
            found = await asyncio.gather(*(session.hand_off(mail(n)) for n in range(len(plan))))
            await session.quit()
        return found

    for number, outcome in enumerate(asyncio.run(play())):
        match outcome:
            case Accepted(reply):
                assert answered[number] == str(reply) == "250 Ok"
            case InDoubt():
                assert number in had and number not in answered
            case Refused(reply):
                assert answered.get(number, str(reply)) == str(reply)
                assert number not in had or number in answered
                assert reply.code >= 400
            case NotTried():
                assert number not in had
