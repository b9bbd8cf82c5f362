"""`campaigns template create` and `campaigns segment list`: the content and the people that a
campaign names, in the tenant of the API key.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ConfigDict
from rich.table import Table

from api.command_line.client import key_or_default
from api.command_line.options import AsJson, Key
from api.command_line.terminal import out
from connectors.templates.checks import check_template, template_warnings
from streams.contracts.bodies import validated
from streams.contracts.fields import Channel, Name
from streams.errors import ForbiddenError, MalformedError, UnauthorizedError
from streams.settings import from_environment
from tables.database.connection import Database, Session
from tables.directory.segments import list_segments
from tables.directory.templates import create_template
from tables.models import Segment, Template
from tables.tenants.api_keys import ROLES, verify

T = TypeVar("T")
_SHOWN = 1000


class TemplateFile(BaseModel):
    """The content of FILE.json."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    name: Name
    channel: Channel
    content: dict[str, str]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    templates = typer.Typer(help="What is sent.", no_args_is_help=True)
    templates.command("create")(create)
    app.add_typer(templates, name="template")
    segments = typer.Typer(
        help="Who it is sent to; `campaigns import contacts --segment` fills them.",
        no_args_is_help=True,
    )
    segments.command("list")(list_)
    app.add_typer(segments, name="segment")


def create(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.json", help='{"name", "channel", "content": {…}}; - for standard input'
        ),
    ],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Create a template. `content`: email {subject, html, text}, sms and whatsapp {text}, push
    {title, body, link}; it may use {{ firstName }}, {{ contact.attributes.plan }}, {{ campaign.name
    }} and {{ unsubscribeUrl }}.
    """
    try:
        given = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except (OSError, ValueError) as error:
        raise MalformedError(f"{file}: {error}") from error
    wanted = validated(TemplateFile, given, "forbid")
    check_template(wanted.channel, wanted.content)

    async def work(session: Session, tenant: str) -> Template:
        return await create_template(session, tenant, wanted.name, wanted.channel, wanted.content)

    made = asyncio.run(_as_tenant(key, "editor", work))
    for warning in template_warnings(made.content):
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(json.dumps({"id": str(made.id), "name": made.name, "channel": made.channel}))
    else:
        out.print(f"template  {made.name}\nid        {made.id}", markup=False, soft_wrap=True)


def list_(key: Key = None, as_json: AsJson = False) -> None:
    """Show the segments of the tenant by name, 1,000 at most."""

    async def work(session: Session, tenant: str) -> list[Segment]:
        return (await list_segments(session, tenant, limit=_SHOWN))[0]

    found = asyncio.run(_as_tenant(key, "viewer", work))
    if as_json:
        typer.echo(json.dumps([{"id": str(segment.id), "name": segment.name} for segment in found]))
        return
    table = Table("segment", "id")
    for segment in found:
        table.add_row(segment.name, str(segment.id))
    out.print(table)


async def _as_tenant(key: str | None, role: str, work: Callable[[Session, str], Awaitable[T]]) -> T:
    """Does `work` in one transaction, for the tenant of the key. Raises UnauthorizedError and
    ForbiddenError.
    """
    database = Database(from_environment(), "campaigns-directory", max_size=1)
    async with database, database.transaction() as session:
        who = await verify(session, key_or_default(key))
        if who is None:
            raise UnauthorizedError("The API key is unknown, expired or revoked.")
        if ROLES.index(who.role) < ROLES.index(role):
            raise ForbiddenError(f"This needs the role {role}; the key's role is {who.role}.")
        return await work(session, who.tenant_id)
