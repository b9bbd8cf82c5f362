"""The kind of a file is told by its first bytes, and named when it cannot be read."""

from __future__ import annotations

import gzip
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import MalformedError
from tables.files.lines import Lines

TEXT = "email;name\r\nana@example.com;Köln 👩‍💻\r\n"


def zipped(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, "x")
    return made.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
        b"\xff\xfe" + TEXT.encode("utf-16-le"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-16-le"),
        TEXT.encode("utf-16-be"),
    ],
)
def test_a_text_is_read_in_each_of_its_encodings(raw: bytes) -> None:
    lines = Lines(io.BytesIO(raw))
    assert "".join(lines) == TEXT
    assert lines.taken_fault() is None


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (zipped("[Content_Types].xml"), "Excel workbook (XLSX) or another ZIP"),
        (zipped("subscribed.csv"), "ZIP archive: unpack it"),
        (b"PK\x05\x06" + bytes(18), "empty ZIP"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "Excel workbook (XLS)"),
        (gzip.compress(b"email\n", mtime=0), "gzip"),
        (b"%PDF-1.7\n%\xe2\xe3", "PDF"),
        (b"{\\rtf1\\ansi", "Rich Text"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"SQLite format 3\0", "SQLite"),
        (b"<!DOCTYPE html><title>502</title>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>', "HTML or XML"),
        (b"<table><tr><td>email", "HTML or XML"),
        (b"BEGIN:VCARD\r\nVERSION:3.0\r\n", "vCards"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (b"\x00\x00\xfe\xff" + TEXT.encode("utf-32-be"), "UTF-32"),
    ],
)
def test_what_is_no_text_is_named(raw: bytes, named: str) -> None:
    with pytest.raises(MalformedError) as refused:
        next(Lines(io.BytesIO(raw)))
    assert named in refused.value.detail


@pytest.mark.parametrize("raw", [b"PAR1,email\n", b"pk,email\n", b"begin,email\n", b"a", b"ab\n"])
def test_a_heading_like_the_word_of_a_signature_is_a_text(raw: bytes) -> None:
    if raw.startswith(b"PAR1"):
        with pytest.raises(MalformedError):
            next(Lines(io.BytesIO(raw)))
    else:
        assert "".join(Lines(io.BytesIO(raw))) == raw.decode()


def test_bytes_that_are_no_utf_16_are_the_fault_of_their_line() -> None:
    raw = b"\xff\xfe" + "email\na@x.example\n".encode("utf-16-le")
    raw += b"\x00\xdc" + "b\n".encode("utf-16-le")  # half a surrogate pair
    lines = Lines(io.BytesIO(raw))
    faults = [lines.taken_fault() for _ in lines]
    assert faults == [None, None, "line: not UTF-16, as the file begins"]


@given(st.binary(max_size=2_000))
def test_any_bytes_are_lines_or_refused_by_name(raw: bytes) -> None:
    try:
        read = list(Lines(io.BytesIO(raw)))
    except MalformedError as refused:
        assert refused.detail.startswith("The file is ")
    else:
        assert sum(map(len, read)) >= 0
