"""The demo: two companies with contacts and a round of campaigns on every channel, created and
started through the public API.

Running it again changes nothing while a campaign of its last round is still being sent; afterwards
it starts another round, `… (2)`. Tenants, contacts, segments and templates are made once. Each
run makes an API key of its own, good for 30 days.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from api.demo.content import TENANTS, DemoCampaign, DemoSegment, DemoTenant
from streams.errors import CampaignError, DependencyDownError, NotFoundError
from streams.settings import Settings
from tables.contacts.imports import STATEMENT_TIMEOUT, import_contacts
from tables.database.connection import Database
from tables.directory.examples import install_examples
from tables.directory.segments import count_members, segment_named
from tables.directory.templates import create_template, list_templates
from tables.tenants.api_keys import create_key
from tables.tenants.tenants import create_tenant, get_tenant

_KEY_LIFE = timedelta(days=30)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoResult:
    """The outcome of a run: `keys` has an API key per tenant, `api_key` is the first tenant's, and
    `started` has the ids of the campaigns that this run started, perhaps none.
    """

    api_key: str
    keys: dict[str, str]
    started: tuple[str, ...]


async def run(settings: Settings, api_url: str) -> DemoResult:
    """Make what is missing and start a round unless one is running. Raises DependencyDownError, and
    CampaignError when the API refuses.
    """
    started: list[str] = []
    async with Database(
        settings, "campaigns-demo", statement_timeout=STATEMENT_TIMEOUT
    ) as database:
        keys = {tenant.id: await _tenant(database, tenant) for tenant in TENANTS}
        for tenant in TENANTS:
            api = httpx.AsyncClient(
                base_url=f"{api_url}/api/v1",
                headers={"Authorization": f"Bearer {keys[tenant.id]}"},
                timeout=30,
            )
            async with api:
                started += await _round(database, api, tenant)
    return DemoResult(keys[TENANTS[0].id], keys, tuple(started))


async def _tenant(database: Database, tenant: DemoTenant) -> str:
    """Make the tenant and its contacts, and return a new key of it."""
    async with database.transaction() as session:
        try:
            await get_tenant(session, tenant.id)
        except NotFoundError:
            await create_tenant(session, tenant.id, hourly=tenant.hourly)
        key = await create_key(
            session, tenant.id, is_live=False, expires_at=datetime.now(UTC) + _KEY_LIFE
        )
    for segment in tenant.segments:
        await _segment(database, tenant, segment)
    async with database.transaction() as session:
        await install_examples(session, tenant.id)
    return key.text


async def _segment(database: Database, tenant: DemoTenant, segment: DemoSegment) -> None:
    async with database.transaction() as session:
        found = await segment_named(session, tenant.id, segment.name)
        members = await count_members(session, tenant.id, [found.id])
    if members.get(found.id, 0) < len(segment):
        await import_contacts(
            database, tenant.id, found.id, tenant.rows(segment), on_rejected=lambda rejected: None
        )


async def _round(database: Database, api: httpx.AsyncClient, tenant: DemoTenant) -> list[str]:
    """Start a round of campaigns unless one is running, and return the ids of those started."""
    present = (await _call(api, "GET", "/campaigns?pageSize=100"))["data"]
    names = {campaign.name for campaign in tenant.campaigns}
    ours = [campaign for campaign in present if campaign["name"].partition(" (")[0] in names]
    if any(campaign["status"] == "running" for campaign in ours):
        return []
    suffix = f" ({round_ + 1})" if (round_ := _rounds(ours)) else ""
    started = []
    for campaign in tenant.campaigns:
        body = await _body(database, tenant, campaign, campaign.name + suffix)
        # the Idempotency-Key lets a demo that was interrupted find its campaign again
        created = await _call(api, "POST", "/campaigns", body, f"demo-create-{body['name']}")
        try:
            await _call(
                api,
                "POST",
                f"/campaigns/{created['data']['id']}/start",
                None,
                f"demo-start-{body['name']}",
            )
            started.append(created["data"]["id"])
        except CampaignError as error:  # five others are running, or another demo was faster
            _log.warning("a demo campaign stays a draft: %s", error.detail)
    return started


def _rounds(ours: list[dict[str, Any]]) -> int:
    """Count the rounds of the past, by the campaigns that were started in them."""
    numbers = [
        campaign["name"].partition(" (")[2].rstrip(")") or "1"
        for campaign in ours
        if campaign["status"] != "draft"
    ]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


async def _body(
    database: Database, tenant: DemoTenant, campaign: DemoCampaign, name: str
) -> dict[str, Any]:
    async with database.transaction() as session:
        segment = await segment_named(session, tenant.id, campaign.segment)
        template = await _template(session, tenant, campaign)
    body = {
        "name": name,
        "channel": campaign.channel,
        "templateId": str(template),
        "segmentIds": [str(segment.id)],
        "settings": dict(campaign.settings),
    }
    more = {"throttleConfig": campaign.throttle, "abTestConfig": campaign.ab_test}
    return {**body, **{field: dict(value) for field, value in more.items() if value is not None}}


async def _template(session: Any, tenant: DemoTenant, campaign: DemoCampaign) -> UUID:
    found, _ = await list_templates(session, tenant.id, limit=1000)
    for template in found:
        if template.name == campaign.name:
            return template.id
    return (
        await create_template(session, tenant.id, campaign.name, campaign.channel, campaign.content)
    ).id


async def _call(
    api: httpx.AsyncClient, method: str, path: str, body: Any = None, key: str = ""
) -> dict[str, Any]:
    try:
        answer = await api.request(
            method, path, json=body, headers={"Idempotency-Key": key} if key else None
        )
    except httpx.TransportError as error:
        raise DependencyDownError(
            f"The API at {api.base_url} does not answer ({type(error).__name__})."
        ) from error
    if not answer.is_success:
        problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        raise CampaignError(
            f"The API refused {method} {path}: {problem.get('detail') or answer.status_code}"
        )
    content: dict[str, Any] = answer.json()
    return content
