"""`campaigns import contacts`: a CSV or NDJSON file becomes contacts and members of a segment."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TextIO

import rich.progress
import typer

from api.command_line.terminal import complain, out
from api.command_line.terminal import progress as screen
from streams.settings import from_environment
from tables.contacts.files import Format, Lines, Rejected, read_contacts
from tables.contacts.imports import STATEMENT_TIMEOUT, Progress, import_contacts
from tables.database.connection import Database
from tables.database.failures import translated
from tables.directory.segments import segment_named
from tables.tenants.tenants import get_tenant

_NDJSON = (".ndjson", ".jsonl", ".json")
_EVERY = 1.0  # seconds between two lines of progress in a pipe


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    group = typer.Typer(help="Bring data in.", no_args_is_help=True)
    group.command("contacts")(contacts)
    app.add_typer(group, name="import")


def contacts(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="CSV with a header, or NDJSON; - reads standard input."
        ),
    ],
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
    rejects: Annotated[
        Path | None,
        typer.Option(help="Where rows that did not go in are listed; otherwise FILE.rejects.csv."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as one line, also on a terminal.")
    ] = False,
) -> None:
    """Create or update contacts. Columns: id, externalId, email, phone, pushToken, firstName,
    lastName, timeZone, locale; every other one becomes an attribute. A row is identified by id,
    externalId or address, in that order; an empty field leaves what is there. A bad row does not
    stop the others. Prints a summary as JSON.
    """
    if kind not in (None, "csv", "ndjson"):
        raise typer.BadParameter("csv or ndjson", param_hint="--format")
    try:
        with _opened(file) as source:
            found: Format = "ndjson" if (kind or _kind(file, source)) == "ndjson" else "csv"
            listed = rejects or Path(
                "contacts.rejects.csv" if file == "-" else f"{file}.rejects.csv"
            )
            summary = asyncio.run(_Import(source, found, tenant, segment, listed).run())
    except OSError as failure:
        complain(f"{failure.filename or file}: {failure.strerror}")
        raise typer.Exit(1) from failure
    if out.is_terminal and not as_json:
        out.print_json(json.dumps(summary))
    else:
        typer.echo(json.dumps(summary))


@contextmanager
def _opened(file: str) -> Iterator[io.BufferedReader]:
    if file == "-":
        yield io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), 1 << 16)
        return
    with Path(file).open("rb") as source:
        yield source


def _kind(file: str, source: io.BufferedReader) -> str:
    if file != "-":
        return "ndjson" if Path(file).suffix.lower() in _NDJSON else "csv"
    return "ndjson" if source.peek(1)[:1] == b"{" else "csv"


class _Import:
    """One run of the command."""

    def __init__(
        self,
        source: io.BufferedReader,
        kind: Format,
        tenant: str,
        segment: str | None,
        rejects: Path,
    ) -> None:
        self.source, self.kind, self.tenant, self.segment, self.rejects = (
            source,
            kind,
            tenant,
            segment,
            rejects,
        )
        self.lines = Lines(
            io.TextIOWrapper(source, encoding="utf-8", errors="surrogateescape", newline="")
        )
        self.listed: TextIO | None = None

    async def run(self) -> dict[str, object]:
        """Returns the summary."""
        pool = Database(
            from_environment(),
            "campaigns-import",
            max_size=2,
            statement_timeout=STATEMENT_TIMEOUT,
        )
        async with pool:
            with translated():
                async with pool.transaction() as connection:
                    await get_tenant(connection, self.tenant)
                    segment = (
                        await segment_named(connection, self.tenant, self.segment)
                        if self.segment
                        else None
                    )
            try:
                with _shown(self._size()) as show:
                    counts = await import_contacts(
                        pool,
                        self.tenant,
                        segment.id if segment else None,
                        read_contacts(self.lines, self.kind),
                        on_rejected=self._reject,
                        on_progress=lambda progress: show(progress, self.lines.characters),
                    )
            finally:
                if self.listed is not None:
                    self.listed.close()
        rejected = str(self.rejects) if self.listed is not None else None
        return {
            **asdict(counts),
            "segmentId": str(segment.id) if segment else None,
            "rejectsFile": rejected,
        }

    def _size(self) -> int | None:
        try:
            return os.fstat(self.source.fileno()).st_size or None
        except OSError:
            return None

    def _reject(self, rejected: Rejected) -> None:
        if self.listed is None:
            self.listed = self.rejects.open("w", encoding="utf-8", newline="")
            csv.writer(self.listed).writerow(("line", "reason"))
        csv.writer(self.listed).writerow((rejected.line, rejected.reason))


class _Bar:
    """Progress on a terminal: a bar over the characters read, which are nearly the bytes of the
    file.
    """

    def __init__(self, bar: rich.progress.Progress, size: int | None) -> None:
        self._bar, self._task = bar, bar.add_task("", total=size)

    def __call__(self, progress: Progress, characters: int) -> None:
        described = f"{progress.rows:,} rows, {progress.rejected:,} rejected"
        self._bar.update(self._task, completed=characters, description=described)


class _JsonLines:
    """Progress in a pipe: a JSON line a second on stderr, so that stdout has the summary alone."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Progress, characters: int) -> None:
        if (now := time.monotonic()) - self._last >= _EVERY:
            self._last = now
            typer.echo(json.dumps({"rows": progress.rows, **asdict(progress)}), err=True)


@contextmanager
def _shown(size: int | None) -> Iterator[_Bar | _JsonLines]:
    if not screen.is_terminal:
        yield _JsonLines()
        return
    columns = (
        rich.progress.BarColumn(),
        rich.progress.TaskProgressColumn(),
        rich.progress.TextColumn("{task.description}"),
        rich.progress.TimeElapsedColumn(),
    )
    with rich.progress.Progress(*columns, console=screen) as bar:
        yield _Bar(bar, size)
