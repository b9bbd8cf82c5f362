"""Dates, numbers and shortened texts as readers see them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.templates.language.dialect import FILTERS
from connectors.templates.language.formats import (
    UnusableValueError,
    shortened,
    written_date,
    written_number,
)
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import RenderError, Template

ID = "00000000-002a-8000-84d2-9f31c05be7a4"


def sms(text: str, value: Any = None) -> str:
    template = Template("sms", {"text": text}, "Sale", Tracking("https://mail.example"), Links())
    contact = {"attributes": {"v": value}}
    return template.render(contact, ID, "2026-03-05T23:59:01.000Z")["text"]


@pytest.mark.parametrize(
    ("value", "form", "written"),
    [
        ("2026-01-28", "", "2026-01-28"),
        ("2026-01-28", "('%d.%m.%Y')", "28.01.2026"),
        ("2026-01-08", "('%A, %e %B %y')", "Thursday, 8 January 26"),
        ("2026-01-08T15:04:05Z", "('%a %b %H:%M:%S 100%%')", "Thu Jan 15:04:05 100%"),
        ("2026-01-01T00:30:00+02:00", "('%Y-%m-%d %H:%M')", "2025-12-31 22:30"),
        ("2026-01-28 09:00", "('%H:%M')", "09:00"),
    ],
)
def test_a_date_is_written_in_its_form(value: str, form: str, written: str) -> None:
    assert sms("{{ contact.attributes.v|date" + form + " }}", value) == written


def test_today_is_the_day_of_the_message() -> None:
    assert sms("{{ today }} {{ today|date('%e %B') }}") == "2026-03-05 5 March"
    assert sms("{% if contact.attributes.v < today %}over{% endif %}", "2026-03-04") == "over"


@pytest.mark.parametrize(
    ("value", "how", "written"),
    [
        (1234567.891, "", "1,234,567.891"),
        ("1234.5", "(2)", "1,234.50"),
        (1234.5, "(2, ',', '.')", "1.234,50"),
        (0.125, "(2)", "0.13"),
        ("-0.5", "(0)", "-1"),
        (1000, "(0, '.', '')", "1000"),
        (12, "(decimals=1)", "12.0"),
        (10**20, "(0)", "100,000,000,000,000,000,000"),
    ],
)
def test_a_number_is_written_in_groups_and_rounded_half_up(
    value: Any, how: str, written: str
) -> None:
    assert sms("{{ contact.attributes.v|number" + how + " }}", value) == written


@pytest.mark.parametrize(
    ("use", "value", "says"),
    [
        ("date", "tomorrow", "'tomorrow' is no date such as 2026-01-28"),
        ("date", 5, "5 is no date"),
        ("date('%Q')", "2026-01-28", "there is no `%Q` in the form of a date"),
        ("date('%')", "2026-01-28", "there is no `%` in the form of a date"),
        ("number", "1e5", "'1e5' is no number"),
        ("number", "x", "'x' is no number"),
        ("number(99)", 1, "a number has 0 to 10 decimals"),
        ("number(2, '----')", 1, "at most 3 characters"),
        ("truncate(99999)", "x", "a text is shortened to 3 to 10,000 characters"),
        ("date", None, "is no date"),
        ("number", None, "is no number"),
        ("truncate", None, "a missing value cannot be shortened"),
    ],
)
def test_a_value_that_cannot_be_written_is_an_error(use: str, value: Any, says: str) -> None:
    with pytest.raises(RenderError, match=r"^text: ") as raised:
        sms("{{ contact.attributes.v|" + use + " }}", value)
    assert says in raised.value.detail
    assert (
        sms("{{ contact.attributes.w|default('-') }}{% if contact.attributes.w|date %}{% endif %}")
        == "-"
    )


def test_a_text_is_cut_between_words() -> None:
    assert sms("{{ contact.attributes.v|truncate(10) }}", "many words here") == "many..."
    assert (
        sms("{{ contact.attributes.v|truncate(10, true, '…') }}", "many words here") == "many word…"
    )
    assert sms("{{ contact.attributes.v|truncate }}", "short") == "short"


@given(st.text(), st.integers(3, 40), st.booleans())
def test_a_shortened_text_has_at_most_its_length(text: str, length: int, killwords: bool) -> None:
    made = shortened(text, length, killwords)
    assert len(made) <= length
    assert made == text if len(text) <= length else made.endswith("...")


@given(st.integers(-(10**25), 10**25))
def test_the_digits_of_a_number_stay(number: int) -> None:
    assert int(written_number(number).replace(",", "")) == number
    assert int(written_number(str(number), 0, group="").replace(",", "")) == number


@pytest.mark.parametrize(
    "at", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "x" * 200_000]
)
def test_what_is_no_date_is_named_in_a_line(at: str) -> None:
    with pytest.raises(UnusableValueError, match="is no date") as raised:
        written_date(at)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("firstName|truncate('x')", "length is 'x', and must be a whole number"),
        ("firstName|truncate(3, false, 5)", "end is 5, and must be a text"),
        ("firstName|truncate(1, true, '', 4, 5)", "too many positional arguments"),
        ("firstName|truncate(width=3)", "got an unexpected keyword argument 'width'"),
        ("contact.attributes.n|number('x')", "decimals is 'x', and must be a whole number"),
        ("contact.attributes.n|number(1.5)", "decimals is 1.5, and must be a whole number"),
        ("contact.attributes.n|number(2, 3)", "point is 3, and must be a text"),
        ("contact.attributes.n|number(2, '.', [])", "group is [], and must be a text"),
        ("contact.attributes.d|date(3)", "form is 3, and must be a text such as '%d.%m.%Y'"),
        ("firstName|replace(1)", "missing argument"),
        ("firstName|upper|indent('x')", "cannot convert string to usize"),
        ("contact.attributes.l|join(1, 2)", "value is not a string"),
        ("contact.attributes.l|sort(attribute=3)", "value is not a string"),
        ("firstName|title(3)", "too many arguments"),
        ("5|length", "cannot calculate length of value of type number"),
        ("firstName|abs", "cannot get absolute value"),
    ],
)
def test_an_argument_that_a_filter_cannot_take_is_named_with_the_filter(
    expression: str, why: str
) -> None:
    attributes = {"n": "3", "d": "2026-01-28", "l": [1, 2]}
    made = Template("sms", {"text": f"\n{{{{ {expression} }}}}"}, "c", Tracking(""), Links())
    with pytest.raises(RenderError) as raised:
        made.render({"firstName": "Ana", "attributes": attributes}, "m")
    detail, filtered = raised.value.detail, expression.rpartition("|")[2]
    assert detail.endswith(why) and detail.startswith("text")
    assert f"`{filtered}`" in detail or f"`{filtered.partition('(')[0]}`" in detail


@pytest.mark.parametrize("name", sorted(FILTERS))
@pytest.mark.parametrize("arguments", ["(3)", "('x')", "([])", "({})", "(1, 2, 3, 4, 5)", "(x=1)"])
@pytest.mark.parametrize("value", ["firstName", "5", "contact.attributes.l", "true"])
def test_no_argument_of_any_filter_is_an_error_that_says_only_its_kind(
    name: str, arguments: str, value: str
) -> None:
    text = f"{{{{ {value}|{name}{arguments} }}}}"
    try:
        made = Template("sms", {"text": text}, "c", Tracking(""), Links())
        made.render({"firstName": "Ana", "attributes": {"l": [1, "2"]}}, "m")
    except RenderError as error:
        assert not re.search(r"\w+Error\b|Exception", error.detail), error.detail
