"""The demo against the real API server, without workers, so that what it starts stays running."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from api.demo import run
from api.demo.content import TENANTS
from connectors.local.engines.engine import free_port
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import Template
from streams.settings import Settings
from tables.directory.examples import SEGMENT
from tests.environment import environment
from tests.eventually import eventually
from tests.postgres import connect as connect_client


@asynccontextmanager
async def api_server(settings: Settings) -> AsyncIterator[str]:
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api.server", env=environment(settings, CAMPAIGNS_API_PORT=str(port))
    )
    url = f"http://127.0.0.1:{port}"

    async def answers() -> bool:
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{url}/livez")).is_success
        except httpx.TransportError:
            return False

    try:
        await eventually(answers, 300)
        yield url
    finally:
        server.terminate()
        await server.wait()


async def test_the_demo_starts_campaigns_on_every_channel_and_a_second_run_changes_nothing(
    settings: Settings,
) -> None:
    async with api_server(settings) as url:
        first = await run.run(settings, url)
        second = await run.run(settings, url)
    assert len(first.started) == sum(len(tenant.campaigns) for tenant in TENANTS)
    assert second.started == ()
    assert first.api_key.startswith("ce_test_") and first.keys.keys() == {
        tenant.id for tenant in TENANTS
    }
    connection = await connect_client(settings.postgres)
    try:
        rows = await connection.fetch("SELECT channel, status, throttle_config FROM campaigns")
        contacts = await connection.fetchval("SELECT count(*) FROM contacts")
        members = await connection.fetchval(
            "SELECT count(*) FROM segment_members WHERE segment_id <> $1", SEGMENT
        )
    finally:
        await connection.close()
    assert {row["status"] for row in rows} == {"running"}
    assert {row["channel"] for row in rows} == {"email", "sms", "whatsapp", "push"}
    assert sum(row["throttle_config"] is not None for row in rows) == 1
    assert contacts == sum(tenant.contacts for tenant in TENANTS)
    assert members == sum(len(segment) for tenant in TENANTS for segment in tenant.segments)


def test_every_template_renders_for_everybody() -> None:
    for tenant in TENANTS:
        segments = {segment.name: segment for segment in tenant.segments}
        for campaign in tenant.campaigns:
            template = Template(
                campaign.channel,
                campaign.content,
                campaign.name,
                Tracking("https://example.com", opens=True),
                Links(),
            )
            for row in tenant.rows(segments[campaign.segment]):
                contact = {"firstName": row.first_name, "attributes": json.loads(row.attributes)}
                assert (
                    template.render(contact, "00000000-0001-8000-8000-000000000000").keys()
                    == campaign.content.keys()
                )


def test_nobody_in_the_demo_is_real() -> None:
    for tenant in TENANTS:
        for segment in tenant.segments:
            rows = list(tenant.rows(segment))
            assert len(rows) == len(segment)
            assert all(
                row.email and row.email.endswith((".example.com", ".example.org")) for row in rows
            )
            assert all(
                row.phone is None or row.phone[5:10] == "55501" for row in rows
            )  # 555-0100 to 555-0199


def test_every_campaign_reaches_all_of_its_segment() -> None:
    columns = {"email": "email", "sms": "phone", "whatsapp": "phone", "push": "push_token"}
    for tenant in TENANTS:
        segments = {segment.name: segment for segment in tenant.segments}
        for campaign in tenant.campaigns:
            assert all(
                getattr(row, columns[campaign.channel])
                for row in tenant.rows(segments[campaign.segment])
            )
