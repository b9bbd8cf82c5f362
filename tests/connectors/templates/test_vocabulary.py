"""Each word of the template language: what it needs to compile, and that nothing else compiles."""

from __future__ import annotations

import pytest

from connectors.templates.language.dialect import FILTERS, TAGS, refused

_WITH_ARGUMENTS = {"map": "(attribute='p')", "select": "('odd')", "reject": "('odd')"}


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_filter_that_is_offered_may_be_used(name: str) -> None:
    assert refused(f"{{{{ firstName|{name}{_WITH_ARGUMENTS.get(name, '')} }}}}") is None
    if name != "map":
        assert refused(f"{{% filter {name} %}}a{{% endfilter %}}") is None


@pytest.mark.parametrize(
    "name",
    ["batch", "slice", "groupby", "chain", "zip", "pprint", "attr", "striptags", "Upper", "safe2"],
)
def test_a_filter_that_is_not_offered_is_named(name: str) -> None:
    expected = f"line 2: there is no filter `{name}` here"
    assert refused(f"\n{{{{ firstName|{name} }}}}") == expected
    assert refused(f"\n{{% filter {name} %}}a{{% endfilter %}}") == expected


@pytest.mark.parametrize(
    "name", ["include", "import", "from", "extends", "block", "macro", "call", "do", "autoescape"]
)
def test_a_tag_that_is_not_offered_is_named(name: str) -> None:
    assert refused(f"a\n\n{{% {name} 'x' %}}") == f"line 3: there is no tag `{name}` here"


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("{{ range(99) }}", None),
        ("{{ range(1, 99, 7) }}", None),
        ("{{ range( 1 , 2 ) }}", None),
        ("{{ range(100) }}", "`range` takes constants up to 99"),
        ("{{ range(1, 2, 3, 4) }}", "`range` takes constants up to 99"),
        ("{{ range(a) }}", "`range` takes constants up to 99"),
        ("{{ range() }}", "`range` takes constants up to 99"),
        ("{{ loop.cycle('a', 'b') }}", None),
        ("{{ loop.changed(a) }}", None),
        ("{{ loop.other(a) }}", "`loop.other(` cannot be called"),
        ("{{ a.loop.cycle(1) }}", "`loop.cycle(` cannot be called"),
        ("{{ loop.cycle.cycle(1) }}", "`cycle.cycle(` cannot be called"),
        ("{{ a.get('b') }}", "`a.get(` cannot be called"),
        ("{{ f(1) }}", "`f(` cannot be called"),
        ("{{ 'a'(1) }}", "`'a'(` cannot be called"),
        ("{{ (a)(1) }}", "`)(` cannot be called"),
    ],
)
def test_only_range_with_constants_and_two_methods_of_a_loop_are_called(
    source: str, rule: str | None
) -> None:
    assert refused(source) == (None if rule is None else f"line 1: {rule}")


@pytest.mark.parametrize(
    ("source", "is_right"),
    [
        ("{{ a|map(attribute='b') }}", True),
        ('{{ a|map( attribute = "b" ) }}', True),
        ("{{ a|map }}", False),
        ("{{ a|map('upper') }}", False),
        ("{{ a|map(attribute='b', default=[1]) }}", False),
        ("{{ a|map(attribute=b) }}", False),
        ("{{ a|sum }}", True),
        ("{{ a|sum(attribute='b') }}", True),
        ("{{ a|sum(start=[1]) }}", False),
        ("{{ a|tojson }}", True),
        ("{{ a|tojson(2) }}", False),
    ],
)
def test_filters_that_could_make_a_sequence_longer_take_an_attribute_only(
    source: str, is_right: bool
) -> None:
    assert (refused(source) is None) is is_right


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("{{ a + 1 }}", None),
        ("{{ a + 1.5e3 }}", None),
        ("{{ a + b }}", "behind `+` stands a constant number"),
        ("{{ a + 1|list }}", "behind `+` stands a constant number"),
        ("{{ a + 1[0] }}", "behind `+` stands a constant number"),
        ("{{ a + (1) }}", "behind `+` stands a constant number"),
        ("{{ a + 'b' }}", "behind `+` stands a constant number"),
        ("{{ a * 1.19 }}", None),
        ("{{ a * 2 }}", "`* 2`: the constant has a fraction"),
        ("{{ a * 2.0 }}", "`* 2.0`: the constant has a fraction"),
        ("{{ a * b }}", "behind `*` stands a constant number"),
        ("{{ a - b / c // d % e }}", None),
        ("{{ a ** 2 }}", "there is no `**` here"),
        ("{{ a[1:2] }}", "there are no slices here"),
        ("{{ a[1] }}", None),
        ("{{ {'a': 1} }}", None),
        ("{{ [1, 'a', true, none, -1, [2]] }}", None),
        ("{{ [a] }}", "a list or mapping may hold constants only"),
        ("{{ {'a': b} }}", "a list or mapping may hold constants only"),
        ("{{ ['a'[0]] }}", "a list or mapping may hold constants only"),
        ("{{ [1 + 1] }}", "a list or mapping may hold constants only"),
        ("{{ (1, 2) }}", "unexpected `,`: a list is written in square brackets"),
        ("{{ a, b }}", "unexpected `,`: a list is written in square brackets"),
        ("{% for a, b in c %}", None),
        ("{% for a in b, c %}", "unexpected `,`: a list is written in square brackets"),
        ("{% set a, b = c %}", "unexpected `,`: a list is written in square brackets"),
        ("{{ a ) }}", "unexpected `)`"),
        ("{{ a ? b }}", "unexpected `?`"),
        ("{{ a § }}", "unexpected `§`"),
    ],
)
def test_no_step_makes_a_sequence_longer_or_nests_it(source: str, rule: str | None) -> None:
    found = refused(source)
    if rule is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith(f"line 1: {rule}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ a is defined }}",
        "{{ a is not divisibleby(2) }}",
        "{{ a not in ['x'] }}",
        "{{ loop }}",
        "{{ in_stock }}",
        "{{ a.if.for }}",
        "{{ firstName if a else b }}",
        "{%- if a -%}{%+ endif +%}",
        "{# {% include 'x' %} #}",
        "{% raw %}{{ f() }}{% endraw %}",
        "{% raw %}{% nothing %}{% endraw %}",
    ],
)
def test_ordinary_words_are_taken_for_what_they_are(source: str) -> None:
    assert refused(source) is None


def test_tags_are_those_of_conditions_loops_names_and_filters() -> None:
    opening = {name for name in TAGS if f"end{name}" in TAGS}
    assert opening == {"if", "for", "set", "with", "filter", "raw"}
    assert TAGS - opening - {f"end{name}" for name in opening} == {"elif", "else"}
