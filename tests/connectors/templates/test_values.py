"""What a template sees of a contact: no method, no null, and no more than is bounded."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from minijinja import Environment

from connectors.templates.values import (
    MAX_ELEMENTS,
    Hiding,
    TooManyElementsError,
    needs_hiding,
    without_methods,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)
contacts = st.fixed_dictionaries(
    {},
    optional={
        "firstName": st.none() | st.text(max_size=4),
        "email": st.none() | st.text(max_size=4),
        "attributes": st.dictionaries(st.text(max_size=4), json_values, max_size=4),
    },
)


_KINDS: tuple[type[dict[str, Any]], ...] = (dict, Hiding)


@given(contacts, st.sampled_from(_KINDS))
def test_the_copy_holds_what_the_contact_holds_but_for_nulls(
    contact: dict[str, Any], make: type[dict[str, Any]]
) -> None:
    copied = without_methods(contact, make=make)
    expected = {name: value for name, value in contact.items() if value is not None}
    if attributes := contact.get("attributes"):
        expected["attributes"] = {
            name: value for name, value in attributes.items() if value is not None
        }
    assert copied == expected
    assert list(copied) == list(expected)
    assert type(copied) is make


@given(contacts)
def test_the_contact_itself_is_never_changed(contact: dict[str, Any]) -> None:
    before = repr(contact)
    without_methods(contact)
    assert repr(contact) == before


@pytest.mark.parametrize("method", ["get", "keys", "values", "pop", "update", "clear"])
def test_a_key_named_as_a_method_is_a_key_and_a_method_is_nothing(method: str) -> None:
    engine = Environment(undefined_behavior="strict")
    source = f"{{{{ contact.attributes.{method}|default('nothing') }}}}"
    for attributes, shown in ({method: "a value"}, "a value"), ({"other": 1}, "nothing"):
        copied = without_methods({"attributes": attributes})
        assert engine.render_str(source, contact=copied) == shown


def test_lists_below_an_attribute_have_no_methods_either() -> None:
    copied = without_methods({"attributes": {"a": [[3, 1], {"b": [2]}]}}, make=dict)
    inner = copied["attributes"]["a"]
    for value in (inner, inner[0], inner[1], inner[1]["b"]):
        for name in ("append", "sort", "pop", "clear"):
            assert not hasattr(value, name)
    assert list(inner[0]) == [3, 1]


@pytest.mark.parametrize(
    ("used", "needs"),
    [
        ([], False),
        (["firstName", "contact.firstName", "contact.attributes.plan"], False),
        (["contact"], True),
        (["contact.attributes"], True),
        (["attributes"], True),
        (["contact.attributes.items"], True),
        (["contact.get"], True),
        (["contact.attributes.plan.values"], True),
        (["contact.attributes.itemised"], False),
        (["firstName", "attributes.pop"], True),
    ],
)
def test_only_a_template_that_could_see_a_method_needs_them_hidden(
    used: list[str], needs: bool
) -> None:
    assert needs_hiding(used) is needs


@pytest.mark.parametrize(
    "at_the_limit",
    [
        {str(number): 0 for number in range(MAX_ELEMENTS)},
        {"a": [0] * (MAX_ELEMENTS - 1)},
        {"a": {str(number): 0 for number in range(MAX_ELEMENTS - 1)}},
        {"a": [[0] * 498, {str(number): 0 for number in range(499)}]},
        {"a": [0] * 499, "b": [0] * 499},
    ],
    ids=["attributes", "a list", "a mapping", "a list and a mapping in a list", "two lists"],
)
def test_a_thousand_elements_of_all_levels_together_are_taken_and_one_more_is_not(
    at_the_limit: dict[str, Any],
) -> None:
    assert MAX_ELEMENTS == 1000
    without_methods({"attributes": at_the_limit})
    with pytest.raises(TooManyElementsError):
        without_methods({"attributes": {**at_the_limit, "one more": 0}})


def test_an_empty_container_counts_as_the_one_element_that_it_is() -> None:
    without_methods({"attributes": {"a": [[]] * 999}})
    with pytest.raises(TooManyElementsError):
        without_methods({"attributes": {"a": [[]] * 1000}})


def test_a_null_within_a_list_or_deeper_stays_where_it_is() -> None:
    copied = without_methods({"attributes": {"a": [None, {"b": None}], "c": None}})
    assert list(copied["attributes"]) == ["a"]
    assert next(iter(copied["attributes"]["a"])) is None
    assert copied["attributes"]["a"][1]["b"] is None
