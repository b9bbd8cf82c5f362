"""A mailbox of bounces, read from a server on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from connectors.bounces.mailbox import MOST, MailboxError, visit
from connectors.bounces.mails import READ
from connectors.local.engines.engine import free_port
from streams.contracts.routes import BounceMailbox
from streams.errors import DependencyDownError
from tables.tenants.routes import Credentials
from tests.certificates import Authority
from tests.connectors.bounces import samples
from tests.connectors.bounces.imap_server import LOGIN, Mailbox, mailbox
from tests.connectors.routes.given import settings
from tests.smtp_server import PASSWORD, USER, saying

_LET_IN = Credentials(USER, PASSWORD)


class Kept:
    """What was taken. Before the mail with the number `fails_at` nothing fails."""

    def __init__(self, server: Mailbox, fails_at: int = -1, *, may_move: bool = True) -> None:
        self.mails = list[bytes]()
        self._server, self._fails_at, self._may_move = server, fails_at, may_move

    async def __call__(self, raw: bytes) -> bool:
        if len(self.mails) == self._fails_at:
            raise DependencyDownError("Kafka does not answer.")
        # nothing is marked before it is kept
        [number] = [uid for uid, one in self._server.letters.items() if one.content[:READ] == raw][
            :1
        ]
        assert not self._server.letters[number].is_seen
        self.mails.append(raw)
        return self._may_move


def there(server: Mailbox, **changes: Any) -> BounceMailbox:
    given = {"host": "localhost", "port": server.port, "tls": "none", "moveTo": "Done"}
    return BounceMailbox.model_validate(given | changes)


async def test_what_is_new_is_kept_marked_and_moved_and_nothing_is_read_twice() -> None:
    mails = [samples.POSTFIX, samples.QMAIL, b"Subject: caf\xe9\r\n\r\n\0\xff (1 FETCH {3}\r\n)"]
    async with mailbox() as server:
        server.put(*mails)
        kept = Kept(server)
        assert await visit(settings(), there(server), _LET_IN, kept) == 3
        assert kept.mails == mails
        assert {(one.folder, one.is_seen) for one in server.letters.values()} == {("Done", True)}
        assert await visit(settings(), there(server), _LET_IN, kept) == 0
    assert LOGIN in server.heard
    assert not any("EXPUNGE" in line.upper() or "DELETED" in line.upper() for line in server.heard)


async def test_without_a_folder_to_move_to_or_a_server_that_moves_mails_stay() -> None:
    for can_move, changes in ((True, {"moveTo": None}), (False, {})):
        async with mailbox() as server:
            server.can_move = can_move
            server.put(samples.POSTFIX)
            assert await visit(settings(), there(server, **changes), _LET_IN, Kept(server)) == 1
            [letter] = server.letters.values()
            assert (letter.folder, letter.is_seen) == ("INBOX", True)


async def test_what_somebody_should_look_at_stays() -> None:
    async with mailbox() as server:
        server.put(samples.complaint())
        await visit(settings(), there(server), _LET_IN, Kept(server, may_move=False))
        assert [one.folder for one in server.letters.values()] == ["INBOX"]


async def test_what_is_not_kept_stays_unread_and_comes_again() -> None:
    mails = [samples.POSTFIX, samples.QMAIL, samples.EXIM]
    async with mailbox() as server:
        server.put(*mails)
        with pytest.raises(DependencyDownError):
            await visit(settings(), there(server), _LET_IN, Kept(server, fails_at=1))
        assert [one.is_seen for one in server.letters.values()] == [True, False, False]
        again = Kept(server)
        assert await visit(settings(), there(server), _LET_IN, again) == 2
        assert again.mails == mails[1:]


async def test_of_a_large_mail_the_begin_is_read_and_of_many_the_first() -> None:
    async with mailbox() as server:
        server.put(samples.POSTFIX + b"x" * 3 * READ)
        kept = Kept(server)
        await visit(settings(), there(server), _LET_IN, kept)
        assert [len(raw) for raw in kept.mails] == [READ]
        server.put(*(b"Subject: %d\r\n\r\n" % number for number in range(MOST + 1)))
        assert await visit(settings(), there(server), _LET_IN, Kept(server)) == MOST
        assert await visit(settings(), there(server), _LET_IN, Kept(server)) == 1


@pytest.mark.parametrize("command", ["LOGIN", "SELECT", "UID SEARCH", "UID FETCH", "UID STORE"])
async def test_a_refusal_is_told_without_the_servers_words(command: str) -> None:
    async with mailbox() as server:
        server.put(samples.POSTFIX)
        server.refuses = command
        with pytest.raises(MailboxError) as wrong:
            await visit(settings(), there(server), _LET_IN, Kept(server))
        assert "secret" not in str(wrong.value) and PASSWORD not in str(wrong.value)


async def test_a_server_that_says_too_much_is_left() -> None:
    async with mailbox() as server:
        server.put(samples.POSTFIX)
        server.floods = True
        with pytest.raises(MailboxError):
            await visit(settings(), there(server), _LET_IN, Kept(server))


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"\0\xff\r\n" * 100,
        b"* BYE\r\n",
        b"* OK\r\n* CAPABILITY\r\n" + b"* x\r\n" * 20_000,
        b"* OK\r\n" + b"+ \r\n" * 2_000,
        b"* OK\r\n* 1 FETCH {99999999999999999999}\r\n",
        b"* PREAUTH\r\n* SEARCH {-1}\r\n" + b"( " * 2_000,
    ],
)
async def test_a_server_that_says_anything_else_is_an_error_and_no_more(lines: bytes) -> None:
    async with saying(lines, b"A OK\r\n") as port:
        wrong = BounceMailbox(host="localhost", port=port, tls="none")
        with pytest.raises(MailboxError):
            await visit(settings(), wrong, _LET_IN, _nothing, patience=0.5)


async def _nothing(raw: bytes) -> bool:
    raise AssertionError("nothing comes from such a server")


async def test_a_server_that_is_away_or_may_not_be_reached_is_an_error() -> None:
    async with mailbox() as server:
        with pytest.raises(MailboxError):
            await visit(settings(), there(server, port=free_port()), _LET_IN, Kept(server))
        with pytest.raises(MailboxError, match="CAMPAIGNS_ROUTES"):
            await visit(settings(routes="public"), there(server), _LET_IN, Kept(server))
        assert server.heard == []


async def test_with_tls_the_certificate_has_to_be_the_servers(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with mailbox(authority.issue("localhost")) as server:
        server.put(samples.POSTFIX)
        with pytest.raises(MailboxError):
            await visit(settings(), there(server, tls="tls"), _LET_IN, Kept(server))
        known = settings(routes_ca_file=str(authority.file))
        assert await visit(known, there(server, tls="tls"), _LET_IN, Kept(server)) == 1
        # another name than that of the certificate
        with pytest.raises(MailboxError):
            other = there(server, tls="tls", host="127.0.0.1")
            await visit(known, other, _LET_IN, Kept(server))
