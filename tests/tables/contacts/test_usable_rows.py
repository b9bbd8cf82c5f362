"""The usable part of a row: what cannot be used is left out and told, and nobody is lost for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.contacts.fields import ContactRow
from tables.contacts.files import rows_of
from tables.contacts.usable_rows import usable_row
from tables.files.rows import Rejected, Warned


def usable(
    country: str | None = None, **fields: str
) -> tuple[ContactRow | Rejected, list[tuple[str | None, str]]]:
    given = {column: [(column.upper(), text)] for column, text in fields.items()}
    *warned, last = usable_row(7, given, {}, country)
    assert isinstance(last, ContactRow | Rejected)
    assert last.line == 7
    return last, [(it.column, it.reason) for it in warned if isinstance(it, Warned)]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        *[("phone", it) for it in ("n/a", "-", "0", "none", "#N/A", "(555) 010-0001", "98765")],
        *[("phone", it) for it in ("4.91511E+11", "4,9E11", "+49151123456789012", "call me", "+")],
        *[("time_zone", it) for it in ("Berlin ", "GMT+2", "localtime", "(GMT+01:00) Paris", "x")],
        *[("locale", it) for it in ("English (US)", "e", "de_", "???")],
        *[("push_token", it) for it in ("a b", "x" * 513, "\u00fc")],
        *[("first_name", it) for it in ("x" * 256, "a\0")],
        *[("email", it) for it in ("none", "a@b", "Ana <a@b.example>", "a@b.example;")],
    ],
)
def test_an_optional_field_that_cannot_be_used_is_left_out_with_a_warning(
    field: str, text: str
) -> None:
    kept = {"external_id": "7", field: text}
    row, warned = usable(**kept)
    assert isinstance(row, ContactRow)
    assert getattr(row, field) is None
    ((column, reason),) = warned
    assert column == field.upper()
    assert len(text) < 4 or text not in reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"email": "nope"}, "email: not a valid address"),
        ({"phone": "n/a"}, "phone: not a number with a country code"),
        ({"email": "nope", "phone": "n/a"}, "email: not a valid address"),
        ({"first_name": "Ana"}, "row: needs one of"),
        ({"time_zone": "nope"}, "row: needs one of"),
        ({"email": "  ", "phone": "\u00a0"}, "row: needs one of"),
    ],
)
def test_only_a_row_that_identifies_nobody_is_rejected(fields: dict[str, str], reason: str) -> None:
    row, warned = usable(**fields)
    assert isinstance(row, Rejected)
    assert row.reason.startswith(reason)
    assert warned == []


@pytest.mark.parametrize(
    ("country", "text", "number"),
    [
        ("DE", "0151 12345678", "+4915112345678"),
        ("DE", "(030) 123456", "+4930123456"),
        ("DE", "+1 202-555-0143", "+12025550143"),
        ("DE", "0049 151 12345678", "+4915112345678"),
        ("DE", "4915112345678", "+4915112345678"),
        ("DE", "30 123456", "+4930123456"),
        ("IT", "391 234 5678", "+393912345678"),
        ("IN", "9198765432", "+919198765432"),
        ("GB", "447700900456", "+447700900456"),
        ("BR", "5511961234567", "+5511961234567"),
        ("US", "12025550143", "+12025550143"),
        ("US", "(202) 555-0143", "+12025550143"),
        ("US", "202.555.0143", "+12025550143"),
        ("US", "1-202-555-0143", "+12025550143"),
        ("GB", "07700 900456", "+447700900456"),
        ("FR", "06 12 34 56 78", "+33612345678"),
        ("IT", "06 6982 1234", "+390669821234"),
        ("IN", "098765 43210", "+919876543210"),
        ("US", "0", None),
        ("DE", "n/a", None),
        ("DE", "4.9E+11", None),
        (None, "0151 12345678", None),
    ],
)
def test_national_numbers_are_those_of_the_given_country(
    country: str | None, text: str, number: str | None
) -> None:
    row, warned = usable(country, email="a@b.example", phone=text)
    assert isinstance(row, ContactRow)
    assert row.phone == number
    assert bool(warned) == (number is None)


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("america_slash_new_york", "America/New_York"),
        ("us_slash_eastern", "US/Eastern"),
        ("europe_slash_berlin", "Europe/Berlin"),
        ("america_slash_port_hyphen_au_hyphen_prince", "America/Port-au-Prince"),
        (" Europe/Berlin ", "Europe/Berlin"),
        ("mars_slash_base", None),
    ],
)
def test_hubspot_s_zones_are_understood(text: str, zone: str | None) -> None:
    row, _ = usable(external_id="7", time_zone=text)
    assert isinstance(row, ContactRow) and row.time_zone == zone


@pytest.mark.parametrize(
    ("text", "locale"),
    [("en_US.UTF-8", "en_US"), ("de_DE@euro", "de_DE"), ("pt-BR", "pt-BR"), ("C.UTF-8", None)],
)
def test_posix_locales_are_understood(text: str, locale: str | None) -> None:
    row, _ = usable(external_id="7", locale=text)
    assert isinstance(row, ContactRow) and row.locale == locale


@pytest.mark.parametrize(
    ("fields", "external", "warnings"),
    [
        ({"id": "1", "email": "a@b.example"}, "1", 0),
        ({"id": "00Q5e000005abcd"}, "00Q5e000005abcd", 0),
        ({"id": "1", "external_id": "1"}, "1", 0),
        ({"id": "1", "external_id": "x9"}, "x9", 1),
        ({"id": "x" * 256, "email": "a@b.example"}, None, 1),
        ({"id": "", "email": "a@b.example"}, None, 0),
    ],
)
def test_another_system_s_id_is_the_external_id(
    fields: dict[str, str], external: str | None, warnings: int
) -> None:
    row, warned = usable(**fields)
    assert isinstance(row, ContactRow)
    assert (row.id, row.external_id, len(warned)) == (None, external, warnings)


def attributes_of(given: dict[str, Any]) -> tuple[dict[str, Any], list[Warned]]:
    *warned, row = usable_row(1, {"email": [("email", "a@b.example")]}, given)
    assert isinstance(row, ContactRow)
    return json.loads(row.attributes), [it for it in warned if isinstance(it, Warned)]


def test_attributes_that_cannot_be_kept_are_left_out_one_by_one() -> None:
    kept, warned = attributes_of({"a": "x\0y", "b": 1, "c": {"d": "\0"}, "e": "\\u0000"})
    assert kept == {"b": 1, "e": "\\u0000"}
    assert [(it.column, "NUL" in it.reason) for it in warned] == [("a", True), ("c", True)]
    kept, warned = attributes_of({"note": "x" * 20_000, "plan": "pro"})
    assert (kept, [it.column for it in warned]) == ({"plan": "pro"}, ["note"])
    kept, warned = attributes_of({f"n{n}": "x" * 6_000 for n in range(5)} | {"big": "y" * 9_000})
    assert list(kept) == ["n3", "n4"]
    assert [it.column for it in warned] == ["big", "n0", "n1", "n2"]
    kept, warned = attributes_of({f"c{n}": n for n in range(300)})
    assert len(kept) == 200
    assert [it.reason for it in warned] == ["attributes: at most 200; 100 left out"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NAMES = st.sampled_from(["id", "externalId", "email", "phone", "timeZone", "attributes", "plan"])


@given(st.dictionaries(NAMES | st.text(max_size=3), JSON, max_size=5))
def test_any_object_is_one_row_or_one_rejection_after_its_warnings(members: dict[str, Any]) -> None:
    *warned, last = rows_of(3, {**members, "firstName": "\u00e9"})
    assert isinstance(last, ContactRow | Rejected)
    assert all(isinstance(it, Warned) for it in warned)
    assert not (isinstance(last, Rejected) and warned)


@given(st.dictionaries(NAMES, JSON, max_size=5))
def test_a_good_address_is_never_lost(members: dict[str, Any]) -> None:
    *_, last = rows_of(3, {**members, "email": "ana@example.com"})
    assert isinstance(last, ContactRow)
    assert last.email == "ana@example.com"
