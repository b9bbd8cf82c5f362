"""`campaigns create|start|pause|resume|cancel|stats`: one campaign from the terminal, through the
REST API.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from api.command_line.client import Api
from api.command_line.options import AsJson, Key
from api.command_line.terminal import out
from streams.errors import MalformedError

CampaignId = Annotated[UUID, typer.Argument(metavar="CAMPAIGN", help="the campaign's id")]
_VERBS = {
    "start": "Start a campaign now.",
    "pause": "Pause a running campaign.",
    "resume": "Resume a paused campaign; nobody is lost or repeated.",
    "cancel": "Cancel a campaign for good.",
}


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command("create")(create)
    app.command("stats")(stats)
    for verb, sentence in _VERBS.items():
        app.command(verb, help=sentence)(_verb(verb))


def create(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.json", help="the body of POST /campaigns; - for standard input"
        ),
    ],
    key: Key = None,
    start: Annotated[bool, typer.Option("--start", help="start it, too")] = False,
    as_json: AsJson = False,
) -> None:
    """Create a campaign from a JSON file and print it."""
    try:
        body = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except (OSError, ValueError) as error:
        raise MalformedError(f"{file}: {error}") from error
    api = Api(key)
    campaign = api.call("POST", "/campaigns", body)
    _print(api.call("POST", f"/campaigns/{campaign['id']}/start") if start else campaign, as_json)


def stats(campaign: CampaignId, key: Key = None, as_json: AsJson = False) -> None:
    """Print the live stats of a campaign as JSON."""
    _print(Api(key).call("GET", f"/campaigns/{campaign}/stats"), as_json)


def _verb(verb: str) -> Any:
    def command(campaign: CampaignId, key: Key = None, as_json: AsJson = False) -> None:
        _print(Api(key).call("POST", f"/campaigns/{campaign}/{verb}"), as_json)

    return command


def _print(value: Any, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(value))
    else:
        out.print_json(data=value)
