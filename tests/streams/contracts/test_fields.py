"""Each kind of field: what it takes, how it is kept, and the rule that a wrong one names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from streams.contracts.fields import (
    Address,
    Description,
    Duration,
    Json,
    Label,
    Limit,
    Name,
    Reason,
    Segments,
    Switch,
    Time,
    TimeZone,
)


def taken(field: Any, value: object) -> Any:
    return TypeAdapter(field).validate_python(value)


def rule(field: Any, value: object) -> str:
    """The rule that the value breaks, as pydantic words it."""
    with pytest.raises(ValidationError) as refused:
        taken(field, value)
    return str(refused.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    ("field", "most"), [(Name, 255), (Reason, 200), (Label, 255), (Description, 10_000)]
)
def test_a_text_is_taken_up_to_its_length(field: Any, most: int) -> None:
    assert taken(field, "x" * most) == "x" * most
    assert rule(field, "x" * (most + 1)) == f"String should have at most {most} characters"


@pytest.mark.parametrize("field", [Name, Reason])
def test_a_name_is_something_and_without_spaces_around_it(field: Any) -> None:
    assert taken(field, " Sale \n") == "Sale"
    assert "at least 1 character" in rule(field, "  ")


@pytest.mark.parametrize("control", ["\n", "\r", "\t", "\0", "\x7f", "\x0b", "\x85", "\u2028"])
def test_one_line_has_no_control_characters_within_and_a_description_only_no_nul(
    control: str,
) -> None:
    text = f"a{control}b"
    for field in (Name, Reason, Label):
        assert "must be one line without control characters" in rule(field, text)
    if control == "\0":
        assert "must not contain NUL" in rule(Description, text)
    else:
        assert taken(Description, text) == text


def test_a_name_is_composed_before_it_is_measured() -> None:
    assert taken(Name, "Jose\u0301") == "Jos\u00e9"
    assert taken(Name, "e\u0301" * 255) == "\u00e9" * 255
    # composition makes these two characters each (UAX #15, composition exclusions)
    assert "at most 255" in rule(Name, "\u0958" * 128)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        # as PostgreSQL prints it
        ("2026-01-28T10:00:00+02", datetime(2026, 1, 28, 8, tzinfo=UTC)),
        ("2026-01-28 10:00:00.25-03", datetime(2026, 1, 28, 13, 0, 0, 250_000, tzinfo=UTC)),
        ("2026-01-28T09:00:00+00:00", datetime(2026, 1, 28, 9, tzinfo=UTC)),
        ("2026-01-28T09:00:00-00:00", datetime(2026, 1, 28, 9, tzinfo=UTC)),
        ("2026-01-28T09:00:00+01:01", datetime(2026, 1, 28, 7, 59, tzinfo=UTC)),
        ("2026-01-28T09:00:00+0101", datetime(2026, 1, 28, 7, 59, tzinfo=UTC)),
        ("2026-01-28T09:00:00+00", datetime(2026, 1, 28, 9, tzinfo=UTC)),
        ("2026-01-28T09:00:00+0100", datetime(2026, 1, 28, 8, tzinfo=UTC)),
        ("2026-01-28T09:00:00Z", datetime(2026, 1, 28, 9, tzinfo=UTC)),
        ("2026-01-28t09:00:00z", datetime(2026, 1, 28, 9, tzinfo=UTC)),
        ("2026-01-28 09:00:00+01:00", datetime(2026, 1, 28, 8, tzinfo=UTC)),
        ("2026-01-28T09:00", datetime(2026, 1, 28, 9)),
        ("2026-01-28T09:00:00.5", datetime(2026, 1, 28, 9, 0, 0, 500_000)),
    ],
)
def test_a_time_is_an_instant_in_utc_or_stays_a_local_one(text: str, instant: datetime) -> None:
    made = taken(Time, text)
    assert (made, made.tzinfo) == (instant, instant.tzinfo)


@pytest.mark.parametrize(
    "value",
    [
        0,
        1_769_590_800,
        1.5,
        "1769590800",
        "2026-01-28",
        "09:00",
        "T09:00",
        True,
        None,
        "２026-01-28T09:00",
    ],
)
def test_a_number_or_a_date_is_no_time(value: object) -> None:
    assert "must be an RFC 3339 time such as 2026-01-28T09:00:00Z" in rule(Time, value)


@given(
    st.datetimes(
        min_value=datetime(1900, 1, 1),
        timezones=st.integers(-14 * 60 + 1, 14 * 60 - 1).map(
            lambda minutes: timezone(timedelta(minutes=minutes))
        ),
    )
)
def test_every_time_that_python_writes_is_that_instant(instant: datetime) -> None:
    assert taken(Time, instant.isoformat()) == instant
    assert taken(Time, instant.isoformat(" ")) == instant
    assert taken(Time, instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")) == instant


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("2026-01-28T10:54:00+01:00[Europe/Berlin]", "zone in brackets (RFC 9557)"),
        ("2026-01-28T10:54[Europe/Berlin]", "zone in brackets (RFC 9557)"),
        ("2026-01-28T10:54:00Z[u-ca=hebrew]", "zone in brackets (RFC 9557)"),
        ("2026-01-28T10:54:00 Europe/Berlin", "end with its time or an offset"),
        ("2026-01-28T10:54:00 UTC", "end with its time or an offset"),
        ("2026-01-28 10:54 PM", "end with its time or an offset"),
        ("2026-01-28T10:54:00+01:00\nX", "end with its time or an offset"),
    ],
)
def test_what_stands_behind_a_time_is_named(text: str, named: str) -> None:
    assert named in rule(Time, text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_outside_the_calendar_in_utc_is_refused(text: str) -> None:
    assert "must lie between the years 1 and 9999 in UTC" in rule(Time, text)


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "US/Eastern", "Europe/Kiev", "EST"],
)
def test_a_time_zone_is_one_of_iana(zone: str) -> None:
    assert taken(TimeZone, zone) == zone


@pytest.mark.parametrize(
    "wrong",
    [
        *("Europe", "Europe/Atlantis", "../etc/passwd", "/etc/passwd", "a\0b", "UTC/", "+01:00"),
        *("localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin"),
        *("europe/berlin", "CET-1CEST", "GMT+2", "zone.tab"),
    ],
)
def test_what_is_no_time_zone_is_refused(wrong: str) -> None:
    assert "must be an IANA time zone such as America/New_York" in rule(TimeZone, wrong)


def test_an_address_is_kept_in_its_usual_spelling() -> None:
    assert taken(Address, "Ana@EXAMPLE.com") == "Ana@example.com"
    assert taken(Address, "news@b\u00fccher.example") == "news@xn--bcher-kva.example"
    assert taken(Address, "news@xn--bcher-kva.example") == "news@xn--bcher-kva.example"
    assert taken(Address, "ana@test") == "ana@test"  # the domain of tests goes nowhere
    for wrong in ("ana", "ana@", "@example.com", "a b@example.com", "ana@example..com"):
        assert rule(Address, wrong).endswith("must be an email address")


@pytest.mark.parametrize("text", ["P1D", "PT1S", "P1W", "PT0.5S", "P1DT2H"])
def test_a_duration_is_positive_iso_8601(text: str) -> None:
    assert taken(Duration, text) == text


@pytest.mark.parametrize("wrong", ["", "P", "P0D", "-P1D", "1D", "86400", "PT-1S", "tomorrow"])
def test_no_time_at_all_and_times_that_go_back_are_no_duration(wrong: str) -> None:
    assert rule(Duration, wrong).endswith("must be a positive ISO 8601 duration such as P1D")


@pytest.mark.parametrize("value", [1, 0, "true", "yes", None])
def test_a_switch_is_true_or_false_and_nothing_like_it(value: object) -> None:
    assert taken(Switch, True) is True
    assert "valid boolean" in rule(Switch, value)


def test_a_limit_is_at_least_100_and_fits_its_column() -> None:
    assert (taken(Limit, 100), taken(Limit, 2**31 - 1)) == (100, 2**31 - 1)
    assert "greater than or equal to 100" in rule(Limit, 99)
    assert "less than or equal to 2147483647" in rule(Limit, 2**31)
    assert "valid integer" in rule(Limit, "100")
    assert "valid integer" in rule(Limit, 100.0)


def nested(levels: int, kind: str) -> dict[str, Any]:
    """An object with so many levels, itself included, of objects or of lists."""
    value: Any = 1
    for _ in range(levels - 1):
        value = {"a": value} if kind == "objects" else [value]
    return {"a": value}


@pytest.mark.parametrize("kind", ["objects", "lists"])
def test_json_is_at_most_ten_levels_deep_with_its_values(kind: str) -> None:
    assert taken(Json, nested(9, kind)) == nested(9, kind)
    for levels in (10, 500):
        assert rule(Json, nested(levels, kind)).endswith("more than 10 levels deep")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=-1)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=-1)
    return 0


@given(st.dictionaries(st.text(max_size=3), json_values, max_size=3))
def test_json_is_kept_as_it_is_when_it_is_shallow_enough(value: dict[str, Any]) -> None:
    if depth(value) < 10:
        assert taken(Json, value) == value
    else:
        assert "levels deep" in rule(Json, value)


@given(st.lists(st.integers(0, 5), max_size=12))
def test_a_segment_named_twice_counts_once_in_the_order_of_the_first(numbers: list[int]) -> None:
    named = [UUID(int=number) for number in numbers]
    assert taken(Segments, named) == sorted(set(named), key=named.index)


def test_at_most_a_thousand_segments_are_named() -> None:
    many = [UUID(int=number) for number in range(1001)]
    assert len(taken(Segments, many[:1000])) == 1000
    assert "at most 1000 items" in rule(Segments, many)
