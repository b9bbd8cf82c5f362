"""`campaigns tenant …`: for whoever runs the installation, on the database itself: a tenant is
created with its first API key, suspended, resumed, deleted, and its audit log is shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from api.command_line.options import AsJson
from api.command_line.terminal import complain, out, progress
from api.tenant import schemas
from streams.contracts.envelope import rfc3339
from streams.settings import from_environment
from tables.commands import suspension
from tables.commands.suspension import Suspension
from tables.commands.verbs import SentSoFar
from tables.database.connection import Database, Session
from tables.models import AuditEntry
from tables.stats.materialised import sent_by_number
from tables.tenants.api_keys import NewKey, create_key
from tables.tenants.audit import COMMAND_LINE, Action, list_entries
from tables.tenants.tenants import create_tenant, get_tenant

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="The tenant's id.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit log; no names, no addresses.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(help="Tenants: made, suspended, deleted.", no_args_is_help=True)
    for name, command in (
        ("create", create),
        ("suspend", suspend),
        ("resume", resume),
        ("delete", delete),
        ("audit", audit),
    ):
        group.command(name)(command)
    app.add_typer(group, name="tenant")


def create(
    name: Annotated[
        str, typer.Argument(help="The tenant's id: a-z, 0-9 and -, at most 63 characters.")
    ],
    hourly: Annotated[
        int | None, typer.Option(help="At most so many messages in any hour.")
    ] = None,
    daily: Annotated[int | None, typer.Option(help="At most so many messages in any day.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a tenant and an API key with the role admin. The key is shown once; only its hash is
    stored.
    """

    async def work(session: Session) -> NewKey:
        await create_tenant(session, name, hourly=hourly, daily=daily, by=COMMAND_LINE)
        return await create_key(session, name, by=COMMAND_LINE)

    key = _run(work)
    if as_json:
        typer.echo(json.dumps({"tenantId": name, "apiKey": key.text, "userId": str(key.user_id)}))
        return
    out.print(f"tenant   {name}\nuser     {key.user_id}\nAPI key  {key.text}", soft_wrap=True)
    progress.print("Keep the key: it is not shown again.")


def suspend(name: Name, reason: Reason) -> None:
    """Refuse the tenant's keys and pause its campaigns; scheduled ones wait. Tracking, webhooks and
    unsubscribing go on.
    """
    done = _change(suspension.suspend, name, reason)
    out.print(f"{name} is suspended; campaigns paused: {done.campaigns}")


def resume(name: Name, reason: Reason) -> None:
    """Take a suspension back, or a deletion that has not begun: campaigns go on as they stood."""
    done = _change(suspension.resume, name, reason)
    out.print(f"{name} is resumed; campaigns that go on: {done.campaigns}")
    for campaign_id, why in done.refused.items():
        complain(f"campaign {campaign_id} stays paused: {why}")


def delete(
    name: Name,
    reason: Reason,
    grace: Annotated[
        str, typer.Option(help="When the removal begins, as an ISO 8601 duration; PT1H at least.")
    ] = "P7D",
    confirm: Annotated[
        str | None, typer.Option(help="The name again, instead of being asked for it.")
    ] = None,
) -> None:
    """Suspend the tenant, and remove everything of it when the grace is over; until then `resume`
    takes it back. The audit log stays.
    """
    after = _duration(grace)
    again = confirm if confirm is not None else typer.prompt(f"Type {name} again to delete it")
    if again != name:
        complain(f"nothing was changed: {again!r} is not {name!r}")
        raise typer.Exit(1)
    _change(partial(suspension.ask_for_deletion, grace=after), name, reason)
    at = rfc3339(datetime.now(UTC) + after)
    out.print(f"{name} is suspended and will be removed from {at} on", soft_wrap=True)
    progress.print(f"`campaigns tenant resume {name}` takes that back until then.")


def audit(
    name: Name,
    action: Annotated[Action | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many, newest first.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one entry a line.")] = False,
) -> None:
    """Show the audit log of a tenant, also of one that is deleted."""

    async def work(session: Session) -> list[AuditEntry]:
        found = await list_entries(session, name, action=action, limit=limit)
        if not found:
            await get_tenant(session, name)
        return found

    found = _run(work)
    if as_json:
        for entry in found:
            shown = schemas.AuditEntry.of_row(entry).model_dump(mode="json", by_alias=True)
            typer.echo(json.dumps(shown))
        return
    table = Table("at", "actor", "action", "subject", "reason")
    for entry in found:
        table.add_row(rfc3339(entry.at), entry.actor, entry.action, entry.subject, entry.reason)
    out.print(table)


def _duration(text: str) -> timedelta:
    try:
        return TypeAdapter(timedelta).validate_python(text)
    except ValidationError as error:
        raise typer.BadParameter("an ISO 8601 duration, such as P7D or PT12H") from error


def _change(change: Callable[..., Awaitable[Suspension]], name: str, reason: str) -> Suspension:
    async def work(session: Session) -> Suspension:
        return await change(
            session,
            from_environment(),
            name,
            by=COMMAND_LINE,
            reason=reason,
            at=datetime.now(UTC),
            sent=await _sent(session, name),
        )

    done = _run(work)
    done.log()
    return done


async def _sent(session: Session, tenant: str) -> SentSoFar:
    """Messages sent so far, as they were last materialised: no live view is at hand."""
    counts = await sent_by_number(session, tenant)
    return lambda _, number: counts.get(number, 0)


def _run(work: Callable[[Session], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Database(from_environment(), "campaigns-tenant", max_size=1) as database:
            return await database.once(work)

    return asyncio.run(run())
