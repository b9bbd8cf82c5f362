"""A route to a provider over HTTP as a worker uses it, with a provider on loopback."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.delivery.outlets.outlet import Outlet
from agents.delivery.outlets.settling import Answered
from connectors.delivery.classification import Verdict
from connectors.local.engines.engine import free_port
from streams.records.messages import Message
from tables.tenants.routes import Credentials
from tests.connectors.delivery.providers.given import ID, email, route
from tests.connectors.routes.given import settings
from tests.eventually import eventually
from tests.http_service import Heard, Service, said, service

KEY = f"whsec_{b64encode(b'the key that signs the requests.').decode()}"


def outlet(there: Service, **changes: Any) -> Outlet:
    wanted = route("webhook", f"{there.url}/take/secret-path", **changes)
    given = Credentials("", KEY)
    return Outlet(settings(), "acme/hook", wanted, given, datetime.now(UTC))


@asynccontextmanager
async def using(there: Service, **changes: Any) -> AsyncIterator[Outlet]:
    made = outlet(there, **changes)
    try:
        yield made
    finally:
        await made.close()


def _nothing() -> None:
    """Stands for a lane that is not waiting."""


def messages(count: int) -> list[Message]:
    return [email(message_id=f"{ID[:-4]}{number:04x}") for number in range(count)]


async def gives(to: Outlet, *given: Message) -> list[Answered]:
    for _ in given:
        to.take()
    answers = await asyncio.gather(*(to.hand_off(one, lambda: True) for one in given))
    to.landed(len(given))
    return answers


def verdicts(answers: Sequence[Answered]) -> list[Verdict]:
    return [one.verdict for one in answers]


def ids(heard: Heard) -> list[str]:
    data = heard.json["data"]
    return [one["messageId"] for one in (data if isinstance(data, list) else [data])]


async def test_each_message_is_a_request_and_no_more_are_on_their_way_than_connections() -> None:
    on_their_way, most = 0, 0

    async def counts(heard: Heard, writer: asyncio.StreamWriter) -> None:
        nonlocal on_their_way, most
        on_their_way += 1
        most = max(most, on_their_way)
        await eventually(lambda: most == 3)
        on_their_way -= 1
        writer.write(said(200, {}))

    async with service() as there, using(there, limits={"connections": 3}) as to:
        there.behaves = counts
        assert to.room(_nothing) == 3
        sent = messages(10)
        assert verdicts(await gives(to, *sent)) == [Verdict.ACCEPTED] * 10
    assert sorted(ids(heard)[0] for heard in there.heard) == [one.message_id for one in sent]
    assert (most, there.connections) == (3, 3)


async def test_a_batch_is_one_request_with_a_result_for_each_of_its_messages() -> None:
    words = {0: "accepted", 1: "bounced", 2: "failed", 3: "deferred", 4: "odd"}

    def says(heard: Heard) -> bytes:
        results = [
            {"messageId": one, "status": words[int(one[-4:], 16)], "reason": "for ana@example.com"}
            for one in ids(heard)
            if int(one[-4:], 16) in words
        ]
        return said(200, {"results": results})

    async with service(says) as there, using(there, batch=100, limits={"connections": 1}) as to:
        assert to.room(_nothing) == 100
        answers = await gives(to, *messages(6))
    assert len(there.heard) == 1 and there.last.json["type"] == "messages"
    assert verdicts(answers) == [
        *(Verdict.ACCEPTED, Verdict.HARD, Verdict.CONTENT, Verdict.DEFERRED),
        *(Verdict.PROTOCOL, Verdict.PROTOCOL),
    ]
    assert answers[1].reason == "200 for <address>" and answers[1].is_of_message
    assert answers[5].reason == "200 no result for the message"


async def test_a_batch_that_is_refused_is_halved_until_only_the_wrong_one_is_refused() -> None:
    wrong = messages(8)[5].message_id

    def says(heard: Heard) -> bytes:
        return said(422 if wrong in ids(heard) else 204)

    async with service(says) as there, using(there, batch=8, limits={"connections": 1}) as to:
        answers = await gives(to, *messages(8))
    assert verdicts(answers) == [
        Verdict.CONTENT if number == 5 else Verdict.ACCEPTED for number in range(8)
    ]
    assert [len(ids(heard)) for heard in there.heard] == [8, 4, 4, 2, 1, 1, 2]


async def test_the_pause_that_a_provider_asks_for_is_kept_to() -> None:
    async with service(lambda heard: said(429, {}, Retry_After="120")) as there, using(there) as to:
        [answer] = await gives(to, *messages(1))
        assert (answer.verdict, answer.pause) == (Verdict.THROTTLED, timedelta(seconds=120))
        assert not answer.is_of_message
        assert to.room(_nothing) == 0
        breaker = to._breaker
        left = breaker.until - asyncio.get_running_loop().time()
        assert 60 < left <= 120


async def test_a_doubt_stops_the_route_for_a_moment_so_that_there_are_no_more_of_them() -> None:
    async def resets(heard: Heard, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with service() as there, using(there) as to:
        there.behaves = resets
        [answer] = await gives(to, *messages(1))
        assert answer.verdict is Verdict.DOUBT and not answer.is_of_message
        assert to.room(_nothing) == 0
        there.behaves, there.says = None, lambda heard: said(200, {})
        await eventually(lambda: to.room(_nothing) == 1)  # the probe
        assert verdicts(await gives(to, *messages(1))) == [Verdict.ACCEPTED]
        assert to.room(_nothing) == 8
    first, second = there.heard
    assert first.body == second.body
    key = "idempotency-key"
    assert first.headers[key] == second.headers[key] == messages(1)[0].message_id


async def test_a_refused_sender_stops_the_route_and_is_tried_later_than_others() -> None:
    async with service(lambda heard: said(403, {})) as there, using(there) as to:
        [answer] = await gives(to, *messages(1))
        assert (answer.verdict, answer.is_of_message) == (Verdict.CONFIGURATION, True)
        assert to.room(_nothing) == 0


async def test_a_message_for_a_route_that_was_replaced_meanwhile_is_not_sent() -> None:
    async with service() as there, using(there) as to:
        await to.close()
        [answer] = await gives(to, *messages(1))
        assert (answer.verdict, answer.tells_of_route) == (Verdict.ROUTE, False)
        assert there.heard == [] and to.room(_nothing) == 8


async def test_reasons_show_no_address_no_secret_and_no_url() -> None:
    def says(heard: Heard) -> bytes:
        shown = f"{KEY} for ana@example.com and +4915112345678 \u2028\x00"
        return said(400, {"message": shown, "headers": json.dumps(heard.headers)})

    async with service(says) as there, using(there) as to:
        [answer] = await gives(to, *messages(1))
    assert answer.verdict is Verdict.CONTENT
    for secret in (KEY, "ana@", "4915112345678", "secret-path"):
        assert secret not in answer.reason
    gone = Service(port=free_port())
    async with using(gone) as to:
        [answer] = await gives(to, *messages(1))
    assert answer.verdict is Verdict.ROUTE and "secret-path" not in answer.reason


async def test_nothing_is_handed_over_by_a_worker_that_may_have_lost_its_partition() -> None:
    async with service() as there, using(there, batch=10, limits={"connections": 1}) as to:
        first, second = messages(2)
        answers = await asyncio.gather(
            to.hand_off(first, lambda: False), to.hand_off(second, lambda: True)
        )
    assert verdicts(answers) == [Verdict.ROUTE, Verdict.ACCEPTED]
    assert [ids(heard) for heard in there.heard] == [[second.message_id]]


async def test_a_message_that_cannot_be_sent_says_nothing_of_its_route() -> None:
    async with service() as there, using(there) as to:
        there.says = lambda heard: said(503, b"")
        assert verdicts(await gives(to, *messages(1))) == [Verdict.THROTTLED]
        odd = await to._transport.hand_off(email(headers={"X": "\ud800"}), lambda: True)
        assert (odd.verdict, odd.tells_of_route) == (Verdict.CONTENT, False)
        assert to.room(_nothing) == 0


async def test_cut_connections_answer_for_what_is_on_its_way() -> None:
    async def waits(heard: Heard, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with service() as there, using(there, limits={"connections": 2}) as to:
        there.behaves = waits
        handing = asyncio.create_task(gives(to, *messages(4)))
        await eventually(lambda: len(there.heard) == 2)
        to.cut()
        found = verdicts(await handing)
        assert sorted(one.name for one in found) == ["DOUBT", "DOUBT", "ROUTE", "ROUTE"]
