"""The tables that the stack's commands print on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from api.command_line.stack.doctor import Finding
from api.command_line.terminal import out, progress
from connectors.local.stack.status import StackStatus
from connectors.local.stack.unit import State

_COLOURS = {
    State.READY: "green",
    State.STARTING: "yellow",
    State.BACKING_OFF: "red",
    State.STOPPED: "dim",
}


def show_addresses(status: StackStatus, link: str = "") -> None:
    """Prints every address to open or connect to; `link` is one to the dashboard that signs in."""
    addresses, table = status.addresses, Table(show_header=False)
    table.add_row("Dashboard", link or addresses["api"])
    table.add_row("API documentation", addresses["api"] + "/docs")
    table.add_row("Kafka", addresses["kafka"])
    table.add_row("PostgreSQL", addresses["postgres"])
    table.add_row("NATS", addresses["nats"])
    table.add_row("Metrics", addresses["metrics"])
    if status.apiKey:
        table.add_row("Demo API key", status.apiKey)
    longest = max(map(len, [*addresses.values(), link, status.apiKey or ""]))
    wide = Console(
        width=max(out.width, longest + 30)
    )  # wider than the terminal: a link in two pieces cannot be copied
    wide.print(table)
    if link:
        progress.print(
            "The link to the dashboard signs one browser in, once, within 10 minutes;"
            " `campaigns sign-in` prints another.",
            soft_wrap=True,
        )


def show_processes(status: StackStatus) -> None:
    table = Table("process", "pid", "state", "lag", "records/s", "restarts", "last failure")
    for it in status.processes:
        state = f"[{_COLOURS[it.state]}]{it.state}[/]"
        numbers = [
            "" if value is None else f"{value:,}" for value in (it.lag, it.rate, it.restarts)
        ]
        table.add_row(it.name, str(it.pid or ""), state, *numbers, it.failure[:120])
    out.print(table)


def show_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_fine else "[bold red]✗[/]"
        out.print(f"{mark} {finding.subject}: {finding.sentence}", soft_wrap=True)
