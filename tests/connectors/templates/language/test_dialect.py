"""What templates may say and what they may not: methods stay out of reach, and no step of a
template is long.
"""

from __future__ import annotations

from typing import Any

import pytest

from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import RenderError, Template
from tests.pace import pace, thread_seconds

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
HOSTILE = {
    "tags": [str(n) for n in range(480)],
    "more": [str(n) for n in range(480)],
    "long": "xy" * 30_000,
    "word": "x" * 2_000,
}
_LONGEST = 2.0  # seconds of the thread, on a machine of the usual pace; the longest step takes 0.15


def sms(text: str) -> Template:
    return Template("sms", {"text": text}, "Sale", Tracking("https://mail.example"), Links())


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in range(99) %}{% for b in range(99) %}{% for c in range(99) %}"
        "x{% endfor %}{% endfor %}{% endfor %}",
        "{{ firstName|replace('', firstName)|replace('', firstName)"
        "|replace('', contact.attributes.long) }}",
        "{{ contact.attributes.tags|join(contact.attributes.long) }}",
        "{{ 'x'|indent(100000000) }}",
        "{{ '%099999999d'|format(1) }}",
        "{% set a = contact.attributes.long %}" + "{% set a = a ~ a %}" * 60 + "{{ a }}",
        "{{ contact.__class__ }}",
        "{{ contact.keys }}",
        "{{ contact.attributes.tags.append }}",
        "{{ campaign.__init__.__globals__ }}",
        "{{ firstName.__class__.__mro__ }}",
        "{{ 1 / 0 }}",
        "{{ 'a\\0b' }}",
    ],
)
def test_a_hostile_template_fails_fast_and_harms_nothing(text: str) -> None:
    template = sms(text)

    def fail() -> None:
        with pytest.raises(RenderError):
            template.render({"firstName": "Ana", "attributes": HOSTILE}, ID)

    assert thread_seconds(fail) < _LONGEST * pace()


