"""The kind of a file by its first bytes: its encoding, or what it is instead of a text."""

from __future__ import annotations

from streams.errors import MalformedError

HEAD = 512  # bytes that tell the kind
_SAVE = "save it as CSV in UTF-8"
# Signatures: PKWARE APPNOTE 4.3.7, [MS-CFB] 2.2, ISO 32000-1 7.5.2, RFC 1952 2.3.1, RFC 6350 6.1.1,
# Rich Text Format 1.9.1, Apache Parquet file format, SQLite database file format 1.3.
_SIGNATURES = (
    (b"PK\x03\x04", f"an Excel workbook (XLSX) or another ZIP archive: unpack it, or {_SAVE}"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", f"an Excel workbook (XLS) or another Office document: {_SAVE}"),
    (b"\x1f\x8b", "compressed with gzip: unpack it"),
    (b"%PDF", "a PDF document"),
    (b"{\\rtf", f"a document in Rich Text Format: {_SAVE}"),
    (b"PAR1", f"a Parquet file: {_SAVE}"),
    (b"SQLite format 3", f"an SQLite database: {_SAVE}"),
)
_TEXTS = (
    (b"<!doctype html", "HTML, such as an error page"),
    (b"<html", "HTML, such as an error page"),
    (b"<", "HTML or XML"),
    (b"begin:vcard", "an address book of vCards"),
)


def encoding(head: bytes) -> str:
    """The name of Python's codec for a text that begins with these bytes: UTF-8, or the UTF-16 of
    Excel's "Unicode Text". Raises MalformedError, which names what the file is instead.
    """
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        raise _refused(f"a text in UTF-32: {_SAVE}")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # without the mark: of ASCII letters every second byte is 0
    if len(head) >= 4 and head[1] == head[3] == 0 and head[0] and head[2]:
        return "utf-16-le"
    if len(head) >= 4 and head[0] == head[2] == 0 and head[1] and head[3]:
        return "utf-16-be"
    _refuse_others(head)
    return "utf-8"


def _refuse_others(head: bytes) -> None:
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            raise _refused(kind)
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, name in _TEXTS:
        if begin.startswith(mark):
            raise _refused(f"{name}: {_SAVE}")


def _refused(kind: str) -> MalformedError:
    return MalformedError(f"The file is {kind}.")
