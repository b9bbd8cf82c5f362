"""`campaigns watch`: every campaign of a tenant, live, in the terminal; JSON lines when piped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import httpx
import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from api.command_line.client import Api
from api.command_line.options import Key
from api.command_line.terminal import complain, out
from streams.contracts.waiting import WORDS, WaitingReason

_COLOURS = {
    "running": "blue",
    "completed": "green",
    "paused": "yellow",
    "scheduled": "yellow",
    "cancelled": "red",
}


def register(app: typer.Typer) -> None:
    """Adds the command of this module."""
    app.command("watch")(watch)


def watch(
    key: Key = None,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="end when no campaign is running")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal")] = False,
) -> None:
    """Show progress, rate, counts and why something waits, live. Ends with Ctrl-C."""
    api = Api(key)
    try:
        if out.is_terminal and not as_json:
            with Live(console=out, refresh_per_second=4) as live:
                for seen in _seen(api, until_done):
                    live.update(_drawn(seen))
        else:
            for seen in _seen(api, until_done):
                typer.echo(json.dumps(seen))
    except httpx.TransportError as error:
        complain(f"{api.url} went away ({type(error).__name__})")
        raise typer.Exit(1) from error


def _seen(api: Api, until_done: bool) -> Iterator[dict[str, Any]]:
    """Yields the overview's events. Ends with the stream or, with `until_done`, when no campaign is
    running or scheduled.
    """
    with api.http.stream("GET", "/events", timeout=httpx.Timeout(30, read=None)) as answer:
        if answer.is_error:
            answer.read()
            complain(answer.json()["detail"])
            raise typer.Exit(1)
        for line in answer.iter_lines():
            if line.startswith("data:"):
                seen: dict[str, Any] = json.loads(line.removeprefix("data:"))
                yield seen
                if until_done and all(
                    campaign["status"] not in ("running", "scheduled")
                    for campaign in seen["campaigns"]
                ):
                    return


def _drawn(seen: dict[str, Any]) -> Group:
    table, counts = Table(expand=True, box=None, pad_edge=False), _counts(seen)
    for name in ("campaign", "status", "progress"):
        table.add_column(name)
    for name in ("sent", "per s", *counts):
        table.add_column(name, justify="right")
    table.add_column("what next")
    for campaign in seen["campaigns"]:
        stats, progress = campaign["stats"], campaign["progress"]
        done = stats["sentCount"] + stats["skippedCount"]
        table.add_row(
            Text(campaign["name"], overflow="ellipsis", no_wrap=True),
            Text(campaign["status"], style=_COLOURS.get(campaign["status"], "")),
            ProgressBar(total=max(1, stats["totalRecipients"]), completed=done, width=20),
            f"{stats['sentCount']:,} of {stats['totalRecipients']:,}",
            f"{progress['rate']:,.0f}",
            *(f"{stats.get(field, 0):,}" for field in counts.values()),
            _reason(campaign),
        )
    totals = seen["totals"]
    return Group(
        table,
        Text(
            f"{totals['sentCount']:,} sent, {totals['rate']:,}/s, {totals['openedCount']:,} opened",
            style="dim",
        ),
    )


def _counts(seen: dict[str, Any]) -> dict[str, str]:
    """Column -> field of the stats. Not every provider says that it took a message."""
    counts = {"delivered": "deliveredCount", "opened": "openedCount", "clicked": "clickedCount"}
    if any(campaign["stats"].get("acceptedCount") for campaign in seen["campaigns"]):
        return {"accepted": "acceptedCount", **counts}
    return counts


def _reason(campaign: dict[str, Any]) -> str:
    waiting = campaign["waiting"]
    if waiting is None:
        eta = campaign["progress"]["eta"]
        return f"done about {_clock(eta)}" if eta else ""
    reason: WaitingReason = waiting["reason"]
    until = f" until {_clock(waiting['until'])}" if waiting["until"] else ""
    return WORDS.get(reason, reason) + until


def _clock(instant: str) -> str:
    return datetime.fromisoformat(instant).astimezone().strftime("%H:%M:%S")