@pytest.mark.parametrize(
    "step",
    [
        "{% if A.tags == A.more %}{% endif %}",
        "{% if 'nosuch' in A.tags %}{% endif %}",
        "{% if L == M %}{% endif %}",
        "{{ A[range(99)] is defined }}{{ A[L] is defined }}{{ A[A.tags] is defined }}",
        "{{ A|tojson|length }}{{ A.tags|sort|unique|join|length }}",
        "{{ A.long|upper|title|replace('x', 'yy')|length }}",
        "{{ A.tags|select('in', A.more)|list|length }}{{ A|dictsort|length }}",
    ],
)
def test_no_single_step_is_long(step: str) -> None:
    text = "{% set A = contact.attributes %}{% set L = A.word|list %}{% set M = A.word|list %}"
    template = sms(
        text + "{% for i in A.tags %}{% for j in A.tags %}" + step + "{% endfor %}{% endfor %}"
    )

    def fail() -> None:
        with pytest.raises(RenderError, match="out of fuel"):
            template.render({"attributes": HOSTILE}, ID)

    assert thread_seconds(fail) < _LONGEST * pace()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "{% for i in x %}{{ contact.setdefault(i, contact.fromkeys(x)) }}{% endfor %}",
            "`contact.setdefault(` cannot be called",
        ),
        ("{{ contact\n.\nupdate (x) }}", "`contact.update(` cannot be called"),
        ("{{ contact.attributes.tags.append(1) }}", "cannot be called"),
        ("{{ contact['setdefault'](1, 2) }}", "cannot be called"),
        ("{{ (contact.setdefault)(1, 2) }}", "cannot be called"),
        ("{{ (contact|attr('setdefault'))(1, 2) }}", "no filter `attr`"),
        ("{{ {'a': contact.pop}['a'](1) }}", "constants only"),
        ("{% set f = contact.pop %}{{ f('a') }}", "`f(` cannot be called"),
        ("{% if contact.pop('a') %}{% endif %}", "cannot be called"),
        ("{% if contact.if('a') %}{% endif %}", "cannot be called"),
        ("{{ contact.loop.cycle(1) }}", "cannot be called"),
        ("{{ 'a'.upper() }}", "cannot be called"),
        ("{{ 'a'|upper()(1) }}", "cannot be called"),
        ("{{ x|default(contact.pop('a')) }}", "cannot be called"),
        ("{{ x is eq(contact.pop('a')) }}", "cannot be called"),
        ("{{ ['a', contact.pop('a')] }}", "constants only"),
        ("{{ '{#' ~ contact.pop('#}') }}", "cannot be called"),
        ("{# {{ #}{{- contact.pop('a') -}}", "cannot be called"),
        ("{% raw %}{{{% endraw %}{{ contact.pop('a') }}", "cannot be called"),
        ("{% filter default(contact.pop('a')) %}x{% endfilter %}", "cannot be called"),
        ("{% filter attr('a') %}x{% endfilter %}", "no filter `attr`"),
        ("{{ range(99999999) }}", "`range` takes constants up to 99"),
        ("{{ range(x) }}", "`range` takes constants up to 99"),
        ("{{ debug() }}", "`debug(` cannot be called"),
        ("{{ dict(a=x) }}", "`dict(` cannot be called"),
        ("{% set n = namespace(a='x') %}", "`namespace(` cannot be called"),
        ("{% macro m() %}{% endmacro %}", "no tag `macro`"),
        ("{% call m() %}{% endcall %}", "no tag `call`"),
        ("{% do contact.pop('a') %}", "no tag `do`"),
        ("{% include 'html' %}", "no tag `include`"),
        ("{% import 'html' as x %}", "no tag `import`"),
        ("{% extends 'html' %}", "no tag `extends`"),
        ("{% for a in x recursive %}{{ loop(a) }}{% endfor %}", "`loop(` cannot be called"),
        ("{% if [1] * 9999999 == x %}{% endif %}", "the constant has a fraction"),
        ("{{ [1] * 9999999.0 }}", "the constant has a fraction"),
        ("{{ x * 1.5|int }}", "behind `*` stands a constant"),
        ("{{ 3 * x }}", "behind `*` stands a constant"),
        ("{{ 'x' * 100000000 }}", "the constant has a fraction"),
        ("{{ x + x }}", "behind `+` stands a constant"),
        ("{{ x + 1|list }}", "behind `+` stands a constant"),
        ("{{ x ** 9 }}", "no `**`"),
        ("{{ x|select(*x) }}", "behind `*`"),
        ("{% set a = [a, a] %}", "constants only"),
        ("{% set a = {'a': a} %}", "constants only"),
        ("{% set a = (a, a) %}", "unexpected `,`"),
        ("{% set a = a, a %}", "unexpected `,`"),
        ("{% set a = a|zip(a) %}", "no filter `zip`"),
        ("{% set a = a|chain(a) %}", "no filter `chain`"),
        ("{% set a = a|batch(9, a) %}", "no filter `batch`"),
        ("{% set a = ['', '']|map('default', a, true) %}", "`map` takes an attribute only"),
        ("{% set a = ['', '']|map(attribute='x', default=a) %}", "`map` takes an attribute only"),
        ("{{ contact|tojson(indent=99999999)|length }}", "`tojson` takes no indent"),
        ("{{ a|sum(start=a) }}", "`sum` takes an attribute only"),
        ("{% set a = a[:] %}", "no slices"),
        ("{{ 1 $ 2 }}", "unexpected"),
    ],
)
def test_what_fuel_does_not_bound_does_not_compile(text: str, says: str) -> None:
    with pytest.raises(RenderError) as raised:
        sms(text)
    assert raised.value.detail.startswith("text, line 1: ")
    assert says in raised.value.detail


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ contact.attributes.tags|join(', ') }} {{ contact.attributes.tags[0] }}", "b, a b"),
        (
            "{% for k, v in contact.attributes.x|items %}"
            "{{ loop.index + 1 }}{{ k }}={{ v }}{% endfor %}",
            "2y=1",
        ),
        (
            "{% if 'b' in contact.attributes.tags and firstName not in ['x', 'y'] %}y"
            "{% elif 1 %}z{% else %}w{% endif %}",
            "y",
        ),
        ("{{ {'de': 'Hallo', 'en': 'Hi'}[contact.attributes.language]|default('Hey') }}", "Hallo"),
        (
            "{{ contact.attributes.price * 1.19 }} {{ contact.attributes.price / 0.01 }}"
            " {{ contact.attributes.price - -1 }}",
            "2.38 200.0 3.0",
        ),
        ("{% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}", "aba"),
        (
            "{{ contact.attributes.goods|map(attribute='p')|sum }}"
            " {{ contact.attributes.goods|selectattr('p', 'eq', 2)|list }}",
            "3 [{'p': 2}]",
        ),
        (
            "{% set n = firstName|upper %}{% with a = n %}{{ a ~ '!' }}{% endwith %}"
            "{% filter lower %}ABC{% endfilter %}",
            "ANA!abc",
        ),
        ("{% raw %}{{ x.y() }}{% endraw %}{# x.y() #}", "{{ x.y() }}"),
        (
            "{{ (contact.attributes.price is not divisibleby(2))"
            " or firstName is startingwith('B') }}",
            "False",
        ),
        (
            "{{ '%.2f'|format(contact.attributes.price) }} {{ contact.attributes.price|round }}",
            "2.00 2.0",
        ),
        (
            "{{ contact.attributes.tags == ['b', 'a'] }} {{ contact.attributes is mapping }}",
            "True True",
        ),
        ("{{ contact.attributes.get }} {{ contact.attributes|tojson|length > 9 }}", "G True"),
    ],
)
def test_ordinary_templates_may_say_what_they_need(text: str, rendered: str) -> None:
    attributes = {
        "tags": ["b", "a"],
        "x": {"y": 1},
        "language": "de",
        "price": 2.0,
        "goods": [{"p": 1}, {"p": 2}],
        "get": "G",
    }
    assert sms(text).render({"firstName": "Ana", "attributes": attributes}, ID) == {
        "text": rendered
    }


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": [0] * 1000},
        {"a": [[0] * 600, {"b": [0] * 600}]},
        {str(number): 0 for number in range(1001)},
    ],
)
def test_the_elements_of_a_contact_are_bounded(attributes: dict[str, Any]) -> None:
    with pytest.raises(RenderError, match="more than 1,000 elements"):
        sms("{{ contact.attributes.a }}").render({"attributes": attributes}, ID)


def test_attributes_may_be_nested_deep() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    for attributes in ({"a": deep}, {"a": [deep]}):
        try:
            assert sms("{{ contact.attributes.a|length }}").render(
                {"attributes": attributes}, ID
            ) == {"text": "1"}
        except RenderError as error:
            assert "too many levels" in error.detail
