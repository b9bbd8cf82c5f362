"""What a recipient's mail program asks for: what it is answered, and what arrives in Kafka because
of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr

from connectors.templates.seals import LinkSeals
from streams.process.reports import Reports
from streams.records.link_tokens import LinkTokens
from streams.records.message_id import MessageIds
from streams.settings import Settings
from tables.directory.templates import create_template
from tests.api.recipients.hooks import STARTED
from tests.api.recipients.reported import reported
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql

_URL = "https://shop.example/offer?a=1&b=2"
_CONTENT = {
    "subject": "Hello",
    "html": '<body><a href="https://shop.example/">1</a><a href="https://shop.example/offer?a=1&amp;b=2">2</a></body>',
}
_BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}
_GMAIL = {
    "User-Agent": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0"
    " (via ggpht.com GoogleImageProxy)"
}


@dataclass
class Mail:
    """A message to recipient 7 of a campaign, and a mail program that has it."""

    rest: Rest
    campaign: UUID
    number: int
    id: str
    program: httpx.AsyncClient

    @property
    def unsubscribe(self) -> str:
        return LinkTokens.of(self.rest.world.settings).make(self.id)[0]

    @property
    def tracking(self) -> str:
        return LinkTokens.of(self.rest.world.settings).make(self.id)[1]

    @property
    def forged(self) -> str:
        return self.id[:-1] + ("0" if self.id[-1] != "0" else "1")

    async def events(self) -> list[dict[str, Any]]:
        """Everything in `pipeline.events.v1`."""
        found = await reported(self.rest.world.settings)
        for event in found:
            assert event.pop("timestamp").endswith("Z")
        return found

    def event(self, kind: str, **data: Any) -> dict[str, Any]:
        return {"type": kind, "messageId": self.id, "tenantId": "acme"} | (
            {"data": data} if data else {}
        )


async def _mail(rest: Rest) -> AsyncIterator[Mail]:
    world = rest.world
    async with world.pool.transaction() as connection:
        template = await create_template(connection, world.tenant, "links", "email", _CONTENT)
    draft = await rest.draft(
        templateId=str(template.id), settings={"trackOpens": True, "trackClicks": True}
    )
    campaign = UUID(draft["id"])
    number = await sql(world.pool).fetchval(STARTED, campaign)
    message_id = MessageIds.of(world.settings).make(number, 7, world.tenant, 0)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(rest.app), base_url="http://public", headers=_BROWSER
    ) as program:
        yield Mail(rest, campaign, number, message_id, program)


@pytest.fixture
async def mail(live: Rest) -> AsyncIterator[Mail]:
    await eventually(lambda: live.services.reports.is_ready, 300)
    async for mail in _mail(live):
        yield mail


@pytest.fixture
async def mail_without_kafka(rest: Rest) -> AsyncIterator[Mail]:
    async for mail in _mail(rest):
        yield mail


async def test_an_open_a_click_and_an_unsubscribe_are_in_kafka_when_they_are_answered(
    mail: Mail,
) -> None:
    picture = await mail.program.get(f"/t/o/{mail.tracking}.gif")
    assert (picture.status_code, picture.headers["content-type"], picture.content[:6]) == (
        200,
        "image/gif",
        b"GIF89a",
    )
    assert await mail.events() == [mail.event("opened")]
    click = await mail.program.get(f"/t/c/{mail.tracking}/1")
    assert (click.status_code, click.headers["location"]) == (302, _URL)
    assert await mail.events() == [mail.event("opened"), mail.event("clicked", url=_URL)]
    one_click = await mail.program.post(
        f"/u/{mail.unsubscribe}", data={"List-Unsubscribe": "One-Click"}
    )
    assert one_click.status_code == 200
    assert await mail.events() == [
        mail.event("opened"),
        mail.event("clicked", url=_URL),
        mail.event("unsubscribed"),
    ]
    for answer in (picture, click, one_click):
        assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == (
            "no-store",
            "no-referrer",
        )


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "Mozilla/5.0 Edge/12.246 Mozilla/5.0"},
        {"User-Agent": "Mozilla/5.0"},
        {"Sec-Purpose": "prefetch"},
    ],
)
async def test_machines_are_counted_apart(mail: Mail, headers: dict[str, str]) -> None:
    await mail.program.get(f"/t/o/{mail.tracking}.gif", headers=headers)
    await mail.program.get(f"/t/c/{mail.tracking}/0", headers=headers)
    expected = [
        mail.event("opened", isMachine=True),
        mail.event("clicked", url="https://shop.example/", isMachine=True),
    ]
    assert await mail.events() == expected


@pytest.mark.parametrize(
    "headers", [_GMAIL, {"User-Agent": "YahooMailProxy; https://help.yahoo.com/kb/x.html"}]
)
async def test_a_proxy_that_fetches_when_the_mail_is_opened_is_a_person(
    mail: Mail, headers: dict[str, str]
) -> None:
    await mail.program.get(f"/t/o/{mail.tracking}.gif", headers=headers)
    assert await mail.events() == [mail.event("opened")]


async def test_looking_counts_nothing(mail: Mail) -> None:
    assert (await mail.program.head(f"/t/o/{mail.tracking}.gif")).status_code == 200
    assert (await mail.program.head(f"/t/c/{mail.tracking}/1")).headers["location"] == _URL
    assert (await mail.program.head(f"/u/{mail.unsubscribe}")).status_code == 200
    page = await mail.program.get(f"/u/{mail.unsubscribe}")
    assert page.status_code == 200 and '<form method="post">' in page.text
    assert await mail.events() == []


async def _open_nothing(mail: Mail, *tokens: str) -> None:
    for wrong in tokens:
        assert (await mail.program.get(f"/t/o/{wrong}.gif")).content[:6] == b"GIF89a"
        assert (await mail.program.get(f"/t/c/{wrong}/0")).status_code == 404
        assert (await mail.program.get(f"/u/{wrong}")).status_code == 404
        assert (await mail.program.post(f"/u/{wrong}")).status_code == 404
    assert await mail.events() == []
    assert await sql(mail.rest.world.pool).fetch("SELECT FROM suppressions") == []


async def test_a_forged_or_foreign_token_gets_a_picture_or_404_and_counts_nothing(
    mail: Mail,
) -> None:
    ids, tokens = MessageIds.of(mail.rest.world.settings), LinkTokens.of(mail.rest.world.settings)
    foreign, unknown = ids.make(mail.number, 7, "globex", 0), ids.make(999_999, 7, "acme", 0)
    await _open_nothing(mail, mail.forged, mail.id.upper(), foreign, unknown, "f" * 36, "x")
    changed = [
        one[:12] + ("A" if one[12] != "A" else "B") + one[13:] for one in tokens.make(mail.id)
    ]
    strangers = LinkTokens([bytes(range(32))]).make(mail.id)
    await _open_nothing(mail, *changed, *strangers, *tokens.make(unknown), "A" * 24, "=" * 24)


async def test_who_reads_message_ids_can_neither_unsubscribe_anybody_nor_open_nor_click(
    mail: Mail,
) -> None:
    """A viewer reads them in the ledger, and whoever reads Kafka or NATS has them."""
    await _open_nothing(mail, mail.id)
    # nor does a link that was followed unsubscribe
    assert (await mail.program.post(f"/u/{mail.tracking}")).status_code == 404
    assert (await mail.program.get(f"/t/c/{mail.unsubscribe}/0")).status_code == 404
    assert await mail.events() == []


async def test_links_that_were_sent_before_there_were_tokens_still_lead_where_they_led(
    mail: Mail,
) -> None:
    """A campaign that started before the migration; what it sends afterwards has tokens."""
    statement = "UPDATE campaigns SET has_link_tokens = false WHERE id = $1"
    await sql(mail.rest.world.pool).execute(statement, mail.campaign)
    for tracking, unsubscribing in ((mail.id, mail.id), (mail.tracking, mail.unsubscribe)):
        assert (await mail.program.get(f"/t/o/{tracking}.gif")).status_code == 200
        assert (await mail.program.get(f"/t/c/{tracking}/1")).headers["location"] == _URL
        assert (await mail.program.post(f"/u/{unsubscribing}")).status_code == 200
    kinds = {event["type"] for event in await mail.events()}  # a repeat may be left out
    assert kinds == {"clicked", "opened", "unsubscribed"}
    assert (await mail.program.post(f"/u/{mail.forged}")).status_code == 404


async def test_a_campaign_that_starts_takes_tokens_only(rest: Rest) -> None:
    draft = await rest.draft()
    assert (await rest.admin.post(f"/campaigns/{draft['id']}/start")).status_code == 200
    query = "SELECT has_link_tokens FROM campaigns WHERE id = $1"
    assert await sql(rest.world.pool).fetchval(query, UUID(draft["id"]))


@pytest.mark.parametrize("link", ["2", "-1", "9" * 5000, "x", "1.0"])
async def test_an_unknown_link_is_404_and_leads_nowhere(mail: Mail, link: str) -> None:
    answer = await mail.program.get(
        f"/t/c/{mail.tracking}/{link}", params={"url": "https://evil.example"}
    )
    assert answer.status_code == 404 and "location" not in answer.headers
    assert await mail.events() == []


async def test_a_sealed_destination_is_followed_and_nothing_else_is(mail: Mail) -> None:
    url = "https://shop.example/?e=a+b@c.example&x=ü#y"
    seal = LinkSeals.of(mail.rest.world.settings).seal(mail.id, url)
    page, program = f"/t/d/{mail.id}/{seal}", mail.program
    followed = await program.get(page, params={"u": url})
    location = "https://shop.example/?e=a+b@c.example&x=%C3%BC#y"
    assert (followed.status_code, followed.headers["location"]) == (302, location)
    assert (await program.head(page, params={"u": url})).status_code == 302
    assert await mail.events() == [mail.event("clicked", url=url)]
    other = MessageIds.of(mail.rest.world.settings).make(mail.number, 8, "acme", 0)
    for path, wrong in [
        (page, url + "x"),
        (page, "https://evil.example/"),
        (page, ""),
        (f"/t/d/{mail.forged}/{seal}", url),
        (f"/t/d/{other}/{seal}", url),
        (f"/t/d/{mail.id}/{'A' * 16}", url),
        (f"/t/d/{mail.id}/x", url),
        ("/t/d/x/x", url),
    ]:
        refused = await program.get(path, params={"u": wrong})
        assert (refused.status_code, "location" in refused.headers) == (404, False)
    assert len(await mail.events()) == 1


async def test_a_sealed_destination_is_followed_while_kafka_is_down(
    mail_without_kafka: Mail,
) -> None:
    mail, url = mail_without_kafka, "https://shop.example/"
    seal = LinkSeals.of(mail.rest.world.settings).seal(mail.id, url)
    followed = await mail.program.get(f"/t/d/{mail.id}/{seal}", params={"u": url})
    assert (followed.status_code, followed.headers["location"]) == (302, url)


async def test_without_kafka_the_reader_gets_its_picture_and_page_but_an_unsubscribe_is_not_claimed(
    mail_without_kafka: Mail,
) -> None:
    mail = mail_without_kafka
    assert (await mail.program.get(f"/t/o/{mail.tracking}.gif")).status_code == 200
    assert (await mail.program.get(f"/t/c/{mail.tracking}/1")).headers["location"] == _URL
    answer = await mail.program.post(f"/u/{mail.unsubscribe}")
    assert answer.status_code == 503 and answer.headers["retry-after"]


async def test_an_application_without_kafka_can_be_stopped_at_any_moment() -> None:
    settings = Settings(
        kafka="127.0.0.1:1",
        nats="nats://127.0.0.1:1",
        postgres="",
        message_keys=(SecretStr("00" * 32),),
    )
    for rounds in range(30):
        async with asyncio.timeout(300), Reports(settings):
            for _ in range(rounds):  # of the event loop
                await asyncio.sleep(0)
