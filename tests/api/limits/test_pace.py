"""Bodies that are kept back: refused by their pace, whatever the server does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from api.directory.uploads import Upload
from api.http.limits import BodyLimit
from api.limits.pace import SLOWEST, Pace, TooSlowError
from streams.errors import MalformedError
from tests.api.http.small_app import asked, with_problems


async def _never() -> bytes:
    await asyncio.Event().wait()
    return b""


async def _at_once() -> bytes:
    return b"x"


async def test_what_comes_in_time_passes_and_what_does_not_is_refused_with_the_limit() -> None:
    kept = Pace(grace=0.05)
    assert await kept.keep(_at_once()) == b"x"
    with pytest.raises(TooSlowError, match=r"0 bytes in .* s; the limit is 0.05 s, and a second"):
        await kept.keep(_never())


async def test_each_second_of_waiting_has_to_be_paid_with_bytes() -> None:
    kept, began = Pace(grace=0.05), asyncio.get_running_loop().time()
    with pytest.raises(TooSlowError):
        while True:  # a byte now and then, never as late as the grace
            await kept.keep(asyncio.sleep(0.01, b"x"))
            kept.count(1)
            assert asyncio.get_running_loop().time() - began < 60
    for paid, is_enough in ((59, True), (1, False)):
        kept = Pace(grace=5)
        kept._waited = 60.0
        kept.count(paid * SLOWEST)
        if is_enough:
            await kept.keep(asyncio.sleep(0))
        else:
            with pytest.raises(TooSlowError):
                await kept.keep(asyncio.sleep(60))


async def test_the_servers_own_time_does_not_count() -> None:
    kept = Pace(grace=0.2)
    for _ in range(5):
        await kept.keep(_at_once())
        await asyncio.sleep(0.1)
    assert await kept.keep(_at_once()) == b"x"


async def test_no_body_may_take_for_ever_however_much_has_come() -> None:
    kept = Pace(grace=10, longest=0.03)
    kept.count(1 << 30)
    with pytest.raises(TooSlowError):
        await kept.keep(_never())


async def test_a_file_that_trickles_is_given_up_and_its_thread_is_free() -> None:
    async def trickles() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    upload = Upload(trickles(), patience=0.05)
    with pytest.raises(MalformedError, match=r"too slowly.*The rows before that are in"):
        await asyncio.wait_for(asyncio.to_thread(upload.read), 300)


async def _reads(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("read")(scope, receive, send)


async def test_a_body_that_does_not_come_is_408() -> None:
    app = with_problems()
    app.mount("/", _reads)
    app.add_middleware(BodyLimit, pace=partial(Pace, 0.05))

    async def stops() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    answer = await asyncio.wait_for(asked(app, "POST", "/x", stops()), 300)
    assert answer.status_code == 408
    assert answer.json()["type"] == "urn:campaigns:problem:too-slow"
    assert "too slowly" in answer.json()["detail"]


async def test_after_the_body_the_server_may_wait_for_the_caller_to_go() -> None:
    arriving: list[Message] = [{"type": "http.request", "body": b"x", "more_body": False}]

    async def receive() -> Message:
        if arriving:
            return arriving.pop()
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"x"
        assert (await receive())["type"] == "http.disconnect"

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "path": "/", "raw_path": b"/", "query_string": b"", "headers": []}
    await BodyLimit(waits, pace=partial(Pace, 0.05))(scope, receive, send)
