"""What is told the author of a template, or of an A/B test's subjects, before anybody gets it."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.templates.checks import check_template, template_hints
from connectors.templates.subject_checks import check_subjects
from streams.contracts.ab_tests import AbTest
from streams.contracts.bodies import CampaignCreate, CampaignUpdate, Explanation, validated
from streams.errors import CampaignError
from tests.streams.contracts.test_ab_tests import body


def refused(channel: str, content: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(CampaignError) as wrong:
        check_template(channel, content)
    return [(error.field, error.message) for error in wrong.value.errors]


@pytest.mark.parametrize(
    ("channel", "content"),
    [
        ("sms", {"text": "Hi {{ firstName|default('you') }}"}),
        ("email", {"subject": "s", "html": '<a href="https://a.example">{{ email }}</a>'}),
        ("email", {"subject": "s", "text": "https://a.example/{{ locale }}"}),
        ("push", {"title": "t", "body": "b", "link": "https://a.example"}),
        ("whatsapp", {"text": "{% if locale == 'de' %}Hallo{% else %}Hello{% endif %}"}),
    ],
)
def test_a_template_that_can_be_sent_passes(channel: str, content: dict[str, str]) -> None:
    check_template(channel, content)


@pytest.mark.parametrize(
    ("channel", "content", "wrong"),
    [
        (
            "sms",
            {"text": "a\n{{ f( }}"},
            [("content.text", "line 2: a tag or comment is not closed")],
        ),
        ("sms", {"text": "a\n{{ f() }}"}, [("content.text", "line 2: `f(` cannot be called")]),
        (
            "email",
            {"subject": "{% include 'x' %}", "text": "t"},
            [("content.subject", "line 1: there is no tag `include` here")],
        ),
        ("email", {"subject": "s"}, [("content", "email needs html, text or both")]),
        (
            "sms",
            {"text": "x", "html": "y"},
            [("content.html", "sms has no such field; it has text")],
        ),
        ("sms", {"text": ""}, [("content.text", "sms needs it")]),
        (
            "push",
            {"title": "x" * 201, "body": 7},
            [
                ("content.title", "a text of at most 200 characters, without NUL"),
                ("content.body", "a text of at most 4,000 characters, without NUL"),
            ],
        ),
        ("fax", {"text": "x"}, [("channel", "one of email, sms, whatsapp, push")]),
    ],
)
def test_a_template_that_cannot_be_sent_names_part_line_and_rule(
    channel: str, content: dict[str, Any], wrong: list[tuple[str, str]]
) -> None:
    assert refused(channel, content) == wrong


@pytest.mark.parametrize(
    ("channel", "content", "size", "is_exact"),
    [
        ("sms", {"text": "Hello"}, {"units": 5, "segments": 1}, True),
        ("sms", {"text": "Hi {{ firstName }}!"}, {"units": 4, "segments": 1}, False),
        ("sms", {"text": "a{# note #}b{% if 1 %}c{% endif %}"}, {"units": 3}, False),
        ("sms", {"text": "a{% raw %}{{ b }}{% endraw %}"}, {"units": 1}, False),
        ("sms", {"text": "{{ not closed"}, {"units": 15}, True),
        ("whatsapp", {"text": "é{{ a }}é"}, {"characters": 2}, False),
        ("push", {"title": "a{{ b }}", "body": "é"}, {"bytes": 3}, False),
        ("email", {"subject": "s{{ a }}", "html": "<p>é</p>"}, {"bytes": 9}, False),
        ("email", {"subject": "s", "html": "<p>é</p>"}, {"bytes": 9}, True),
    ],
)
def test_hints_are_those_of_the_words_between_the_tags(
    channel: str, content: dict[str, str], size: dict[str, int], is_exact: bool
) -> None:
    found = template_hints(channel, content)
    assert found["isExact"] is is_exact
    assert {name: found[name] for name in size} == size


def with_subjects(*subjects: str | None) -> dict[str, Any]:
    """The body of an A/B test whose variants have these subjects."""
    config = body(*([100 // len(subjects)] * len(subjects)))
    for variant, subject in zip(config["variants"], subjects, strict=True):
        if subject is not None:
            variant["subject"] = subject
    return config


BROKEN = with_subjects("{{ f() }}", None, "Hello {{ firstName }}", "{{ a")
RULES = [
    ("variants.0.subject", "line 1: `f(` cannot be called"),
    ("variants.3.subject", "line 1: a tag or comment is not closed"),
]


@pytest.mark.parametrize(
    ("checked", "within"),
    [
        (validated(AbTest, BROKEN, "forbid"), ""),
        (
            validated(
                CampaignCreate,
                {"name": "n", "channel": "email", "abTestConfig": BROKEN},
                "forbid",
            ),
            "abTestConfig.",
        ),
        (validated(CampaignUpdate, {"abTestConfig": BROKEN}, "forbid"), "abTestConfig."),
    ],
    ids=["the test's own body", "a new campaign", "a changed campaign"],
)
def test_every_subject_that_is_no_template_is_named_where_it_stands(
    checked: AbTest | CampaignCreate | CampaignUpdate, within: str
) -> None:
    with pytest.raises(CampaignError) as wrong:
        check_subjects(checked)
    assert [(error.field, error.message) for error in wrong.value.errors] == [
        (within + field, rule) for field, rule in RULES
    ]


@pytest.mark.parametrize(
    "checked",
    [
        validated(AbTest, with_subjects("{{ firstName }}!", None), "forbid"),
        validated(CampaignCreate, {"name": "n", "channel": "email"}, "forbid"),
        validated(CampaignUpdate, {"abTestConfig": None}, "forbid"),
        Explanation(),
    ],
    ids=["right subjects", "no test", "a test taken away", "another body"],
)
def test_bodies_without_a_wrong_subject_pass(
    checked: AbTest | CampaignCreate | CampaignUpdate | Explanation,
) -> None:
    check_subjects(checked)
