"""Live answers: stats to the letter, progress and reasons for waiting, the ledger's pages, and
server-sent events in time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from connectors.local.engines.engine import RunningEngine
from streams.records.stats import Counts
from streams.settings import Settings
from tables.campaigns.campaign import get_campaign
from tables.models import Campaign
from tables.tenants.api_keys import revoke_key
from tables.throttle.state import CampaignSending, Waiting
from tests.api import specified
from tests.api.campaigns.feeds import feed_sending, feed_stats
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest, serving
from tests.eventually import eventually
from tests.postgres import sql

SPECIFIED = {**specified.STATS, "variants": []}
COUNTS = Counts(
    sent=9800,
    delivered=9500,
    opened=3200,
    clicked=850,
    bounced=200,
    unsubscribed=15,
    complained=2,
    machine_opened=40,
    skipped=200,
    accepted=9720,
)


async def row_of(rest: Rest, campaign: dict[str, Any]) -> Campaign:
    async with rest.world.pool.transaction() as connection:
        return await get_campaign(connection, "acme", UUID(campaign["id"]))


async def announced(rest: Rest, recipients: int, **more: Any) -> Campaign:
    """A running campaign whose audience is known."""
    campaign = await rest.running(**more)
    await sql(rest.world.pool).execute(
        "UPDATE campaigns SET total_recipients = $2 WHERE id = $1", UUID(campaign["id"]), recipients
    )
    return await row_of(rest, campaign)


async def test_stats_are_the_specifications_to_the_letter(live: Rest, settings: Settings) -> None:
    campaign = await announced(live, 10_000)
    await feed_stats(settings, campaign.number, COUNTS, skipped={"suppressed": 200})
    path = f"/campaigns/{campaign.id}/stats"
    await eventually(lambda: _sent(live, path, 9800))
    answer = (await live.of["viewer"].get(path)).json()
    assert answer["success"] is True
    found = answer["data"]
    assert {name: found[name] for name in SPECIFIED} == SPECIFIED and found["campaignId"] == str(
        campaign.id
    )
    assert (found["skippedCount"], found["skipped"], found["machineOpenedCount"]) == (
        200,
        {"suppressed": 200},
        40,
    )
    assert found["acceptedCount"] == 9720
    await feed_stats(
        settings, campaign.number, Counts(sent=1), version=0
    )  # an older version changes nothing
    await feed_stats(settings, campaign.number, Counts(sent=9801), version=2)
    await eventually(lambda: _sent(live, path, 9801))


async def _sent(rest: Rest, path: str, count: int) -> bool:
    return bool((await rest.admin.get(path)).json()["data"]["sentCount"] == count)


async def test_a_campaign_without_facts_has_zeros(live: Rest) -> None:
    campaign = await live.draft()
    found = (await live.admin.get(f"/campaigns/{campaign['id']}/stats")).json()["data"]
    assert {found[name] for name in SPECIFIED if name != "variants"} == {0} and found[
        "updatedAt"
    ] is None


async def test_progress_and_waiting_say_how_far_and_why_not_further(
    live: Rest, settings: Settings
) -> None:
    fresh, quota = await live.running(name="fresh"), await announced(live, 1000)
    until = datetime(2026, 1, 28, 14, 5, tzinfo=UTC)
    sending = CampaignSending(
        campaign_id=str(quota.id),
        is_open=True,
        total=1000,
        ready=1000,
        granted=400,
        sent=300,
        waiting=Waiting(reason="quota", until=until),
    )
    await feed_sending(settings, {quota.number: sending})
    await feed_stats(settings, quota.number, Counts(sent=300, skipped=10))

    async def shown() -> dict[str, Any]:
        found: dict[str, Any] = (await live.admin.get(f"/campaigns/{quota.id}")).json()["data"]
        assert found["progress"]["sent"] == 300 and found["waiting"]
        return found

    found = await eventually(shown)
    assert found["waiting"] == {"reason": "quota", "until": "2026-01-28T14:05:00.000Z"}
    rate, eta = found["progress"].pop("rate"), found["progress"].pop("eta")
    assert found["progress"] == {"sent": 300, "skipped": 10, "inFlight": 100, "remaining": 690}
    assert rate >= 0 and (
        eta is None or datetime.fromisoformat(eta) > datetime.now(UTC) - timedelta(seconds=10)
    )
    other = (await live.admin.get(f"/campaigns/{fresh['id']}")).json()["data"]
    assert other["waiting"] == {"reason": "audience", "until": None}
    paused = (await live.admin.post(f"/campaigns/{quota.id}/pause")).json()["data"]
    assert paused["inFlight"] == 100
    event = await sql(live.world.pool).fetchval(
        "SELECT convert_from(payload, 'UTF8') FROM outbox WHERE type = 'campaign.paused'"
    )
    assert json.loads(event)["data"]["sentCount"] == 300


async def test_recipients_are_paged_by_number_and_by_cursor(live: Rest) -> None:
    campaign = await announced(live, 25)
    await sql(live.world.pool).execute(
        """
        WITH made AS (INSERT INTO contacts (id, tenant_id, email)
                      SELECT gen_random_uuid(), 'acme', 'p' || n || '@example.com'
                        FROM generate_series(0, 24) n
                      RETURNING id, substring(email from '[0-9]+')::int AS n)
        INSERT INTO campaign_recipients
               (id, tenant_id, campaign_id, contact_id, status, failure_reason)
        SELECT recipient_id($1, n), 'acme', $2, id,
               (CASE WHEN n = 7 THEN 'failed' ELSE 'pending' END)::recipient_status,
               CASE WHEN n = 7 THEN 'skipped:suppressed' END
          FROM made""",
        campaign.number,
        campaign.id,
    )
    path = f"/campaigns/{campaign.id}/recipients"
    first = (await live.of["viewer"].get(path)).json()
    assert {**first["meta"], "nextCursor": None} == {
        "page": 1,
        "pageSize": 20,
        "total": 25,
        "totalPages": 2,
        "nextCursor": None,
    }
    assert [row["recipientNumber"] for row in first["data"]] == list(range(20))
    assert {
        "id",
        "contactId",
        "status",
        "sentAt",
        "openedAt",
        "failureReason",
        "messageId",
        "variantId",
    } <= first["data"][0].keys()
    second = (await live.admin.get(f"{path}?page=2")).json()
    assert ([row["recipientNumber"] for row in second["data"]], second["meta"]["nextCursor"]) == (
        list(range(20, 25)),
        None,
    )
    seen, cursor = [], ""
    while True:
        answer = (await live.admin.get(f"{path}?limit=10{cursor}")).json()
        seen += [row["recipientNumber"] for row in answer["data"]]
        if answer["meta"]["nextCursor"] is None:
            break
        cursor = f"&cursor={answer['meta']['nextCursor']}"
    assert seen == list(range(25))
    failed = (await live.admin.get(f"{path}?status=failed")).json()
    assert [
        (row["recipientNumber"], row["failureReason"], row["sentAt"]) for row in failed["data"]
    ] == [(7, "skipped:suppressed", None)]
    assert failed["meta"]["total"] == 1
    for bad in (
        "status=lost",
        "cursor=x",
        "cursor=" + "0" * 32,
        "page=0",
        "pageSize=1001",
        "limit=0",
        "limit=x",
    ):
        problem(await live.admin.get(f"{path}?{bad}"), 422)


async def _events(
    client: httpx.AsyncClient, url: str, key: str
) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with client.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(
            "text/event-stream"
        )
        name = ""
        async for line in answer.aiter_lines():
            if line.startswith("event:"):
                name = line.removeprefix("event:").strip()
            elif line.startswith("data:"):
                yield name, json.loads(line.removeprefix("data:"))


async def test_a_change_reaches_a_reader_of_events_without_being_asked_for(
    live: Rest, settings: Settings, tmp_path: Path
) -> None:
    campaign, log = await announced(live, 1000), tmp_path / "api.log"
    async with serving(settings, log) as url, httpx.AsyncClient(timeout=60) as client:
        page = _events(client, f"{url}/api/v1/campaigns/{campaign.id}/events", live.keys["viewer"])
        overview = _events(client, f"{url}/api/v1/events", live.keys["viewer"])
        for stream, name in ((page, "campaign"), (overview, "campaigns")):
            kind, seen = await anext(stream)
            assert kind == name
        assert seen["campaigns"][0]["id"] == str(campaign.id) and seen["totals"]["sentCount"] == 0
        await feed_stats(settings, campaign.number, Counts(sent=500))
        kind, shown = await asyncio.wait_for(anext(page), 300)
        assert shown["stats"]["sentCount"] == 500
        kind, shown = await asyncio.wait_for(anext(overview), 300)
        assert shown["totals"]["sentCount"] == 500
        await client.post(
            f"{url}/api/v1/campaigns/{campaign.id}/pause",
            headers={"Authorization": f"Bearer {live.keys['sender']}"},
        )
        assert (await asyncio.wait_for(anext(page), 300))[1]["status"] == "paused"
        await page.aclose()
        await overview.aclose()
        foreign = await client.get(
            f"{url}/api/v1/campaigns/{campaign.id}/events",
            headers={"Authorization": f"Bearer {live.keys['stranger']}"},
        )
        problem(foreign, 404)
    written = log.read_text()
    assert "[LIFECYCLE] campaign status changed" in written
    assert not any(
        secret in written
        for secret in (*live.keys.values(), settings.message_keys[0].get_secret_value(), "@example")
    )


async def test_the_events_of_a_revoked_key_end(
    live: Rest, settings: Settings, tmp_path: Path
) -> None:
    await live.draft()
    async with (
        serving(settings, tmp_path / "api.log") as url,
        httpx.AsyncClient(timeout=60) as client,
    ):
        stream = _events(client, f"{url}/api/v1/events", live.keys["viewer"])
        await anext(stream)
        async with live.world.pool.transaction() as connection:
            await revoke_key(connection, "acme", live.keys["viewer"].split("_")[2])
        assert [event async for event in stream] == []


async def test_the_events_of_a_session_end_with_it_and_do_not_keep_it_alive(
    live: Rest, settings: Settings, tmp_path: Path
) -> None:
    await live.draft()
    async with (
        serving(settings, tmp_path / "api.log") as url,
        httpx.AsyncClient(timeout=60, headers={"X-Requested-With": "dashboard"}) as browser,
    ):
        signed_in = await browser.post(f"{url}/session", json={"apiKey": live.keys["viewer"]})
        assert signed_in.status_code == 200
        stream = _events(browser, f"{url}/api/v1/events", "")
        await anext(stream)
        # as if nobody had touched the page since; the stream looks once more before that
        await sql(live.world.pool).execute(
            "UPDATE browser_sessions SET expires_at = now() + interval '12 seconds'"
        )
        ends = "SELECT expires_at FROM browser_sessions"
        left = await sql(live.world.pool).fetchval(ends)
        assert [event async for event in stream] == []
        assert await sql(live.world.pool).fetchval(ends) == left
        assert (await browser.get(f"{url}/session")).status_code == 401


async def test_while_postgresql_is_away_answers_are_503_and_streams_wait_for_it(
    live: Rest, settings: Settings, tmp_path: Path, postgres_engine: RunningEngine
) -> None:
    campaign, admin = await announced(live, 1000), {"Authorization": f"Bearer {live.keys['admin']}"}
    async with (
        serving(settings, tmp_path / "api.log") as url,
        httpx.AsyncClient(timeout=60, headers=admin) as client,
    ):
        path = f"{url}/api/v1/campaigns/{campaign.id}"
        stream = _events(client, f"{path}/events", live.keys["viewer"])
        await anext(stream)
        postgres_engine.stop()
        try:
            problem(await client.get(path), 503)
            problem(await client.post(f"{path}/pause"), 503)
            assert (await client.get(f"{url}/livez")).status_code == 200
        finally:
            # from this thread: the kernel ends the engine with the thread that started it
            postgres_engine.start()

        async def paused() -> bool:
            return (await client.post(f"{path}/pause")).status_code == 200

        await eventually(paused, 300)
        assert (await asyncio.wait_for(anext(stream), 300))[1]["status"] == "paused"
        await stream.aclose()
    assert "Traceback" not in (tmp_path / "api.log").read_text()
