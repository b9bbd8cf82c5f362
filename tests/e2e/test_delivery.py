"""A campaign of a tenant with a route: through the whole installation to a mail server, each mail
once, and what the server says is counted.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from streams.records.messages import decode_message
from streams.settings import Settings
from streams.topics import Name, Topics
from tables.throttle.delivering import LEAST
from tests.agents.delivery.given import mail_of
from tests.e2e import world
from tests.e2e.conftest import Running, installed
from tests.eventually import eventually
from tests.faults import raw_kafka
from tests.smtp_server import relay

_SENDER = {"fromName": "Acme", "fromEmail": "news@acme.example"}


@pytest.fixture
def running(settings: Settings, tmp_path: Path) -> Iterator[Running]:
    """With the role `deliver`, and routes to this machine; nobody else reports anything."""
    with installed(settings, tmp_path, {"routes": "any"}) as made:
        made.processes.stop("simulate")
        made.processes.start("deliver", command=[sys.executable, "-m", "agents.worker", "deliver"])
        yield made


async def test_a_campaign_arrives_at_the_tenants_relay_as_mails_each_once(
    running: Running,
) -> None:
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", 200)
    template = await world.template(connection, acme)
    rest, put_off = world.Rest(running.url, acme.key), set[str]()

    def answer(recipient: str) -> str:
        if recipient == "all7@example.com":
            return f"550 5.1.1 <{recipient}>: no such user"
        if recipient == "all9@example.com" and recipient not in put_off:
            put_off.add(recipient)
            return "451 4.7.1 greylisted"
        return "250 OK"

    async with relay() as sink:
        sink.answer = answer
        # before the tenant has a route its messages are for others
        external = await rest.started(template, [acme.segments["all"]], settings=_SENDER)
        await eventually(lambda: _has_ended(rest, external))
        await rest("PUT", "/tenant/routes/relay", _route(sink.port))
        campaign = await rest.started(template, [acme.segments["all"]], settings=_SENDER)
        await eventually(lambda: sink.mails >= 199)
        await rest("POST", f"/campaigns/{campaign}/test-send", {"addresses": ["eve@example.com"]})
        await eventually(lambda: sink.mails >= 200)

        async def is_counted() -> bool:
            stats = await rest("GET", f"/campaigns/{campaign}/stats")
            counts = stats["sentCount"], stats["acceptedCount"], stats["bouncedCount"]
            assert counts == (200, 199, 1)
            return True

        await eventually(is_counted)
        suppressed = await eventually(lambda: rest("GET", "/suppressions"))
        assert [one["channel"] for one in suppressed] == ["email"]
        await asyncio.to_thread(running.processes.stop, "deliver")
        _check_mails(running, campaign, sink.inbox)
    await rest.close()
    await connection.close()


async def test_a_slow_relay_holds_the_campaign_back_and_a_pause_reaches_the_last_hop(
    running: Running,
) -> None:
    people, per_second = 6_000, 100
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", people)
    template = await world.template(connection, acme)
    rest = world.Rest(running.url, acme.key)
    async with relay() as sink:
        limits = {"perSecond": per_second}
        await rest("PUT", "/tenant/routes/relay", _route(sink.port) | {"limits": limits})
        campaign = await rest.started(template, [acme.segments["all"]], settings=_SENDER)
        await eventually(lambda: sink.mails >= 3 * per_second)
        await rest("POST", f"/campaigns/{campaign}/pause")
        arrived = sink.mails
        # a minute's mails are left, and those of a second or so go
        await asyncio.sleep(10)
        assert sink.mails - arrived < 5 * per_second
        on_topic = (await rest("GET", f"/campaigns/{campaign}"))["progress"]["sent"]
        assert on_topic - sink.mails <= LEAST
        await rest("POST", f"/campaigns/{campaign}/resume")
        arrived = sink.mails
        await eventually(lambda: sink.mails > arrived)
        await rest("POST", f"/campaigns/{campaign}/cancel")

        async def is_settled() -> bool:
            stats = await rest("GET", f"/campaigns/{campaign}/stats")
            assert stats["acceptedCount"] + stats["failedCount"] == stats["sentCount"]
            assert stats["acceptedCount"] == sink.mails < stats["sentCount"] < people
            return True

        await eventually(is_settled)
        assert len(set(sink.ids())) == sink.mails
    await rest.close()
    await connection.close()


def _route(port: int) -> dict[str, object]:
    return {
        "channel": "email",
        "provider": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "fromDomains": ["acme.example"],
    }


async def _has_ended(rest: world.Rest, campaign: str) -> bool:
    return bool((await rest("GET", f"/campaigns/{campaign}"))["status"] == "completed")


def _check_mails(running: Running, campaign: str, inbox: list[tuple[str, bytes]]) -> None:
    """Every recipient but the one without a mailbox has one mail, with the id of the message."""
    mails = {to: message_from_bytes(content, policy=policy.SMTP) for to, content in inbox}
    assert len(mails) == len(inbox) == 200
    assert mails.pop("eve@example.com")["Subject"].startswith("[Test] ")
    topic, count = Topics(running.settings).name(Name.MESSAGES), running.settings.partitions
    found = [
        decode_message(record.value or b"")
        for records in raw_kafka.read_all(running.settings.kafka, topic, count)
        for record in records
    ]
    assert len(found) == 401  # of both campaigns, and the test
    messages = {
        message.to: message
        for message in found
        if message.campaign_id == campaign and not message.is_test
    }
    assert set(mails) == set(messages) - {"all7@example.com"}
    for to, mail in mails.items():
        assert mail["Message-ID"] == mail_of(messages[to].message_id)
        assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert mail["Subject"].endswith("the sale starts")
        assert "to the sale" in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
