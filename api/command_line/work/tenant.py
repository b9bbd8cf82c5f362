"""`campaigns tenant create`: a tenant and its first API key."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from api.command_line.terminal import out, progress
from streams.settings import from_environment
from tables.database.connection import Database
from tables.tenants.api_keys import NewKey, create_key
from tables.tenants.tenants import create_tenant


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(help="Tenants and their limits.", no_args_is_help=True)
    group.command("create")(create)
    app.add_typer(group, name="tenant")


def create(
    name: Annotated[
        str, typer.Argument(help="The tenant's id: a-z, 0-9 and -, at most 63 characters.")
    ],
    hourly: Annotated[
        int | None, typer.Option(help="At most so many messages in any hour.")
    ] = None,
    daily: Annotated[int | None, typer.Option(help="At most so many messages in any day.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create a tenant and an API key with the role admin. The key is shown once; only its hash is
    stored.
    """
    key = asyncio.run(_create(name, hourly, daily))
    if as_json:
        typer.echo(json.dumps({"tenantId": name, "apiKey": key.text, "userId": str(key.user_id)}))
        return
    out.print(f"tenant   {name}\nuser     {key.user_id}\nAPI key  {key.text}", soft_wrap=True)
    progress.print("Keep the key: it is not shown again.")


async def _create(name: str, hourly: int | None, daily: int | None) -> NewKey:
    database = Database(from_environment(), "campaigns-tenant", max_size=1)
    async with database, database.transaction() as session:
        await create_tenant(session, name, hourly=hourly, daily=daily)
        return await create_key(session, name)
