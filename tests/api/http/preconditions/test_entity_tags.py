"""How the tags of a header are read and compared (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.preconditions.entity_tags import TagList, row_tag, tag_list
from streams.errors import MalformedError
from tables.models import Contact, Segment

_CHARACTERS = st.sampled_from("".join(map(chr, [0x21, *range(0x23, 0x7F), *range(0x80, 0x100)])))
_OPAQUE = st.text(_CHARACTERS, max_size=20).map(lambda text: f'"{text}"')
_SEPARATOR = st.sampled_from([",", ", ", " ,\t", ",,", " , , "])


def read(*lines: str) -> TagList:
    """The tags of these lines of a header."""
    found = tag_list("If-Match", lines)
    assert found is not None
    return found


@given(
    st.lists(st.tuples(st.booleans(), _OPAQUE), min_size=1, max_size=6),
    st.lists(_SEPARATOR, min_size=6, max_size=6),
    st.integers(1, 6),
)
def test_a_list_has_its_tags_however_it_is_spelled_and_divided_into_lines(
    tags: list[tuple[bool, str]], separators: list[str], cut: int
) -> None:
    spelled = [("W/" if is_weak else "") + tag for is_weak, tag in tags]
    lines = [
        "".join(tag + separator for tag, separator in zip(part, separators, strict=False))
        for part in (spelled[:cut], spelled[cut:])
        if part
    ]
    found = read(*lines)
    assert found.strong == {tag for is_weak, tag in tags if not is_weak}
    assert found.weak == {tag for is_weak, tag in tags if is_weak}
    for is_weak, tag in tags:
        assert found.holds_weakly(tag)
        assert found.holds(tag) or is_weak
    assert not found.holds('"another one, which is longer"') and not found.holds(None)


@given(st.text(max_size=30))
def test_what_is_no_list_of_tags_is_malformed_and_never_raises_anything_else(text: str) -> None:
    try:
        found = read(text)
    except MalformedError as error:
        assert "If-Match must be * or a list" in error.detail
    else:
        assert found.is_any or found.strong or found.weak


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ",", ", ,", "3", "banana", '"', '"3', '3"', "W/3", 'w/"3"', 'W/ "3"'),
        *('"a" "b"', '"3", *', '*, "3"', '"a b"', '"a\tb"', "'3'", '"3";', '"3"x'),
    ],
)
def test_a_header_that_is_no_list_of_tags_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        read(text)


def test_the_star_stands_for_whatever_is_there() -> None:
    assert read("*").is_any and read(" * ").is_any
    assert read("*").holds('"3"') and not read("*").holds(None)
    assert tag_list("If-Match", []) is None


def test_a_long_header_is_read_at_once() -> None:
    assert len(read(",".join(f'"{number}"' for number in range(8_000))).strong) == 8_000
    with pytest.raises(MalformedError):
        read('" ' * 30_000)


def test_the_versions_of_a_campaign_are_the_strong_tags_that_its_counter_can_be() -> None:
    found = read('"3", W/"4", "05", "x", "12", "9999999999", "-1", "٣"'.encode().decode("latin-1"))
    assert found.versions == {3, 12}


def test_an_error_names_a_few_tags_only() -> None:
    assert str(read("*")) == "*" and str(read('"b", W/"a"')) == '"b", W/"a"'
    assert str(read('"a", "b", "c", "d"')) == '"a", "b", "c", …'
    assert len(str(read(f'"{"x" * 5_000}"'))) == 40


def _contact(**more: Any) -> Contact:
    at = datetime(2026, 1, 28, 9, tzinfo=UTC)
    columns: dict[str, Any] = {
        "id": UUID(int=1),
        "tenant_id": "acme",
        "external_id": None,
        "email": "a@example.com",
        "phone": None,
        "push_token": None,
        "first_name": "Ana",
        "last_name": None,
        "time_zone": None,
        "locale": None,
        "attributes": {"plan": "pro", "n": 10**40},
        "created_at": at,
        "updated_at": at,
    }
    return Contact(**columns | more)


def test_the_tag_of_a_row_changes_with_each_of_its_columns_and_with_nothing_else() -> None:
    again = _contact(attributes={"n": 10**40, "plan": "pro"})
    assert row_tag(_contact()) == row_tag(again)
    others = [
        _contact(**{name: value})
        for name, value in (
            *(("id", UUID(int=2)), ("tenant_id", "b"), ("external_id", "1"), ("email", None)),
            *(("phone", "+12025550123"), ("first_name", None), ("attributes", {"plan": "pro"})),
            ("updated_at", datetime(2026, 1, 28, 9, 0, 0, 1, tzinfo=UTC)),
        )
    ]
    tags = {row_tag(one) for one in (_contact(), *others)}
    assert len(tags) == 1 + len(others)


def test_the_tag_of_a_row_is_one_strong_tag() -> None:
    tag = row_tag(Segment(id=UUID(int=1), name="x", tenant_id="acme", is_mirrored=False))
    assert read(tag) == TagList(strong=frozenset([tag])) and len(tag) == 18
