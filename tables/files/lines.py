"""The physical lines of a file of any length and any of its encodings, one at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from tables.files.kinds import HEAD, encoding

LONGEST_LINE = 1 << 20  # characters
_BUFFER = 1 << 16  # bytes


class Lines:
    """Counts the lines and remembers their faults. Nothing is read before the first line is asked
    for, which raises MalformedError when the file is no text.

    A line over `LONGEST_LINE` is cut, so that a file without line ends cannot fill the memory.
    """

    def __init__(self, source: BinaryIO | io.RawIOBase) -> None:
        self._source = source
        self._file: io.TextIOWrapper | None = None
        self._unreadable = ""  # what stands in a line for bytes that are no text; "" in UTF-8
        self.number, self.characters = 0, 0
        self._fault: str | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        file = self._file or self._opened()
        line = file.readline(LONGEST_LINE)
        if not line:
            raise StopIteration
        if self.number == 0:
            # the byte order mark that spreadsheets write
            line = line.removeprefix("\ufeff") or "\n"
        self.number += 1
        self.characters += len(line)
        if len(line) == LONGEST_LINE and line[-1] != "\n":
            self._fault = f"line: longer than {LONGEST_LINE:,} characters"
            while (rest := file.readline(LONGEST_LINE)) and rest[-1] != "\n":
                self.characters += len(rest)
            line = "\n"
        elif "\0" in line:
            self._fault = "line: holds a NUL character"
        elif not line.isascii():
            self._look_for_other_bytes(line)
        return line

    def taken_fault(self) -> str | None:
        """The fault of the lines read since the last call; None when there is none."""
        fault, self._fault = self._fault, None
        return fault

    def _opened(self) -> io.TextIOWrapper:
        head = _head(self._source)
        codec = encoding(head)
        # the decoder of UTF-16 knows no surrogateescape
        self._unreadable = "" if codec == "utf-8" else "\ufffd"
        self._file = io.TextIOWrapper(
            io.BufferedReader(_Rejoined(head, self._source), _BUFFER),
            encoding=codec,
            errors="replace" if self._unreadable else "surrogateescape",
            newline="",
        )
        return self._file

    def _look_for_other_bytes(self, line: str) -> None:
        if self._unreadable:
            if self._unreadable in line:
                self._fault = "line: not UTF-16, as the file begins"
            return
        try:
            line.encode()
        except UnicodeEncodeError:
            self._fault = (
                "line: not UTF-8, perhaps windows-1252 as Excel's plain CSV; save the file as UTF-8"
            )


class _Rejoined(io.RawIOBase):
    """A file whose first bytes have been read already."""

    def __init__(self, head: bytes, rest: BinaryIO | io.RawIOBase) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._head:
            found = self._rest.read(len(buffer)) or b""
            buffer[: len(found)] = found
            return len(found)
        size = min(len(buffer), len(self._head))
        buffer[:size], self._head = self._head[:size], self._head[size:]
        return size


def _head(source: BinaryIO | io.RawIOBase) -> bytes:
    found = b""
    while len(found) < HEAD and (more := source.read(HEAD - len(found))):
        found += more
    return found
