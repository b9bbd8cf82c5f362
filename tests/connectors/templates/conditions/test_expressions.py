"""Conditions on missing values, and comparisons of texts with numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minijinja import Environment

from connectors.templates.conditions.expressions import forgiving
from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import RenderError, Template

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
EMPTY: dict[str, Any] = {"attributes": {}}


def sms(text: str, **attributes: Any) -> str:
    template = Template("sms", {"text": text}, "Sale", Tracking("https://mail.example"), Links())
    return template.render({"firstName": "Ana", "attributes": attributes}, ID)["text"]


def holds(condition: str, **attributes: Any) -> bool:
    text = (
        "{% if " + condition.replace("@", "contact.attributes.") + " %}yes{% else %}no{% endif %}"
    )
    return sms(text, **attributes) == "yes"


@pytest.mark.parametrize(
    "condition",
    [
        *("@a", "@a.b", "@a.b.c", "@a['b'].c", "@a[0]", "lastName", "lastName.x"),
        *("@a and @b", "@a or @b", "not not @a", "firstName and @a", "@a or lastName"),
        *("@a == 1", "1 == @a", "@a == '1'", "@a == 'x'", "'x' == @a", "@a == true", "@a == []"),
        *("@a == @b.c", "@a == firstName", "@a.b.c == 3", "@a|upper == 'X'", "'X' == @a|upper"),
        *("@a > 1", "@a >= 1", "@a < 1", "@a <= 1", "1 < @a", "@a < 'x'", "@a > @b", "@a|int > 1"),
        *("@a|length", "@a|length > 0", "@a|first", "@a|sort|first == 'x'", "@a|join(',') == ''"),
        *("@a in ['x']", "@a in [1]", "'x' in @a", "1 in @a", "@a in @b", "@a|lower in ['x']"),
        *("@a ~ 'x' == 'x'", "@a + 1 > 0", "@a * 1.5 > 0", "-@a < 1", "(@a) == 1", "(@a|upper)"),
        *(
            "@a is defined",
            "@a.b.c is defined",
            "@a is startingwith('x')",
            "@a is odd",
            "@a is gt(1)",
        ),
        *("@a is eq(1)", "'x' is in(@a)", "@a is not defined and false", "(@a if @b else @c)"),
        *("@a|default('') == 'x'", "@a.b.c|default('') == 'x'", "@a|min > 1", "@a|selectattr('b')"),
    ],
)
def test_a_condition_on_a_missing_value_takes_the_else_branch(condition: str) -> None:
    assert not holds(condition)
    assert holds(f"not ({condition})")
    if " else " not in condition:
        assert (
            sms("{{ 'yes' if " + condition.replace("@", "contact.attributes.") + " else 'no' }}")
            == "no"
        )


@pytest.mark.parametrize(
    "condition",
    [
        "not @a",
        "@a != 1",
        "@a != 'x'",
        "'x' not in @a",
        "@a not in ['x']",
        "@a is not startingwith('x')",
        "@a is undefined",
        "@a.b is not defined",
    ],
)
def test_the_denial_of_a_missing_value_holds(condition: str) -> None:
    assert holds(condition)


@pytest.mark.parametrize(
    "condition",
    [
        *("@here|default(@b) == 'x'", "@here|d(@b)|upper == 'X'", "'x' == @here|default(@b, true)"),
        *("@here|default(@b)", "'a' ~ @here|default(@b.c) == 'ax'", "@a|default(@here) == 'x'"),
        *("@a|default(@b)|default(@here) == 'x'", "not (@a|default(@b)|upper == 'X')"),
    ],
)
def test_a_missing_default_counts_only_where_it_is_needed(condition: str) -> None:
    assert holds(condition, here="x")


@pytest.mark.parametrize(
    "over",
    [
        "@a",
        "@a.b",
        "@a|sort",
        "@a|items",
        "@a or @b",
        "(@a)",
        "@a if @b else @c",
        "@a|map(attribute='x')",
    ],
)
def test_a_loop_over_a_missing_value_takes_else(over: str) -> None:
    over = over.replace("@", "contact.attributes.")
    if " if " in over:
        over = f"({over})"
    assert sms("{% for x in " + over + " %}x{% else %}none{% endfor %}") == "none"


def test_a_loop_with_a_condition_on_missing_values_leaves_them_out() -> None:
    goods = [{"price": 5, "of": {"kind": "x"}}, {}, {"price": "20", "of": {"kind": "y"}}]
    text = "{% for g in contact.attributes.goods if g.price > 10 %}{{ g.of.kind }}{% endfor %}"
    assert sms(text, goods=goods) == "y"


@pytest.mark.parametrize(
    "printed",
    [
        "lastName",
        "lastName|upper",
        "lastName ~ '!'",
        "contact.attributes.a.b",
        "(lastName)",
        "lastName if 1 else 2",
        "x",
        "y",
    ],
)
def test_a_missing_value_that_is_printed_is_an_error(printed: str) -> None:
    text = "{% set x = lastName %}{% set y = lastName|upper %}{{ " + printed + " }}"
    with pytest.raises(RenderError, match="is undefined"):
        sms(text)


@pytest.mark.parametrize(
    ("text", "number", "order"),
    [
        ("3", 10, -1), ("10", 10, 0), ("11", 10, 1), ("-3", -2, -1), ("3.5", 3, 1), ("3.0", 3, 0),
        ("007", 7, 0), ("0.1", 0.1, 0), ("99", 100.5, -1), ("123456789012345678901234567890", 1, 1),
        ("-0", 0, 0), ("9", 10, -1),
    ],
)  # fmt: skip
def test_a_text_that_spells_a_number_is_compared_as_one(
    text: str, number: float, order: int
) -> None:
    expected = {
        ">": order > 0,
        ">=": order >= 0,
        "<": order < 0,
        "<=": order <= 0,
        "==": not order,
        "!=": bool(order),
    }
    mirrored = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
    tests = {">": "gt", ">=": "ge", "<": "lt", "<=": "le", "==": "eq", "!=": "ne"}
    for sign, is_so in expected.items():
        assert holds(f"@t {sign} {number}", t=text) is is_so
        assert holds(f"{number} {mirrored.get(sign, sign)} @t", t=text) is is_so
        assert holds(f"@t {sign} @n", t=text, n=number) is is_so
        assert holds(f"@t|trim {sign} @n", t=text, n=number) is is_so
        assert holds(f"@t is {tests[sign]}({number})", t=text) is is_so
        assert holds(f"@n {sign} {number}", n=number) is (sign in ("==", ">=", "<="))
    assert holds(f"@t in [{number}, 'x']", t=text) is (order == 0)


@pytest.mark.parametrize(
    "text", ["", "x", "1e5", "inf", "nan", " 3", "3 ", "+3", "3,5", "1_000", "٣", "0x3", "3."]
)
@pytest.mark.parametrize(
    "condition",
    [
        "@t > 2",
        "2 < @t",
        "@t <= @n",
        "@t|trim('-') >= 2",
        "@t is gt(2)",
        "[2]|select('<', @t)|list",
    ],
)
def test_another_text_has_no_order_with_a_number(text: str, condition: str) -> None:
    with pytest.raises(RenderError, match=r"^text(, line \d)?: .* cannot be compared with"):
        holds(condition, t=text, n=2)
    assert not holds("@t == 3", t=text)
    assert holds("@t != 3", t=text)


def test_the_line_of_a_comparison_is_told() -> None:
    with pytest.raises(RenderError, match=r"^text, line 3: 'many' cannot be compared with 10$"):
        sms("\n\n{% if contact.attributes.n > 10 %}{% endif %}", n="many")


def test_texts_are_ordered_as_texts_and_numbers_as_numbers() -> None:
    assert holds("@a > @b", a="b", b="a")
    assert holds("@a > 'a'", a="b")
    assert holds("@a < @b", a="10", b="9")
    assert holds("@a < @b", a=9, b=10.5)


def test_what_is_sorted_is_of_one_kind() -> None:
    text = "{{ A|sort|join(' ') }} {{ A|max }} {{ A|min }}".replace("A", "contact.attributes.a")
    assert sms(text, a=["10", 9, "8"]) == "8 9 10 10 8"
    assert sms(text, a=["b", "a"]) == "a b b a"
    with pytest.raises(RenderError, match="cannot be compared"):
        sms(text, a=["x", 9])
    by_part = "{{ (contact.attributes.a|sort(attribute='p')|first).p }}"
    assert sms(by_part, a=[{"p": 2}, {"p": 1}]) == "1"
    with pytest.raises(RenderError, match="p is a text in some"):
        sms(by_part, a=[{"p": 2}, {"p": "1"}])


VALUES: dict[str, Any] = {
    "n": 5,
    "f": 2.5,
    "s": "abc",
    "e": "",
    "l": [1, "a"],
    "m": {"a": {"b": "c"}},
    "t": True,
}
_NUMBERS = st.sampled_from(
    ["n", "f", "3", "5", "n + 1", "f * 1.5", "(n)", "s|length", "-n", "m.a|length"]
)
_TEXTS = st.sampled_from(
    ["s", "e", "'abc'", "'x'", "s|upper", "m.a.b", "m['a'].b", "s ~ 'x'", "l[1]", "s|default('y')"]
)
_TESTS = st.sampled_from(["is defined", "is string", "is not number", "is startingwith('a')"])
_LISTS = st.sampled_from(["l", "['abc', 'x']", "l|list", "m"])


def _of(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def made(*parts: Any) -> st.SearchStrategy[str]:
        return st.tuples(*(st.just(one) if isinstance(one, str) else one for one in parts)).map(
            " ".join
        )

    orders = st.sampled_from(["<", ">", "<=", ">=", "==", "!="])
    return st.one_of(
        made(_NUMBERS, orders, _NUMBERS),
        made(_TEXTS, orders, _TEXTS),
        made(_TEXTS, st.sampled_from(["in", "not in"]), _LISTS),
        made(inner, st.sampled_from(["and", "or", "\nand\n"]), inner),
        made("not", inner),
        made("(", inner, ")"),
        made("(", inner, "if", inner, "else", inner, ")"),
        made("(", _TEXTS, _TESTS, ")"),
        made("(", _TEXTS, "if", inner, "else", _NUMBERS, ")"),
    )


CONDITIONS = st.recursive(_NUMBERS | _TEXTS | st.sampled_from(["t", "l"]), _of, max_leaves=8)
PLAIN = Environment(undefined_behavior="strict", fuel=20_000)


@settings(deadline=None, max_examples=400)
@given(CONDITIONS)
def test_a_condition_on_values_that_are_there_means_what_it_meant(condition: str) -> None:
    source = "{{ 1 }}\n{{ (" + condition + ") }} {{ 'y' if (" + condition + ") else 'n' }}"
    text = source
    for name in VALUES:
        text = text.replace(
            "{{ 1 }}", "{% set " + name + " = contact.attributes." + name + " %}{{ 1 }}"
        )
    assert sms(text, **VALUES) == PLAIN.render_str(source, **VALUES)
    assert forgiving(source).count("\n") == source.count("\n")


@settings(deadline=None, max_examples=300)
@given(CONDITIONS)
def test_no_condition_on_missing_values_is_an_error(condition: str) -> None:
    assert sms("{% if (" + condition + ") %}y{% else %}n{% endif %}") in ("y", "n")
