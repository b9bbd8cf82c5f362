"""`campaigns job NAME`: one background job now, in the foreground."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from api.command_line.options import AsJson
from api.command_line.terminal import complain
from tables.database.job_runs import JOBS


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command("job")(run)


def run(
    name: Annotated[str, typer.Argument(help=f"one of {', '.join(JOBS)}")], as_json: AsJson = False
) -> None:
    """Run a background job now and say what it did. Harmless while workers run it, too."""
    if name not in JOBS:
        complain(f"there is no job {name!r}: one of {', '.join(JOBS)}")
        raise typer.Exit(2)
    # A process of its own: the jobs are in `agents`, which this package may not import.
    command = [sys.executable, "-m", "agents.jobs.run_once", name, *(["--json"] if as_json else [])]
    os.execvp(command[0], command)
