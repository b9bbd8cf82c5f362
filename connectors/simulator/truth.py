"""The truth log: one line for everything the simulator decides, from which a checker recomputes
every unique count.

`campaign id TAB message id TAB kind TAB reports TAB Unix milliseconds`. Kind is the event's type,
or `machine-opened`, `machine-clicked`; reports is how many times the event is reported. A simulator
that was killed decides the same again, so lines repeat: count them as a set.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO

DEFAULT_MOST = 1 << 30  # bytes; what becomes of about four million messages
_PIECES = 8  # files that share the bytes of one folder
_FIELDS = 5
_log = logging.getLogger(__name__)


class TruthLog:
    """Files of this process alone in `folder`, appended to. Without a folder nothing is written.

    All files of the folder together, those of other simulators included, have at most about `most`
    bytes: the oldest are removed, and a warning says so.
    """

    def __init__(self, folder: Path | None, most: int = DEFAULT_MOST) -> None:
        self._folder, self._most = folder, most
        self._lines: list[str] = []
        self._file: TextIO | None = None
        self._count = 0  # files begun
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._begin(folder)

    def __enter__(self) -> TruthLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self.flush()
            self._file.close()

    def add(self, campaign_id: str, message_id: str, kind: str, reports: int, at_ms: int) -> None:
        if self._file is not None:
            self._lines.append(f"{campaign_id}\t{message_id}\t{kind}\t{reports}\t{at_ms}\n")

    def flush(self) -> None:
        """Hand everything to the operating system: it survives the death of this process."""
        if self._file is None or self._folder is None:
            return
        here = os.fstat(self._file.fileno())
        # without a name: another simulator found it to be the oldest one
        if here.st_size >= self._most // _PIECES or not here.st_nlink:
            self._file.close()
            self._begin(self._folder)
        self._file.write("".join(self._lines))
        self._file.flush()
        self._lines.clear()

    def _begin(self, folder: Path) -> None:
        number, self._count = f"-{self._count}" if self._count else "", self._count + 1
        _remove_oldest(folder, self._most - self._most // _PIECES)
        self._file = (folder / f"truth-{os.getpid()}{number}.tsv").open("a")
        # a namesake may have been killed within a line; empty lines count for nothing
        self._file.write("\n")


def _remove_oldest(folder: Path, most: int) -> None:
    """Removes the files written to the longest ago, until the others have at most so many bytes."""
    left = most
    for file, found in sorted(_stats(folder), key=lambda one: one[1].st_mtime_ns, reverse=True):
        left -= found.st_size
        if left < 0:
            file.unlink(missing_ok=True)
            _log.warning("the oldest truth is removed", extra={"file": str(file)})


def _stats(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for file in folder.glob("truth-*.tsv"):
        with suppress(FileNotFoundError):  # another simulator has removed it
            yield file, file.stat()


def recipients(folder: Path) -> dict[tuple[str, str], set[str]]:
    """(campaign id, kind) -> the message ids it happened to, over all files of the folder."""
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for file in sorted(folder.glob("truth-*.tsv")):
        with file.open() as lines:
            for line in lines:
                fields = line.rstrip("\n").split("\t")
                if len(fields) == _FIELDS:
                    found[fields[0], fields[2]].add(fields[1])
    return dict(found)
