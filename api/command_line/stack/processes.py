"""`campaigns worker|api|bridge|simulate|prepare`: one process of the pipeline in the foreground,
for containers and for debugging.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from api.command_line.terminal import complain
from connectors.local.stack.roles import ROLES

WORKERS = tuple(
    role for role, it in ROLES.items() if it.module == "agents.worker" and role != "bridge"
)


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command("worker")(worker)
    app.command("api", help="Serve REST, tracking and the dashboard.")(
        lambda: _become(ROLES["api"].command())
    )
    app.command("bridge", help="Republish every campaign event to NATS.")(
        lambda: _become(ROLES["bridge"].command())
    )
    app.command("simulate", help="Stand in for pipeline workers, providers and people.")(
        lambda: _become(ROLES["simulate"].command())
    )
    app.command("prepare")(prepare)


def worker(role: Annotated[str, typer.Argument(help=f"one of {', '.join(WORKERS)}")]) -> None:
    """Run one worker until SIGTERM; more workers of a role share its partitions."""
    if role not in WORKERS:
        complain(f"there is no worker {role!r}: one of {', '.join(WORKERS)}")
        raise typer.Exit(2)
    _become(ROLES[role].command())


def prepare(
    role_of: Annotated[
        list[str] | None,
        typer.Option(
            help="File with the CAMPAIGNS_POSTGRES of another process, whose role and password"
            " are made, too, and get the rights of `campaigns roles postgres`; may be repeated."
        ),
    ] = None,
) -> None:
    """Create and migrate the database, create the topics. Repeating it is harmless."""
    _become([sys.executable, "-m", "connectors.setup.prepare", *(role_of or ())])


def _become(command: list[str]) -> None:
    os.execvp(command[0], command)
