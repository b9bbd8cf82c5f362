"""What needs no key may be called without end: how little of it becomes work, and what is never
left out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import cast
from uuid import UUID

import httpx
import pytest

from api.limits.addresses import FORGERIES, UNSUBSCRIBES
from streams import metrics
from streams.errors import DependencyDownError
from streams.process.reports import Reports
from streams.records.message_id import MessageIds
from streams.records.reported_events import Incoming
from tests.api.recipients.hooks import Hooks
from tests.api.world import Rest
from tests.postgres import sql

_BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}


class Recorded:
    """Stands for Kafka behind the port of reports; `is_down` refuses."""

    def __init__(self) -> None:
        self.sent, self.is_down, self.is_ready = list[Incoming](), False, True

    async def send(self, event: Incoming) -> None:
        await self.send_all([event])

    async def send_all(
        self, events: Sequence[Incoming], letters: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        if self.is_down:
            raise DependencyDownError("down")
        self.sent += events

    def kinds(self) -> list[str]:
        return [event.type for event in self.sent]


@pytest.fixture
def kafka(rest: Rest) -> Recorded:
    recorded = Recorded()
    rest.use(reports=cast("Reports", recorded))
    return recorded


@pytest.fixture
async def program(rest: Rest) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(rest.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://public", headers=_BROWSER
    ) as client:
        yield client


async def message(rest: Rest, ordinal: int = 7) -> str:
    draft = await rest.draft()
    # before links had tokens, so that the id is one
    started = "UPDATE campaigns SET started_at = now() WHERE id = $1 RETURNING number"
    number = await sql(rest.world.pool).fetchval(started, UUID(draft["id"]))
    return MessageIds.of(rest.world.settings).make(number, ordinal, "acme", 0)


async def test_a_picture_that_is_loaded_without_end_is_a_handful_of_records(
    rest: Rest, kafka: Recorded, program: httpx.AsyncClient
) -> None:
    one, other = await message(rest), await message(rest)
    repeats = metrics.TRACKING_REPEATS._value.get()
    for _ in range(300):
        answer = await program.get(f"/t/o/{one}.gif")
        assert (answer.status_code, answer.content[:6]) == (200, b"GIF89a")
    # one a second while it may be a machine's, and one afterwards
    window = rest.services.settings.machine_window.total_seconds()
    assert 1 <= len(kafka.sent) <= window + 3
    assert metrics.TRACKING_REPEATS._value.get() == repeats + 300 - len(kafka.sent)
    kafka.sent.clear()
    await program.get(f"/t/o/{other}.gif")
    assert [event.message_id for event in kafka.sent] == [other]


async def test_a_person_who_opens_after_a_machine_is_not_taken_for_a_repeat(
    rest: Rest, kafka: Recorded, program: httpx.AsyncClient
) -> None:
    one = await message(rest)
    await program.get(f"/t/o/{one}.gif", headers={"User-Agent": "Mozilla/5.0"})
    await program.get(f"/t/o/{one}.gif")
    assert [event.data is not None for event in kafka.sent] == [True, False]


async def test_an_open_that_could_not_be_kept_is_reported_the_next_time(
    rest: Rest, kafka: Recorded, program: httpx.AsyncClient
) -> None:
    one = await message(rest)
    kafka.is_down = True
    assert (await program.get(f"/t/o/{one}.gif")).status_code == 200
    kafka.is_down = False
    await program.get(f"/t/o/{one}.gif")
    assert kafka.kinds() == ["opened"]


async def test_unsubscribing_again_and_again_is_answered_and_at_last_told_to_wait(
    rest: Rest, kafka: Recorded, program: httpx.AsyncClient
) -> None:
    one, other = await message(rest), await message(rest)
    statuses = [(await program.post(f"/u/{one}")).status_code for _ in range(UNSUBSCRIBES.most + 2)]
    assert statuses == [200] * UNSUBSCRIBES.most + [429] * 2
    assert kafka.kinds() == ["unsubscribed"] * UNSUBSCRIBES.most
    refused = await program.post(f"/u/{one}")
    assert int(refused.headers["retry-after"]) <= 600 and "was kept" in refused.text
    assert (await program.post(f"/u/{other}")).status_code == 200


async def test_forged_webhooks_from_an_address_stop_those_of_that_provider_and_tenant_only(
    quiet_hooks: Hooks,
) -> None:
    hooks, post = quiet_hooks, quiet_hooks.provider.post
    headers, body = hooks.about("standard", str(UUID(int=0)))
    hooks.rest.use(reports=cast("Reports", Recorded()))
    forged = {name.lower(): value for name, value in headers.items()}
    forged["webhook-signature"] = "v1,AAAA"
    for _ in range(FORGERIES.most):
        refused = await post("/webhooks/standard/acme", content=body, headers=forged)
        assert refused.status_code == 401
    refused = await post("/webhooks/standard/acme", content=body, headers=headers)
    assert refused.status_code == 503 and refused.headers["retry-after"]
    signed, mailgun = hooks.about("mailgun", str(UUID(int=0)))
    assert (await post("/webhooks/mailgun/acme", content=mailgun, headers=signed)).is_success
    assert (await post("/webhooks/standard/globex", content=body)).status_code == 404


async def test_nothing_is_read_for_a_webhook_that_does_not_exist(quiet_hooks: Hooks) -> None:
    read = list[bytes]()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(b"x")
            yield b"x" * 1_000

    for path in ("/webhooks/standard/globex", "/webhooks/nobody/acme", "/webhooks/ses/A"):
        answer = await quiet_hooks.provider.post(path, content=endless())
        assert (answer.status_code, read) == (404, []), path
