"""`campaigns topics`: create Kafka's topics, or check them against the table."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.table import Table

from api.command_line.options import AsJson
from api.command_line.terminal import complain, out
from connectors.setup import topics
from streams.kafka.access import AccessRefusedError
from streams.settings import Settings, from_environment
from streams.topics import TOPICS, Topics


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command("topics")(run)


def run(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 when something differs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing and show the table; existing topics are never changed."""
    settings = from_environment()
    try:
        created, found = asyncio.run(_create_and_compare(settings, is_check=check))
    except KafkaError as failure:
        complain(
            str(failure)
            if isinstance(failure, AccessRefusedError)
            else f"Kafka at {settings.kafka} does not answer ({type(failure).__name__}): "
            "is it running? `campaigns status` tells"
        )
        raise typer.Exit(1) from failure
    if as_json:
        typer.echo(json.dumps({"created": created, "differences": found}))
    else:
        _show(Topics(settings), created, found)
    raise typer.Exit(1 if found else 0)


async def _create_and_compare(settings: Settings, *, is_check: bool) -> tuple[list[str], list[str]]:
    created = [] if is_check else await topics.create(settings)
    return created, await topics.differences(settings)


def _show(names: Topics, created: list[str], found: list[str]) -> None:
    table = Table("topic", "key", "partitions", "cleanup", "public", "")
    for name, topic in TOPICS.items():
        public = "yes" if topic.is_public else ""
        is_new = "created" if names.name(name) in created else ""
        table.add_row(
            names.name(name),
            topic.key,
            str(names.count(name)),
            topic.config["cleanup.policy"],
            public,
            is_new,
        )
    out.print(table)
    for sentence in found:
        complain(sentence)
