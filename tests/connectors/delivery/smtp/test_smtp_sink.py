"""The client against smtp-sink, the test server of Postfix (Debian's package `postfix`)."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from connectors.delivery.outcomes import Accepted, InDoubt, NotTried, Outcome, Refused
from connectors.delivery.smtp.opening import Relay, open_session
from connectors.delivery.smtp.session import Session
from connectors.local.engines.engine import free_port
from tests.connectors.delivery.smtp.mail_server import MAIL
from tests.eventually import eventually

_SINK = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
pytestmark = pytest.mark.skipif(_SINK is None, reason="Postfix is not installed")
_MAILS = [MAIL._replace(content=b"Subject: %d\r\n\r\n.\r\n..x\r\n" % n) for n in range(200)]


@asynccontextmanager
async def _sink(*options: str) -> AsyncIterator[Relay]:
    assert _SINK is not None
    port = free_port()
    user = ("-u", getpass.getuser()) if os.geteuid() == 0 else ()
    process = await asyncio.create_subprocess_exec(
        _SINK, *user, *options, f"127.0.0.1:{port}", "100"
    )
    try:
        await eventually(lambda: _listens(port))
        yield Relay("127.0.0.1", port, "client.example", tls="none")
    finally:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def _hand_off(session: Session) -> list[Outcome]:
    return await asyncio.gather(*map(session.hand_off, _MAILS))


@pytest.mark.parametrize("options", [(), ("-p",), ("-8", "-a"), ("-e",)])
async def test_every_mail_arrives_once_and_whole(tmp_path: Path, options: tuple[str, ...]) -> None:
    async with _sink("-D", str(tmp_path / "mails"), *options) as relay:
        session = await open_session(relay)
        assert session.offers("PIPELINING") == (not {"-p", "-e"} & set(options))
        found = await _hand_off(session)
        await session.quit()
    assert {type(each) for each in found} == {Accepted}
    arrived = (tmp_path / "mails").read_bytes().split(b"X-Client-Addr:")[1:]
    assert len(arrived) == len(_MAILS)
    for mail, one in zip(_MAILS, arrived, strict=True):
        assert mail.content.replace(b"\r\n", b"\n") in one


@pytest.mark.parametrize(
    ("options", "first", "others"),
    [
        (("-f", "rcpt"), Refused, Refused),
        (("-r", "mail"), Refused, Refused),
        (("-f", "data"), Refused, Refused),
        (("-r", "."), Refused, Refused),
        (("-Q", "rcpt"), Refused, NotTried),
        (("-q", "data"), NotTried, NotTried),
        (("-q", "."), InDoubt, NotTried),
        (("-Q", "."), Refused, NotTried),
    ],
)
@pytest.mark.parametrize("pipelining", [(), ("-p",)])
async def test_what_becomes_of_mails_that_it_does_not_take(
    options: tuple[str, ...],
    pipelining: tuple[str, ...],
    first: type[Outcome],
    others: type[Outcome],
) -> None:
    async with _sink(*options, *pipelining) as relay:
        session = await open_session(relay)
        found = await _hand_off(session)
        await session.quit()
    assert [type(each) for each in found] == [first, *[others] * (len(_MAILS) - 1)]
