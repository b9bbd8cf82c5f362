"""A contact as somebody gives it to us: headings, spellings, and what makes a row unusable."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tables.contacts.fields import (
    SPELLINGS,
    attributes_json,
    column_of,
    contact_row,
)

ID = "0190a1b2-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("heading", "column"),
    [
        ("email", "email"),
        ("E-Mail", "email"),
        ("EMAIL", "email"),
        ("First Name", "first_name"),
        ("first_name", "first_name"),
        ("firstName", "first_name"),
        ("External-ID", "external_id"),
        ("push token", "push_token"),
        ("timezone", "time_zone"),
        ("Time Zone", "time_zone"),
        ("id", "id"),
        ("plan", None),
        ("emails", None),
        ("e.mail", None),
        ("", None),
    ],
)
def test_a_heading_means_its_column_whatever_its_case_and_separators(
    heading: str, column: str | None
) -> None:
    assert column_of(heading) == column


def test_every_column_is_found_by_its_own_name_and_the_one_outside() -> None:
    for column, (outside, _) in SPELLINGS.items():
        assert column_of(column) == column_of(outside) == column


def test_a_row_holds_each_field_in_its_one_spelling() -> None:
    fields = {
        "id": ID.upper(),
        "external_id": " 7 ",
        "email": "Ana@EXAMPLE.com",
        "phone": "+49 30 123456",
        "push_token": " t ",
        "first_name": " Ana ",
        "last_name": "Ü",
        "time_zone": " Europe/Berlin ",
        "locale": " pt-BR ",
    }
    row = contact_row(3, fields, {"plan": "pro", "age": 7})
    assert row[:-1] == (
        3,
        UUID(ID),
        "7",
        "ana@example.com",
        "+4930123456",
        "t",
        "Ana",
        "Ü",
        "Europe/Berlin",
        "pt-BR",
    )
    assert json.loads(row.attributes) == {"plan": "pro", "age": 7}


def test_an_empty_field_is_not_given_and_one_of_spaces_neither() -> None:
    row = contact_row(1, {"email": "a@example.com", "first_name": "", "last_name": "  "}, {})
    assert (row.first_name, row.last_name, row.attributes) == (None, None, "{}")


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"phone": "+4930123456", "push_token": "t"}, ("phone", "+4930123456")),
        (
            {"email": "a@example.com", "phone": "+4930123456", "push_token": "t"},
            ("email", "a@example.com"),
        ),
        ({"push_token": "t"}, ("push_token", "t")),
        ({"external_id": "7"}, None),
    ],
)
def test_the_first_address_of_a_row_identifies_it(
    fields: dict[str, str], address: tuple[str, str] | None
) -> None:
    assert contact_row(1, fields, {}).address == address


@pytest.mark.parametrize(
    "fields", [{}, {"first_name": "Ana"}, {"email": "", "id": ""}, {"external_id": " "}]
)
def test_a_row_by_which_nobody_can_be_found_is_unusable(fields: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^row: needs one of id, externalId, email"):
        contact_row(1, fields, {})


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("id", "7", "id: not a UUID"),
        ("external_id", "x" * 256, "externalId: at most 255 characters"),
        ("external_id", "a\0", "externalId: PostgreSQL stores no NUL"),
        ("first_name", "x" * 256, "firstName: at most 255 characters"),
        ("last_name", "\0x", "lastName: PostgreSQL stores no NUL"),
        ("email", "secret@", "email: not a valid address"),
        ("phone", "030", "phone: not a number with a country code"),
        ("phone", "+49151123456789012", "phone: more than 15 digits"),
        ("phone", "+4.9E+11", "phone: a spreadsheet has shortened it"),
        ("time_zone", "localtime", "timeZone: not a name of the time zone database"),
        ("push_token", "a b", "pushToken: 1 to 512 printable"),
        ("time_zone", "Berlin", "timeZone: not a name of the time zone database"),
        ("time_zone", "europe/berlin", "timeZone: not a name of the time zone database"),
        ("locale", "e", "locale: not a language tag"),
        ("locale", "en-", "locale: not a language tag"),
        ("locale", "en_US_" + "x" * 9, "locale: not a language tag"),
        ("locale", "en" + "-a" * 17, "locale: not a language tag"),
    ],
)
def test_a_wrong_field_names_its_rule_and_not_its_value(field: str, value: str, rule: str) -> None:
    with pytest.raises(ValueError, match=f"^{rule}") as refused:
        contact_row(1, {"external_id": "7", field: value}, {})
    assert len(value) < 8 or value not in str(refused.value)


@pytest.mark.parametrize("locale", ["en", "pt-BR", "zh_Hant_TW", "en" + "-a" * 16, "x" * 8])
def test_a_language_tag_is_kept_as_it_is(locale: str) -> None:
    assert contact_row(1, {"external_id": "7", "locale": locale}, {}).locale == locale


scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5)


@given(st.dictionaries(st.text(max_size=4), scalars, max_size=6))
def test_equal_attributes_have_equal_json_in_whatever_order_they_came(
    attributes: dict[str, Any],
) -> None:
    if "\0" in repr(attributes).replace("\\x00", "\0"):
        with pytest.raises(ValueError, match="NUL"):
            attributes_json(attributes)
        return
    backwards = dict(reversed(attributes.items()))
    assert attributes_json(attributes) == attributes_json(backwards)
    assert json.loads(attributes_json(attributes)) == attributes


def test_attributes_are_at_most_200_and_16_kilobytes() -> None:
    most = {str(number): 0 for number in range(200)}
    assert json.loads(attributes_json(most)) == most
    with pytest.raises(ValueError, match="at most 200"):
        attributes_json({**most, "200": 0})
    room = 16_384 - len('{"a":""}')
    assert len(attributes_json({"a": "x" * room})) == 16_384
    with pytest.raises(ValueError, match="16,384 bytes"):
        attributes_json({"a": "x" * (room + 1)})
