"""A tenant with a segment and a template, and the verbs in a line each, for tests of campaigns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import msgspec

from streams.contracts.bodies import validated
from streams.contracts.commands import BODIES, COMMANDS, Command, Verb
from streams.settings import Settings
from tables.commands.answers import Answer
from tables.commands.execute import run
from tables.database.connection import Database
from tables.directory.segments import segment_named
from tables.directory.templates import create_template
from tables.tenants.tenants import create_tenant
from tests.postgres import sql

CONTENT = {"subject": "Hello", "text": "Hello {{ firstName }}"}


@dataclass
class World:
    """One tenant."""

    pool: Database
    settings: Settings
    tenant: str
    segment: UUID
    template: UUID
    user: UUID = field(default_factory=uuid4)

    def draft(self, **more: Any) -> dict[str, Any]:
        """The body of a campaign that can be started."""
        references = {"templateId": str(self.template), "segmentIds": [str(self.segment)]}
        body = {"name": "January", "channel": "email", **references, "settings": {}, **more}
        if body["channel"] == "email" and isinstance(body["settings"], dict):
            body["settings"] = {"fromEmail": "news@acme.example", **body["settings"]}
        return body

    def command(
        self, verb: Verb, campaign_id: UUID | None = None, body: object = None, **more: Any
    ) -> Command:
        content = validated(BODIES[verb], body or {}, "forbid")
        return COMMANDS[verb](
            tenant_id=self.tenant,
            correlation_id=more.pop("correlation_id", str(uuid4())),
            campaign_id=campaign_id,
            body=content,
            actor=self.user,
            **more,
        )

    async def answer(
        self,
        verb: Verb,
        campaign_id: UUID | None = None,
        body: object = None,
        key: str = "",
        **more: Any,
    ) -> Answer:
        return await run(
            self.pool,
            self.settings,
            self.command(verb, campaign_id, body, **more),
            scope="rest",
            key=key,
        )

    async def do(
        self, verb: Verb, campaign_id: UUID | None = None, body: object = None, **more: Any
    ) -> dict[str, Any]:
        """The campaign afterwards. Raises the refusal."""
        return (await self.answer(verb, campaign_id, body, **more)).result() or {}

    async def created(self, **more: Any) -> UUID:
        return UUID((await self.do(Verb.CREATE, body=self.draft(**more)))["id"])

    async def started(self, **more: Any) -> UUID:
        campaign_id = await self.created(**more)
        await self.do(Verb.START, campaign_id)
        return campaign_id

    async def outbox(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(topic, type, value) of everything in the outbox, in order."""
        rows = await sql(self.pool).fetch("SELECT topic, type, payload FROM outbox ORDER BY seq")
        return [(row["topic"], row["type"], msgspec.json.decode(row["payload"])) for row in rows]

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """(type, data) of the public ones."""
        return [
            (kind, value["data"])
            for topic, kind, value in await self.outbox()
            if topic == "campaigns.events.v1"
        ]


async def make_world(pool: Database, settings: Settings, tenant: str = "acme") -> World:
    async with pool.transaction() as connection:
        await create_tenant(connection, tenant)
        segment = await segment_named(connection, tenant, "everybody")
        template = await create_template(connection, tenant, "hello", "email", CONTENT)
    return World(pool, settings, tenant, segment.id, template.id)
