"""Tags are found where the engine finds them, and what is too long or too many is named."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from minijinja import Environment, TemplateError

from connectors.templates.language.nesting import MAX_BLOCK_TAGS, MAX_TAG, tags, too_nested

pieces = st.sampled_from(
    [
        "a",
        " ",
        "\n",
        "{{ 1 }}",
        "{{- 'x' -}}",
        '{{ "}}" }}',
        "{{ [1, {'a': 2}] }}",
        "{% if 1 %}",
        "{% endif %}",
        "{%+ set b = '%}' -%}",
        "{# {{ ' #}",
        "{% raw %}",
        "{% endraw %}",
        "{%- raw -%}{{ ' {%- endraw -%}",
        "{",
        "}",
        "{{",
        "}}",
        "{%",
        "%}",
        "{#",
        "#}",
        "'",
        '"',
        "\\",
        "(",
        ")",
    ]
)
sources = st.lists(pieces, max_size=12).map("".join)


@given(sources)
@example("{{ '\\'}}' }}")
@example("{% raw %}{% endraw")
def test_every_tag_is_text_of_the_source_in_its_place_and_ends_as_it_began(source: str) -> None:
    if too_nested(source) is not None:
        return
    position = 0
    for start, text in tags(source):
        assert start >= position
        assert source[start : start + len(text)] == text
        between = source[position:start]
        assert not any(opening in between for opening in ("{{", "{%", "{#"))
        closing = {"{{": "}}", "{%": "%}", "{#": "#}"}[text[:2]]
        assert text.endswith(closing) and len(text) >= 4
        position = start + len(text)
    assert not any(opening in source[position:] for opening in ("{{", "{%", "{#"))


@given(sources)
def test_what_the_engine_takes_has_only_tags_that_end(source: str) -> None:
    """A source that is refused here would have been refused by the engine, too: nothing in these
    pieces is long or deep.
    """
    try:
        Environment().add_template("t", source)
    except TemplateError:
        return
    assert too_nested(source) is None


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("", []),
        ("no tag { } here", []),
        ("a{{ b }}c", [(1, "{{ b }}")]),
        ("{{a}}{{b}}", [(0, "{{a}}"), (5, "{{b}}")]),
        ("{{ '}}' }}", [(0, "{{ '}}' }}")]),
        ("{{ {'a': {}} }}", [(0, "{{ {'a': {}} }}")]),
        ("{# a }} {{ #}b", [(0, "{# a }} {{ #}")]),
        ("{#-#}", [(0, "{#-#}")]),
        ("{% raw %}{{ a {% endraw %}b", [(0, "{% raw %}{{ a {% endraw %}")]),
        ("{%-raw-%}{% if %}{%-endraw+%}", [(0, "{%-raw-%}{% if %}{%-endraw+%}")]),
        ("{% rawx %}{{ a }}", [(0, "{% rawx %}"), (10, "{{ a }}")]),
        ("{%- if a -%}{% endif %}", [(0, "{%- if a -%}"), (12, "{% endif %}")]),
    ],
)
def test_tags_comments_and_raw_blocks_are_found_whole(
    source: str, found: list[tuple[int, str]]
) -> None:
    assert too_nested(source) is None
    assert list(tags(source)) == found


@pytest.mark.parametrize(
    "source",
    [
        "{{",
        "{{ a",
        "{{ a %}",
        "{% a }}",
        "{# a",
        "{# a }}",
        "{{ 'a }}",
        '{{ "a }}',
        "{{ (a }}",
        "{{ a) }}",
        "{{ '\\' }}",
        "{% raw %}{{ a }}",
        "{% raw %}{% endraw",
    ],
)
def test_what_does_not_end_is_told_with_its_line(source: str) -> None:
    assert too_nested(source) == "line 1: a tag or comment is not closed"
    assert too_nested("{{ 1 }}\n\n{# \n #}" + source) == "line 4: a tag or comment is not closed"


def tag_of(characters: int) -> str:
    return "{{ " + "a" * (characters - 6) + " }}"


def test_a_tag_has_at_most_a_thousand_characters() -> None:
    assert MAX_TAG == 1000
    assert too_nested(tag_of(1000)) is None
    assert too_nested("\n" + tag_of(1001)) == (
        "line 2: a tag has 1,001 characters, the limit is 1,000"
    )
    block = "{% if " + "a" * 1000 + " %}"
    assert too_nested(block) == f"line 1: a tag has {len(block):,} characters, the limit is 1,000"


def test_comments_and_raw_blocks_may_be_as_long_as_they_like() -> None:
    for source in ("{#" + "a" * 5000 + "#}", "{% raw %}" + "{{ a }}" * 5000 + "{% endraw %}"):
        assert too_nested(source) is None


def test_there_are_at_most_a_thousand_block_tags_and_any_number_of_others() -> None:
    assert MAX_BLOCK_TAGS == 1000
    assert too_nested("{% if 1 %}{% endif %}" * 500 + "{{ 1 }}{# a #}" * 2000) is None
    one_more = "{% if 1 %}\n{% endif %}" * 500 + "{% set a = 1 %}"
    assert too_nested(one_more) == "line 501: there are more than 1,000 block tags"


def test_a_raw_block_is_one_block_tag_whatever_is_in_it() -> None:
    raw = "{% raw %}" + "{% if 1 %}" * 2000 + "{% endraw %}"
    assert too_nested(raw) is None
    assert too_nested(raw + "{% if 1 %}" * 999) is None
    assert too_nested(raw + "{% if 1 %}" * 1000) is not None
