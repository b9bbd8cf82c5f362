"""`campaigns reconcile`: the way out when PostgreSQL or Kafka was restored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError
from rich.table import Table

from api.command_line.options import AsJson
from api.command_line.terminal import complain, out, progress
from connectors.local.engines.engine import RunningEngine
from connectors.local.stack import status
from connectors.local.stack.home import Home
from connectors.setup.reconcile import Report, reconcile
from streams.settings import Settings, from_environment
from tables.database.failures import PostgresError


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command("reconcile")(run)


def run(
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what is found; without it nothing is changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what PostgreSQL and Kafka know of each other after one of them was restored, and mend
    it (docs/operate/restore.md). Exit code 1 when they do not fit and nothing was mended.
    """
    with _servers() as settings:
        try:
            report = asyncio.run(reconcile(settings, repair=repair))
        except (KafkaError, OSError, PostgresError) as failure:
            complain(f"a server does not answer: {type(failure).__name__}: {failure}")
            raise typer.Exit(1) from failure
    if as_json:
        typer.echo(json.dumps(_plain(report)))
    else:
        _show(report)
    raise typer.Exit(0 if report.is_fine or report.is_repaired else 1)


@contextmanager
def _servers() -> Iterator[Settings]:
    """The settings, with the engines of the local stack running: those of one that is stopped are
    started for as long as this takes.
    """
    home = Home.from_environment()
    if not (home.folder / "secrets.env").exists():
        yield from_environment()
        return
    with ExitStack() as stack:
        home.make()
        if (lock := status.claim(home)) is not None:  # else its supervisor runs them
            stack.enter_context(lock)
            for engine in home.engines():
                progress.print(f"Starting {engine.role} …")
                running = RunningEngine(engine, home.logs / f"{engine.role}.log")
                stack.callback(running.stop)
                running.start()
        yield home.settings()


def _show(report: Report) -> None:
    if report.is_fine:
        out.print("PostgreSQL and Kafka fit: there is nothing to mend.")
        return
    complain(report.mismatch)
    if report.findings or report.strays:
        out.print(_table(report))
    else:
        out.print("No campaign is affected.")
    if report.next_number is not None:
        out.print(f"The next campaign gets the number {report.next_number:,}.")
    out.print(
        "Mended. Start the processes again."
        if report.is_repaired
        else "Nothing was changed. Stop every process; `campaigns reconcile --repair` mends it."
    )


def _table(report: Report) -> Table:
    table = Table("tenant", "campaign", "name", "number", "sent", "will be", "because")
    for found in report.findings:
        campaign = found.campaign
        table.add_row(
            campaign.tenant_id,
            str(campaign.id),
            campaign.name,
            str(campaign.number),
            f"{found.heard.sent:,}",
            found.remedy,
            found.reason,
        )
    for number, (tenant, sending) in report.strays.items():
        reason = "PostgreSQL does not know it any more"
        table.add_row(
            tenant, sending.campaign_id, "", str(number), f"{sending.sent:,}", "given up", reason
        )
    return table


def _plain(report: Report) -> dict[str, Any]:
    return {
        "fits": report.is_fine,
        "repaired": report.is_repaired,
        "mismatch": report.mismatch,
        "damagedTopics": report.damaged,
        "nextNumber": report.next_number,
        "campaigns": [
            {
                "tenantId": found.campaign.tenant_id,
                "campaignId": str(found.campaign.id),
                "number": found.campaign.number,
                "sent": found.heard.sent,
                "remedy": found.remedy,
                "reason": found.reason,
            }
            for found in report.findings
        ],
        "unknown": [
            {
                "tenantId": tenant,
                "campaignId": sending.campaign_id,
                "number": number,
                "sent": sending.sent,
            }
            for number, (tenant, sending) in report.strays.items()
        ],
    }
