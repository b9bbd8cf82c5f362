"""A triggered campaign on the real engines, with kill -9: whoever is taken in gets exactly one
message, and every count says so.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx

from streams.settings import Settings
from streams.topics import Name
from tests.agents.processes.control_workers import produce, read
from tests.e2e import world
from tests.e2e.checker import (
    assert_each_recipient_once,
    most_in_any_window,
    published_on_nats,
    sent_messages,
)
from tests.e2e.conftest import Running
from tests.eventually import eventually

HOURLY = 500  # per six seconds


class Campaign:
    """A triggered campaign over REST, and who has been taken in."""

    def __init__(self, url: str, key: str, campaign_id: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self.id, self._http = (
            campaign_id,
            httpx.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=60),
        )

    async def trigger(self, contacts: list[str], key: str = "", expect: int = 202) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._http.post(
            f"/campaigns/{self.id}/trigger", json={"contactIds": contacts}, headers=headers
        )
        assert answer.status_code == expect, answer.text
        return answer.json().get("data", answer.json())

    async def post(self, verb: str) -> Any:
        return (
            (await self._http.post(f"/campaigns/{self.id}/{verb}"))
            .raise_for_status()
            .json()["data"]
        )

    async def get(self, path: str = "") -> Any:
        return (
            (await self._http.get(f"/campaigns/{self.id}{path}")).raise_for_status().json()["data"]
        )

    async def has_sent(self, count: int) -> bool:
        return bool((await self.get("/stats"))["sentCount"] == count)

    async def close(self) -> None:
        await self._http.aclose()


def command(
    campaign_id: str, contacts: list[str], correlation_id: str
) -> tuple[str, bytes, dict[str, str]]:
    data = {"campaignId": campaign_id, "contactIds": contacts}
    value = {
        "version": "1.0",
        "source": "shop",
        "tenantId": "acme",
        "correlationId": correlation_id,
        "data": data,
    }
    return "acme", json.dumps(value).encode(), {"type": "campaign.trigger"}


async def outcome(settings: Settings, correlation_id: str) -> Any:
    """The `outcome` of a command's result."""

    async def found() -> Any:
        results = await asyncio.to_thread(read, settings, Name.COMMAND_RESULTS)
        return next(
            (
                r.value["data"]["outcome"]
                for r in results
                if r.value["correlationId"] == correlation_id
            ),
            None,
        )

    return await eventually(found, within=300)


async def started(
    running: Running, rest: world.Rest, acme: world.Tenant, connection: Any
) -> Campaign:
    body: dict[str, Any] = {
        "type": "triggered",
        "throttleConfig": {"messagesPerHour": HOURLY},
        "settings": {"fromEmail": "shop@acme.example"},
    }
    return Campaign(
        running.url,
        acme.key,
        await rest.started(await world.template(connection, acme), [], **body),
    )


async def test_everybody_triggered_gets_one_message_through_kills_repeats_pause_and_limits(
    running: Running,
) -> None:
    connection = await world.connect(running.settings.postgres)
    acme = await world.tenant(connection, "acme")
    await world.people(connection, acme, "all", 1_600)
    rest, people = world.Rest(running.url, acme.key), sorted(acme.people["all"])
    campaign = await started(running, rest, acme, connection)
    shown = await campaign.get()
    assert (shown["status"], shown["totalRecipients"], shown["waiting"]) == ("running", 0, None)

    first = await campaign.trigger(people[:700], "order-1")
    assert first == {"accepted": 700, "refused": {}}
    running.processes.kill("control")
    running.processes.kill("emit")
    assert await campaign.trigger(people[:700], "order-1") == first
    assert await campaign.trigger([*people[650:1_100], str(uuid4())]) == {
        "accepted": 400,
        "refused": {"re-entry": 50, "unknown": 1},
    }
    await eventually(lambda: campaign.has_sent(1_100), within=300)

    await campaign.post("pause")
    problem = await campaign.trigger(people[1_100:], expect=409)
    assert "paused" in problem["detail"] and "running" in problem["detail"]
    await campaign.post("resume")
    produce(
        running.settings,
        Name.COMMANDS,
        [command(campaign.id, people[1_090:], f"order-{n}") for n in (2, 2, 3)],
    )
    assert await outcome(running.settings, "order-2") == {
        "accepted": 500,
        "refused": {"re-entry": 10},
    }
    assert await outcome(running.settings, "order-3") == {
        "accepted": 0,
        "refused": {"re-entry": 510},
    }
    running.processes.kill("control")
    await eventually(lambda: campaign.has_sent(1_600), within=300)

    shown = await campaign.get()
    assert (shown["status"], shown["totalRecipients"], shown["waiting"]) == ("running", 1_600, None)
    assert {name: shown["progress"][name] for name in ("sent", "remaining", "inFlight")} == {
        "sent": 1_600,
        "remaining": 0,
        "inFlight": 0,
    }
    stats = await campaign.get("/stats")
    assert (stats["totalRecipients"], stats["sentCount"], stats["skippedCount"]) == (
        1_600,
        1_600,
        0,
    )
    await campaign.post("cancel")
    messages = sent_messages(running.settings)
    assert_each_recipient_once(messages, {campaign.id: acme.people["all"]})
    assert [m.contact_id for m in sorted(messages, key=lambda m: m.ordinal)] == people
    assert most_in_any_window(messages, timedelta(seconds=6)) <= HOURLY

    async def events() -> bool:
        seen = await published_on_nats(running.settings, "campaign.*")
        kinds = {subject: len(found) for subject, found in seen.items()}
        return kinds == {
            f"campaign.{kind}": 1
            for kind in ("created", "started", "paused", "resumed", "cancelled")
        }

    await eventually(events, within=300)
    for client in (campaign, rest):
        await client.close()
    await connection.close()
