"""The truth log: one line for everything the simulator decides, from which a checker recomputes
every unique count.

`campaign id TAB message id TAB kind TAB reports TAB Unix milliseconds`. Kind is the event's type,
or `machine-opened`, `machine-clicked`; reports is how many times the event is reported. A simulator
that was killed decides the same again, so lines repeat: count them as a set.
"""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from types import TracebackType

_FIELDS = 5


class TruthLog:
    """A file of this process's own in `folder`, appended to. None for the folder: nothing is
    written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lines: list[str] = []
        self._file = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / f"truth-{os.getpid()}.tsv").open("a")
            self._lines.append(
                "\n"
            )  # a namesake may have been killed within a line; empty lines count for nothing

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
        if self._file is not None:
            self._file.write("".join(self._lines))
            self._file.flush()
            self._lines.clear()


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
