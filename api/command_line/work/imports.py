"""`campaigns import`: a file becomes contacts and members of a segment, or suppressions."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from api.command_line.terminal import complain, out
from api.command_line.work.import_reports import lists, shown
from streams.settings import from_environment
from tables.contacts.files import ContactFile, Format
from tables.contacts.headings import targets
from tables.contacts.imports import STATEMENT_TIMEOUT, import_contacts
from tables.contacts.usable_rows import COUNTRIES
from tables.database.connection import Database
from tables.database.failures import translated
from tables.directory.segments import segment_named
from tables.directory.suppression_files import SuppressionFile, import_suppressions
from tables.files.lines import Lines
from tables.tenants.tenants import get_tenant

_NDJSON = (".ndjson", ".jsonl", ".json")
Source = Annotated[
    str,
    typer.Argument(metavar="FILE", help="CSV with a header, or NDJSON; - reads standard input."),
]
CsvSource = Annotated[
    str, typer.Argument(metavar="FILE", help="CSV with a header; - reads standard input.")
]
Rejects = Annotated[
    Path | None,
    typer.Option(help="Where rows that did not go in are listed; otherwise FILE.rejects.csv."),
]
Country = Annotated[
    str | None,
    typer.Option(help="Country of phone numbers without a country code, such as DE (ISO 3166-1)."),
]
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=FIELD",
        help="What a column of a CSV is, where its heading does not say so: a field of contacts, "
        "attributes.NAME, or nothing to ignore it. May be given again.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the summary as one line, also on a terminal.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(help="Bring data in.", no_args_is_help=True)
    group.command("contacts")(contacts)
    group.command("suppressions")(suppressions)
    app.add_typer(group, name="import")


def contacts(
    file: Source,
    tenant: Annotated[str, typer.Option(help="Whose contacts they are.")],
    segment: Annotated[
        str | None, typer.Option(help="Name or id of the segment they join; a new name creates it.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format", help="csv or ndjson; otherwise the name or the first character tells."
        ),
    ] = None,
    mapped: Mapped = None,
    country: Country = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Create or update contacts. Columns: id, externalId, email, phone, pushToken, firstName,
    lastName, timeZone, locale, also as Mailchimp, HubSpot, Klaviyo, Brevo, Shopify, Google Contacts
    and Outlook name them; every other one becomes an attribute. A row is identified by id,
    externalId or address, in that order; an id that is not one of ours is the externalId. An empty
    field leaves what is there; one that cannot be used is left out and listed in FILE.warnings.csv.
    A bad row does not stop the others. Prints a summary as JSON.
    """
    if kind not in (None, "csv", "ndjson"):
        raise typer.BadParameter("csv or ndjson", param_hint="--format")
    _check_country(country)
    with _opened(file) as source:
        found: Format = "ndjson" if (kind or _kind(file, source)) == "ndjson" else "csv"
        if mapped and found != "csv":
            raise typer.BadParameter("only a CSV has columns", param_hint="--map")
        read = ContactFile(Lines(source), found, targets(mapped or ()), country)
        run = _Run(file, _size(source), tenant, rejects)
        _show(asyncio.run(run.contacts(read, segment)), as_json)


def suppressions(
    file: CsvSource,
    tenant: Annotated[str, typer.Option(help="Whose suppressions they are.")],
    channel: Annotated[
        str | None,
        typer.Option(
            help="email, sms, whatsapp or push; otherwise the column `channel`, or email for a "
            "column of email addresses and sms for one of numbers."
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why; otherwise the column `reason`, or what the file is.")
    ] = None,
    country: Country = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Suppress the addresses of a file, such as Mailchimp's unsubscribed and cleaned members. A bad
    row does not stop the others: it suppresses nobody, so look at each. Prints a summary as JSON.
    """
    _check_country(country)
    with _opened(file) as source:
        read = SuppressionFile(Lines(source), channel, reason, country)
        run = _Run(file, _size(source), tenant, rejects)
        _show(asyncio.run(run.suppressions(read)), as_json)


def _check_country(country: str | None) -> None:
    if country is not None and country not in COUNTRIES:
        raise typer.BadParameter("not a country such as DE", param_hint="--country")


@contextmanager
def _opened(file: str) -> Iterator[io.BufferedReader]:
    try:
        if file == "-":
            yield io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), 1 << 16)
            return
        with Path(file).open("rb") as source:
            yield source
    except OSError as failure:
        complain(f"{failure.filename or file}: {failure.strerror}")
        raise typer.Exit(1) from failure


def _kind(file: str, source: io.BufferedReader) -> str:
    if file != "-":
        return "ndjson" if Path(file).suffix.lower() in _NDJSON else "csv"
    return "ndjson" if source.peek(1)[:1] == b"{" else "csv"


def _show(summary: dict[str, object], as_json: bool) -> None:
    if out.is_terminal and not as_json:
        out.print_json(json.dumps(summary))
    else:
        typer.echo(json.dumps(summary))


@dataclass(frozen=True)
class _Run:
    """One run of a command: `name` is the file's, `size` its bytes, None = unknown."""

    name: str
    size: int | None
    tenant: str
    rejects: Path | None

    async def contacts(self, file: ContactFile, segment: str | None) -> dict[str, object]:
        """Returns the summary."""
        async with self._database() as pool:
            joined = await self._begin(pool, segment)
            with (
                lists(self.name, "contacts", self.rejects) as (rejects, warnings),
                shown(self.size) as show,
            ):
                counts = await import_contacts(
                    pool,
                    self.tenant,
                    joined,
                    file,
                    on_rejected=lambda one: rejects.write(one.line, one.reason),
                    on_warned=lambda one: warnings.write(one.line, one.column, one.reason),
                    on_progress=lambda progress: show(progress, file.lines.characters),
                )
        return {
            **asdict(counts),
            "segmentId": str(joined) if joined else None,
            "rejectsFile": rejects.path,
            "warningsFile": warnings.path,
            "columns": {use.column: use.field for use in file.uses},
            "notes": file.notes,
        }

    async def suppressions(self, file: SuppressionFile) -> dict[str, object]:
        """Returns the summary."""
        async with self._database() as pool:
            await self._begin(pool, None)
            with (
                lists(self.name, "suppressions", self.rejects) as (rejects, _),
                shown(self.size) as show,
            ):
                counts = await import_suppressions(
                    pool,
                    self.tenant,
                    file,
                    on_rejected=lambda one: rejects.write(one.line, one.reason),
                    on_progress=lambda progress: show(progress, file.lines.characters),
                )
        return {**asdict(counts), "rejectsFile": rejects.path}

    def _database(self) -> Database:
        return Database(
            from_environment(), "campaigns-import", max_size=2, statement_timeout=STATEMENT_TIMEOUT
        )

    async def _begin(self, pool: Database, segment: str | None) -> UUID | None:
        """Returns the id of the segment. Raises NotFoundError for an unknown tenant."""
        with translated():
            async with pool.transaction() as session:
                await get_tenant(session, self.tenant)
                return (await segment_named(session, self.tenant, segment)).id if segment else None


def _size(source: io.BufferedReader) -> int | None:
    try:
        return os.fstat(source.fileno()).st_size or None
    except OSError:
        return None
