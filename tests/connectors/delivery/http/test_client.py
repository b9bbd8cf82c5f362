"""The client of providers, and servers on loopback that behave as badly as they can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.delivery.http.client import (
    MOST_READ,
    NO_CERTIFICATE,
    NO_TLS,
    Client,
    Patience,
)
from connectors.delivery.http.exchange import Answer, Request
from connectors.delivery.outcomes import InDoubt, NotTried
from connectors.local.engines.engine import free_port
from tests.certificates import Authority
from tests.connectors.delivery.providers.given import route
from tests.connectors.routes.given import settings
from tests.http_service import Heard, Service, said, service
from tests.smtp_server import saying

_PATIENT = Patience()
_BODY = b'{"to": "ana@example.com"}'


@asynccontextmanager
async def asking(url: str, patience: Patience = _PATIENT, **changes: Any) -> AsyncIterator[Client]:
    client = Client(settings(**changes), route("webhook", url), patience)
    try:
        yield client
    finally:
        await client.close()


def request(url: str, **headers: str) -> Request:
    return Request(f"{url}/v1/send?a=%2Fb", _BODY, {"Content-Type": "application/json", **headers})


async def test_a_request_arrives_as_it_is_and_its_answer_comes_back() -> None:
    async with service() as there, asking(there.url) as client:
        there.says = lambda heard: said(202, {"id": "1"}, X_Id="1")
        answer = await client.send(request(there.url, Authorization="Bearer secret"))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.form.text("id"), answer.headers["x-id"]) == (202, "1", "1")
    heard = there.last
    assert (heard.method, heard.target, heard.body) == ("POST", "/v1/send?a=%2Fb", _BODY)
    assert heard.headers["authorization"] == "Bearer secret"
    assert heard.headers["content-length"] == str(len(_BODY))
    assert "secret" not in repr(request(there.url, Authorization="Bearer secret"))
    assert "ana" not in repr(request(there.url)) and "/v1" not in repr(request(there.url))


async def test_a_connection_is_used_again_and_one_that_the_server_closed_is_not() -> None:
    async with service() as there, asking(there.url) as client:
        for _ in range(5):
            assert isinstance(await client.send(request(there.url)), Answer)
        assert there.connections == 1
        there.says = lambda heard: said(200, {}, Connection="close")
        for _ in range(2):
            assert isinstance(await client.send(request(there.url)), Answer)
    assert there.connections == 2


async def _closes(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _resets(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def _speaks_no_http(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 smtp.example ESMTP\r\n")
    writer.close()


async def _has_endless_headers(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")
    writer.close()


async def _answers_half(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 2")
    writer.close()


@pytest.mark.parametrize(
    "behaves", [_closes, _resets, _speaks_no_http, _has_endless_headers, _answers_half]
)
async def test_without_an_answer_to_a_whole_request_its_fate_is_in_doubt(behaves: Any) -> None:
    async with service() as there, asking(there.url) as client:
        there.behaves = behaves
        outcome = await client.send(request(there.url))
        assert isinstance(outcome, InDoubt), outcome
        assert "127.0.0.1" not in outcome.reason and "/v1" not in outcome.reason
        assert len(there.heard) == 1  # nothing is repeated by the client itself


async def test_a_server_that_says_nothing_is_waited_for_and_then_in_doubt() -> None:
    async def waits(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with service() as there, asking(there.url, Patience(answer=0.5)) as client:
        there.behaves = waits
        outcome = await client.send(request(there.url))
    assert outcome == InDoubt("did not answer within 0.5 s")


async def test_nothing_was_handed_over_where_no_connection_was_made(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with asking(url) as client:
        outcome = await client.send(request(url))
    assert isinstance(outcome, NotTried) and outcome.reason.startswith("is not reached (")
    async with asking("https://no-such-name.invalid") as client:
        outcome = await client.send(request("https://no-such-name.invalid"))
    assert isinstance(outcome, NotTried)
    authority = Authority(tmp_path)
    async with service(pair=authority.issue("127.0.0.1")) as there:
        async with asking(there.url) as client:
            assert await client.send(request(there.url)) == NotTried(NO_CERTIFICATE)
        async with asking(there.url, routes_ca_file=str(authority.file)) as client:
            assert isinstance(await client.send(request(there.url)), Answer)
    async with saying(b"220 smtp.example ESMTP\r\n", ends=False) as port:
        url = f"https://127.0.0.1:{port}"
        async with asking(url) as client:
            assert await client.send(request(url)) == NotTried(NO_TLS)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async with service() as elsewhere, service() as there, asking(there.url) as client:
        there.says = lambda heard: said(status, b"", Location=elsewhere.url)
        answer = await client.send(request(there.url))
        assert isinstance(answer, Answer) and answer.status == status
        assert elsewhere.connections == 0 and len(there.heard) == 1


async def test_an_endless_body_is_read_to_a_limit_and_its_status_counts() -> None:
    async def endless(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with service() as there, asking(there.url) as client:
        there.behaves = endless
        answer = await client.send(request(there.url))
    assert isinstance(answer, Answer) and (answer.status, len(answer.body)) == (200, MOST_READ)


async def test_a_body_that_stops_in_the_middle_takes_nothing_from_its_status() -> None:
    async def stops(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        await asyncio.Event().wait()

    async with service() as there, asking(there.url, Patience(body=0.2)) as client:
        for behaves in (stops, _ends_early):
            there.behaves = behaves
            answer = await client.send(request(there.url))
            assert isinstance(answer, Answer) and (answer.status, answer.body) == (201, b"{")


async def _ends_early(heard: Heard, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def test_cookies_are_not_kept_and_nothing_is_unpacked() -> None:
    bomb = b"\x1f\x8b not really gzip"
    async with service() as there, asking(there.url) as client:
        there.says = lambda heard: said(200, bomb, Set_Cookie="a=b", Content_Encoding="gzip")
        for _ in range(2):
            answer = await client.send(request(there.url))
            assert isinstance(answer, Answer) and answer.body == bomb
        assert "cookie" not in there.last.headers
        assert there.last.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
async def test_where_only_public_addresses_are_allowed_no_other_is_connected_to(host: str) -> None:
    async with service() as there:
        url = there.url.replace("127.0.0.1", host)
        async with asking(url, routes="public") as client:
            outcome = await client.send(request(url))
    assert isinstance(outcome, NotTried) and "public addresses only" in outcome.reason
    assert there.connections == 0


async def test_a_closed_client_answers_for_what_is_on_its_way_and_begins_nothing() -> None:
    waiting = asyncio.Event()

    async def waits(heard: Heard, writer: asyncio.StreamWriter) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with service() as there, asking(there.url) as client:
        there.behaves = waits
        handing = asyncio.create_task(client.send(request(there.url)))
        await waiting.wait()
        await client.close()
        assert isinstance(await handing, InDoubt)
        assert isinstance(await client.send(request(there.url)), NotTried)
        assert _is_alone(there)


def _is_alone(there: Service) -> bool:
    return there.connections == 1 and len(there.heard) == 1
