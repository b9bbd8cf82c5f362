"""Templates are cut into text and tags as the engine cuts them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from minijinja import Environment, TemplateError

from connectors.templates.language.nesting import too_nested
from connectors.templates.markup.sources import Block, Nodes, Tag, Text, parse

PIECES = st.sampled_from(
    [
        *(" ", "\n", "a", "\x85", "\x1c", "\u3000", "\xa0", "{", "}", "%}"),
        *(
            "{{ x }}",
            "{{- x }}",
            "{{ x -}}",
            "{{- x -}}",
            "{# c #}",
            "{#- c -#}",
            "{#-#}",
            "{#--#}",
        ),
        *("{% raw %} {{ q }} {% endraw %}", "{%- raw -%} z {%- endraw -%}", "{% set y = x %}"),
        *("{% if x %}", "{%- if x -%}", "{%+ if x +%}", "{% endif %}", "{%- else +%}"),
        *("{%- set y -%}", "{% endset -%}", "{% for i in [1] %}", "{% endfor %}"),
    ]
)
ENGINE = Environment(keep_trailing_newline=True)


def written(source: str, nodes: Nodes) -> str:
    """The document of a template all of whose prints are `X` and all of whose conditions hold."""
    made = ""
    for node in nodes:
        match node:
            case Text():
                made += source[node.start : node.stop]
            case Tag():
                made += "X" if source.startswith("{{", node.start) else ""
            case Block() if node.word != "set":
                made += written(source, node.branches[0])
    return made


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_the_texts_are_what_the_engine_outputs(source: str) -> None:
    if too_nested(source):
        return
    try:
        rendered = ENGINE.render_str(source, x="X")
    except TemplateError:
        return
    assert written(source, parse(source)) == rendered


def test_blocks_know_their_branches() -> None:
    [block, kept, filtered] = parse(
        "{% if a %}1{% elif b %}2{% else %}3{% endif %}"
        "{% set x %}y{% endset %}{% set z|upper %}y{% endset %}"
    )
    assert isinstance(block, Block)
    assert (block.word, len(block.branches), block.has_else) == ("if", 3, True)
    assert isinstance(kept, Block)
    assert (kept.name, kept.is_filtered) == ("x", False)
    assert isinstance(filtered, Block)
    assert (filtered.name, filtered.is_filtered) == ("z", True)
