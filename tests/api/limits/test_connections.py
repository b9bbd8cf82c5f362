"""Connections of a real server: unfinished heads and unread answers end, and their number is
limited.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from api.limits.connections import MAX_HEAD, Crowd, limited
from streams.settings import Settings
from tests.eventually import eventually

_SOON = 0.2  # seconds for a head that is never finished, and for an answer that is not read
_ENOUGH = 20.0  # seconds for a head that is sent at once, on a machine that is busy
_QUIET = b"\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
_ASKED = b"GET /x HTTP/1.1\r\nhost: api\r\n\r\n"


def settings(**others: Any) -> Settings:
    keys = (SecretStr("00" * 32),)
    return Settings(kafka="", postgres="", nats="", message_keys=keys, **others)


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] != "/endless":
        await PlainTextResponse("here")(scope, receive, send)
        return

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    await StreamingResponse(endless())(scope, receive, send)


class Server:
    """uvicorn with our connections on a free port."""

    def __init__(self, head: float, **others: Any) -> None:
        self.protocol = limited(settings(**others), head, _SOON)
        self.clients = list[asyncio.StreamWriter]()
        config = uvicorn.Config(_app, port=0, http=self.protocol, lifespan="off", log_config=None)
        self.uvicorn = uvicorn.Server(config)

    @property
    def open(self) -> int:
        return len(self.uvicorn.server_state.connections)

    @property
    def port(self) -> int:
        return int(self.uvicorn.servers[0].sockets[0].getsockname()[1])

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.clients.append(writer)
        return reader, writer


@asynccontextmanager
async def serving(head: float = _SOON, **others: Any) -> AsyncIterator[Server]:
    server = Server(head, **others)
    task = asyncio.create_task(server.uvicorn._serve())
    await eventually(lambda: server.uvicorn.started)
    try:
        yield server
    finally:
        for client in server.clients:
            client.close()
        server.uvicorn.should_exit = server.uvicorn.force_exit = True
        await task


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    with suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 300)
    return b""


@pytest.mark.parametrize(
    "head",
    [b"", b"\r\n", b"GET", b"GET /x HTTP/1.1\r\n", b"GET /x HTTP/1.1\r\nhost: api\r\nx: "],
    ids=["nothing", "a line", "a method", "a request line", "a header"],
)
async def test_a_head_that_does_not_come_ends_the_connection(head: bytes) -> None:
    async with serving() as server:
        reader, writer = await server.connect()
        writer.write(head)
        answer = await _read_all(reader)
        assert answer.startswith(b"HTTP/1.1 408 ") if head else answer == b""
        writer.close()
        await eventually(lambda: server.open == 0)


class Heard(asyncio.Protocol):
    """Keeps what has arrived, also where the connection is reset afterwards: whoever goes on
    sending may meet that before it has read the answer, and a StreamReader forgets it then.
    """

    def __init__(self) -> None:
        self.answer, self.ended = b"", False

    def data_received(self, data: bytes) -> None:
        self.answer += data

    def connection_lost(self, _: Exception | None) -> None:
        self.ended = True


async def test_a_head_that_trickles_has_no_longer_than_one_that_does_not_come() -> None:
    async with serving() as server:
        loop = asyncio.get_running_loop()
        transport, heard = await loop.create_connection(Heard, "127.0.0.1", server.port)
        transport.write(b"GET /x HTTP/1.1\r\nx: ")

        async def ended() -> bool:
            transport.write(b"y")  # a letter at a time until the server does not listen any more
            return heard.ended

        await eventually(ended)
        assert heard.answer.startswith(b"HTTP/1.1 408 ")


async def test_connections_with_unfinished_heads_close_and_others_are_served_meanwhile() -> None:
    async with serving(8.0) as server:
        held = [await server.connect() for _ in range(50)]
        for _, writer in held:
            writer.write(b"GET / HTTP/1.1\r\nhost: api\r\n")
        reader, writer = await server.connect()
        writer.write(_ASKED)
        assert (await asyncio.wait_for(reader.readline(), 300)).startswith(b"HTTP/1.1 200 ")
        assert server.open == 51
        for unfinished, _ in held:
            assert (await _read_all(unfinished)).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await eventually(lambda: server.open == 0)


async def test_the_next_request_of_a_connection_has_a_head_of_its_own_to_finish() -> None:
    async with serving(2.0) as server:
        reader, writer = await server.connect()
        for _ in range(3):
            writer.write(_ASKED)
            assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"here"), 300)
        writer.write(b"GET /x HTTP/1.1\r\n")
        assert (await _read_all(reader)).startswith(b"HTTP/1.1 408 ")


async def test_a_head_without_end_is_431() -> None:
    async with serving(_ENOUGH) as server:
        reader, writer = await server.connect()
        writer.write(b"GET /x HTTP/1.1\r\n" + b"x: y\r\n" * (MAX_HEAD // 6 + 1))
        answer = await _read_all(reader)
        assert answer.startswith(b"HTTP/1.1 431 ") and _QUIET in answer


async def test_what_is_no_http_is_400() -> None:
    async with serving(_ENOUGH) as server:
        reader, writer = await server.connect()
        writer.write(b"NONSENSE\r\n\r\n")
        answer = await _read_all(reader)
        assert answer.startswith(b"HTTP/1.1 400 ") and _QUIET in answer


async def test_an_answer_that_is_not_read_ends_the_connection() -> None:
    async with serving() as server:
        _, writer = await server.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b"GET /endless HTTP/1.1\r\nhost: api\r\n\r\n")
        await eventually(lambda: server.open == 1)
        await eventually(lambda: server.open == 0)
        await eventually(lambda: not server.uvicorn.server_state.tasks)


async def test_above_the_limit_a_connection_is_refused_and_later_taken() -> None:
    async with serving(_ENOUGH, api_connections=16) as server:  # a quarter for one address
        held = [await server.connect() for _ in range(4)]
        reader, writer = await server.connect()
        assert (await _read_all(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        for _, one in held:
            one.close()
        await eventually(lambda: server.open == 0)
        reader, writer = await server.connect()
        writer.write(_ASKED)
        assert (await asyncio.wait_for(reader.readline(), 300)).startswith(b"HTTP/1.1 200 ")


def test_an_address_has_its_share_and_a_trusted_proxy_all_of_them() -> None:
    crowd = Crowd(settings(api_connections=8, trusted_proxies="10.0.0.0/8"))
    assert [crowd.enter("203.0.113.9") for _ in range(3)] == [True, True, False]
    crowd.leave("203.0.113.9")
    assert [crowd.enter("10.1.2.3") for _ in range(7)] == [True] * 6 + [False]
    for _ in range(7):
        crowd.leave("10.1.2.3")
    assert crowd.enter("203.0.113.10")
