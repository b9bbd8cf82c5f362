"""`campaigns roles`: what PostgreSQL and Kafka have to be told so that every process may do its own
work and nothing else. Prints; changes nothing.
"""

from __future__ import annotations

import re
from typing import Annotated

import typer

from streams.kafka import rights
from tables.installation import roles

_NAME = re.compile(r"[A-Za-z0-9._-]{0,100}")


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(
        help="Print roles of least privilege for PostgreSQL and Kafka.", no_args_is_help=True
    )
    group.command("postgres")(postgres)
    group.command("kafka")(kafka)
    app.add_typer(group, name="roles")


def postgres(
    prefix: Annotated[
        str, typer.Option(help="The roles are PREFIX-api, PREFIX-workers, PREFIX-migrations.")
    ] = "campaigns",
) -> None:
    """Print the SQL that makes the roles, grants them what they need and keeps the API to the rows
    of one tenant, for `psql`; to be repeated after every migration.
    """
    typer.echo("BEGIN;")
    # whoever waits for a table makes everybody wait who comes after
    typer.echo("SET LOCAL lock_timeout = '5s';")
    for statement in roles.statements(_plain(prefix, "--prefix")):
        typer.echo(f"{statement};")
    typer.echo("COMMIT;")


def kafka(
    topic_prefix: Annotated[
        str, typer.Option(envvar="CAMPAIGNS_TOPIC_PREFIX", help="Of the installation's topics.")
    ] = "",
    users: Annotated[
        str, typer.Option(help="The user of a process is this and its name, as campaigns-emit.")
    ] = "campaigns-",
) -> None:
    """Print the lines of kafka-acls.sh that allow each process its topics, groups and transactions.
    $SERVERS names the brokers, $CONFIG a file with the administrator's access.
    """
    prefix = _plain(topic_prefix, "--topic-prefix")
    for line in rights.commands(prefix, _plain(users, "--users")):
        typer.echo(line)


def _plain(name: str, option: str) -> str:
    """The name, which is put between others as it is."""
    if not _NAME.fullmatch(name):
        raise typer.BadParameter(f"{option}: up to 100 letters, digits, dots, _ and -")
    return name
