"""Reads replies of SMTP from the bytes of a connection, as they come (RFC 5321, section 4.2)."""

from __future__ import annotations

from connectors.delivery.outcomes import Reply

MAX_REPLY = 16_384  # bytes of one reply; RFC 5321 gives a line 512


class ReplyError(Exception):
    """The answer of the server is no reply of SMTP, or an endless one."""


class ReplyReader:
    """Collects bytes until they are replies. A line may end with LF alone."""

    __slots__ = ("_code", "_lines", "_rest", "_size", "error")

    def __init__(self) -> None:
        self._rest, self._size = b"", 0
        self._code, self._lines = 0, list[str]()
        #: Set for good when what arrives is no reply: no code, one that changes, too many bytes.
        self.error: ReplyError | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing has arrived that is no part of a complete reply."""
        return not self._rest and not self._lines and self.error is None

    def feed(self, received: bytes) -> list[Reply]:
        """Return the replies that these bytes complete, up to the first error."""
        *lines, self._rest = (self._rest + received).split(b"\n")
        replies = list[Reply]()
        try:
            for line in lines:
                self._count(len(line))
                if (reply := self._taken(line.rstrip(b"\r"))) is not None:
                    replies.append(reply)
                    self._size = 0
            self._count(0, more=len(self._rest))
        except ReplyError as error:
            self.error = self.error or error
        return replies

    def _count(self, size: int, more: int = 0) -> None:
        self._size += size
        if self._size + more > MAX_REPLY:
            raise ReplyError(f"a reply of more than {MAX_REPLY:,} bytes")

    def _taken(self, line: bytes) -> Reply | None:
        digits, separator = line[:3], line[3:4]
        if len(digits) < 3 or not digits.isdigit() or separator not in (b" ", b"-", b""):
            raise ReplyError(f"{line[:80]!r} is no reply of SMTP")
        code, text = int(digits), line[4:].decode("utf-8", "replace")
        if self._lines and code != self._code:
            raise ReplyError(f"a reply that begins with {self._code} goes on with {code}")
        if separator == b"-":
            self._code = code
            self._lines.append(text)
            return None
        if self._lines:
            text = "\n".join((*self._lines, text))
            self._lines = []
        return Reply(code, text)
