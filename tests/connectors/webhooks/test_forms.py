"""How the JSON of providers is read: null, missing and another type are all absent."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhooks.forms import Form, UnparsableError, elements, form, instant

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def _everything(one: Form) -> tuple[object, ...]:
    inner = one.form("a")
    return (
        one.text("a"),
        one.spelled("a"),
        one.is_true("a"),
        inner.text("b"),
        inner.form("c").text("d"),
        [part.text("b") for part in one.forms("a")],
        one.texts("a"),
        one.has("a"),
        one.at("a", "b"),
        list(one.items("a")),
    )


_NOTHING: tuple[object, ...] = ("", "", False, "", "", [], [], False, None, [])


@given(_JSON)
def test_whatever_a_member_is_every_question_has_an_answer(value: object) -> None:
    found = _everything(Form({"a": value}))
    assert [type(one) for one in found[:3]] == [str, str, bool]


@pytest.mark.parametrize("members", [{}, {"a": None}])
def test_null_is_absent(members: dict[str, object]) -> None:
    assert _everything(Form(members)) == _NOTHING


def test_a_member_of_another_type_is_absent() -> None:
    one = Form({"a": 1, "b": "x", "c": {"d": 1}, "e": [1, {"f": "g"}, "h", None], "i": True})
    assert (one.text("a"), one.text("i"), one.text("c")) == ("", "", "")
    assert (one.spelled("a"), one.spelled("b"), one.spelled("i")) == ("1", "x", "")
    assert (one.is_true("a"), one.is_true("i")) == (False, True)
    assert one.form("b").text("d") == one.form("c").text("d") == ""
    assert [part.text("f") for part in one.forms("e")] == ["g"]
    assert (one.texts("e"), one.texts("b")) == (["h"], ["x"])
    assert len(one.forms("c")) == 1
    assert "x" not in repr(one)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        ("1769590800", "2026-01-28T09:00:00+00:00"),
        (" 1769590800 ", "2026-01-28T09:00:00+00:00"),
        (1_769_590_800.25, "2026-01-28T09:00:00.250000+00:00"),
        ("1769590800.5", "2026-01-28T09:00:00.500000+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
        ("2026-01-28T09:00:00Z", "2026-01-28T09:00:00+00:00"),
        ("2026-01-28T10:00:00.5+01:00", "2026-01-28T09:00:00.500000+00:00"),
        ("2018-10-08T14:05:45 +0000", "2018-10-08T14:05:45+00:00"),  # a sample of AWS
        ("2009-12-03T04:24:21.000-05:00", "2009-12-03T09:24:21+00:00"),
        ("2026-01-28 09:00:00 +00:00", "2026-01-28T09:00:00+00:00"),
    ],
)
def test_an_instant_may_be_spelled_in_many_ways(value: object, expected: str) -> None:
    assert instant(value) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "value",
    [
        *("soon", "", None, [], {}, True, "１７６９５９０８００", "1e9", "2026-01-28"),
        *(1e300, float("nan"), float("inf"), 253_402_300_800, "9" * 12, 10**400),
        *("2026-01-28T09:00:00", "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"),
        "2026-01-28T09:00:00Z" + " " * 60 + "x",
    ],
)
def test_anything_else_is_no_instant(value: object) -> None:
    assert instant(value) is None


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)))
def test_an_instant_in_iso_8601_is_itself(at: datetime) -> None:
    assert instant(at.isoformat()) == at


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"a": 1}, 2]', [{"a": 1}, 2]),
        (b' \n[{"a": 1}]', [{"a": 1}]),
        (b'{"a": 3}', [{"a": 3}]),
        (b"[]", []),
        (b'"text"', ["text"]),
    ],
)
def test_a_batch_is_its_elements_and_anything_else_is_one(
    body: bytes, expected: list[object]
) -> None:
    assert elements(body) == expected


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[1", b"{", b"\xff", b"[1]x", b"[" * 5_000 + b"]" * 5_000]
)
def test_a_body_that_is_no_json_cannot_be_parsed(body: bytes) -> None:
    with pytest.raises(UnparsableError, match="not JSON in the provider's format"):
        elements(body)
    with pytest.raises(UnparsableError, match="not JSON in the provider's format"):
        form(body)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_a_form_is_an_object(body: bytes) -> None:
    with pytest.raises(UnparsableError):
        form(body)
