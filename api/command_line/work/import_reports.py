"""The output of an import beside its summary: progress, and files of rows that did not go in and of
fields that were left out.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich.progress
import typer

from api.command_line.terminal import progress as screen
from tables.contacts.imports import Progress
from tables.directory.suppression_files import SuppressionProgress

Counts = Progress | SuppressionProgress
_EVERY = 1.0  # seconds between two lines of progress in a pipe


class Listed:
    """A CSV file that exists from its first row on; `path` is None before."""

    def __init__(self, stack: ExitStack, path: Path, header: Sequence[str]) -> None:
        self._stack, self._path, self._header = stack, path, header
        self._rows: Any = None

    @property
    def path(self) -> str | None:
        return None if self._rows is None else str(self._path)

    def write(self, *row: object) -> None:
        """Add a row."""
        if self._rows is None:
            file = self._stack.enter_context(self._path.open("w", encoding="utf-8", newline=""))
            self._rows = csv.writer(file)
            self._rows.writerow(self._header)
        self._rows.writerow(row)


@contextmanager
def lists(file: str, noun: str, rejects: Path | None) -> Iterator[tuple[Listed, Listed]]:
    """The rejected rows and the warnings of a file; `noun` names those of standard input."""
    listed = rejects or Path(f"{noun if file == '-' else file}.rejects.csv")
    stem = str(listed).removesuffix(".csv").removesuffix(".rejects")
    with ExitStack() as stack:
        yield (
            Listed(stack, listed, ("line", "reason")),
            Listed(stack, Path(f"{stem}.warnings.csv"), ("line", "column", "reason")),
        )


class _Bar:
    """Progress on a terminal: a bar over the characters read, which are nearly the bytes of the
    file.
    """

    def __init__(self, bar: rich.progress.Progress, size: int | None) -> None:
        self._bar, self._task = bar, bar.add_task("", total=size)

    def __call__(self, progress: Counts, characters: int) -> None:
        described = f"{progress.rows:,} rows, {progress.rejected:,} rejected"
        self._bar.update(self._task, completed=characters, description=described)


class _JsonLines:
    """Progress in a pipe: a JSON line a second on stderr, so that stdout has the summary alone."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: Counts, characters: int) -> None:
        if (now := time.monotonic()) - self._last >= _EVERY:
            self._last = now
            typer.echo(json.dumps({"rows": progress.rows, **asdict(progress)}), err=True)


@contextmanager
def shown(size: int | None) -> Iterator[Callable[[Counts, int], None]]:
    """Progress of a file of `size` bytes, None = unknown: counts, and the characters read."""
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
