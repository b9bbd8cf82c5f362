"""The command line, `campaigns --help`: a terminal for the stack on this machine and for a tenant's
campaigns.

`stack` has the commands that start and examine processes, `work` those of a tenant; `client` is the
REST API as they use it, `options` what several commands ask for. Imports the demo, the connectors'
local stack and the stores; nothing of `api` imports from here.
"""

from __future__ import annotations

import os
import sys

import typer
from pydantic import ValidationError

from api.command_line.stack import bench, job, processes, reconcile, roles, stack, topics
from api.command_line.terminal import complain
from api.command_line.work import (
    campaigns,
    imports,
    route,
    sender_domain,
    sign_in,
    template,
    tenant,
    watch,
)
from connectors.local.engines.engine import EngineError
from connectors.local.stack.home import Home
from connectors.local.stack.home_folder import HomeError
from streams.errors import CampaignError, DependencyDownError
from streams.settings import from_environment, sentences
from tables.database import probe

app = typer.Typer(
    help="Turns “send this to these segments” into exactly one message per recipient.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
stack.register(app)
topics.register(app)
roles.register(app)
reconcile.register(app)
processes.register(app)
job.register(app)
campaigns.register(app)
imports.register(app)
template.register(app)
tenant.register(app)
sender_domain.register(app)
route.register(app)
sign_in.register(app)
watch.register(app)
bench.register(app)

# These read the caller's own environment, where a server's address means "do not start yours".
_STACK = ("up", "down", "reset", "status", "doctor", "reconcile")


@app.callback()
def _environment(context: typer.Context) -> None:
    if context.invoked_subcommand not in _STACK:
        join_stack()


def join_stack() -> None:
    """Gives this process the environment of the local stack in CAMPAIGNS_HOME, if there is one; the
    caller's own variables win.
    """
    home = Home.from_environment()
    if (home.folder / "secrets.env").exists():
        os.environ.update(home.environment())


def main() -> None:
    """The entry point. Exit codes: 0 done, 1 it failed (one sentence on stderr says why), 2 wrong
    usage, 130 interrupted.
    """
    try:
        app()
    except ValidationError as wrong:
        if any(error["type"] == "missing" for error in wrong.errors()):
            complain(
                f"there is no stack in {Home.from_environment().folder}:"
                " `campaigns up` makes one; or set"
            )
        for sentence in sentences(wrong):
            complain(sentence)
        sys.exit(1)
    except (HomeError, EngineError, CampaignError) as failure:
        is_down = isinstance(failure, DependencyDownError)
        complain((is_down and probe.refusal(from_environment())) or str(failure))
        for field in failure.errors if isinstance(failure, CampaignError) else ():
            if field.message not in str(failure):
                complain(f"{field.field}: {field.message}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
