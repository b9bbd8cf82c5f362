"""Templates: what they may say, what they may not cost, and what becomes of links, pixels and
header lines.
"""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest

from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import MAX_RENDERED, RenderError, Template

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
BASE = "https://mail.example"


def email(
    html: str = "<p>hello</p>",
    subject: str = "s",
    *,
    text: str = "",
    opens: bool = False,
    clicks: bool = False,
) -> Template:
    content = {"subject": subject, "html": html, "text": text}
    return Template(
        "email", content, "Spring & Sale", Tracking(BASE, opens=opens, clicks=clicks), Links()
    )


def sms(text: str) -> Template:
    return Template("sms", {"text": text}, "Sale", Tracking(BASE), Links())


def test_a_contact_is_known_by_its_fields_bare_and_below_contact() -> None:
    text = (
        "{{ firstName }} {{ contact.firstName }} {{ contact.attributes.plan }}"
        " {{ contact.attributes.a.b[1] }} {{ campaign.name }}"
    )
    rendered = sms(text).render(
        {"firstName": "Ana", "attributes": {"plan": "pro", "a": {"b": [1, 2]}}}, ID
    )
    assert rendered == {"text": "Ana Ana pro 2 Sale"}


@pytest.mark.parametrize(
    ("text", "contact", "named"),
    [
        ("{{ firstName }}", {}, "firstName"),
        ("{{ contact.firstName }}", {"firstName": None}, "contact.firstName"),
        (
            "{{ contact.attributes.plan }}",
            {"attributes": {"plan": None}},
            "contact.attributes.plan",
        ),
        ("{{ nosuch }}", {}, "nosuch"),
        ("{% if vip %}x{% endif %}{{ vip }}", {}, "vip"),
        ("{{ 'Dear ' ~ firstName }}", {}, "firstName"),
        ("{{ firstName|upper }}", {}, "firstName"),
        ("{{ campaign.budget }}", {}, "campaign.budget"),
    ],
)
def test_a_missing_variable_is_an_error_that_names_it(
    text: str, contact: dict[str, Any], named: str
) -> None:
    with pytest.raises(RenderError, match=f"text, line 1: `{named}` is undefined"):
        sms(text).render(contact, ID)


def test_a_missing_variable_takes_its_default() -> None:
    assert sms("Hi {{ firstName|default('there') }}").render({"firstName": None}, ID) == {
        "text": "Hi there"
    }


def test_the_part_and_the_line_of_an_error_are_told() -> None:
    with pytest.raises(RenderError, match="html, line 2: `lastName` is undefined"):
        email("<p>\n{{ lastName }}</p>").render({}, ID)
    with pytest.raises(RenderError, match="html, line 3: unexpected"):
        email("<p>\n\n{% if %}</p>")


def test_html_is_escaped_and_other_parts_are_not() -> None:
    rendered = email("<b>{{ firstName }}</b>", "{{ firstName }}", text="{{ firstName }}").render(
        {"firstName": "<i>&\"'"}, ID
    )
    assert rendered["html"] == "<b>&lt;i&gt;&amp;&quot;&#x27;</b>"
    assert rendered["subject"] == rendered["text"] == "<i>&\"'"


def test_a_template_is_complete_part_by_part() -> None:
    for broken in ("{% if true %}", "{% raw %}", "{# ", "{{ 'a"):
        with pytest.raises(RenderError, match="subject, line 1"):
            email("{% endif %}x", broken)


def test_subject_and_sender_stay_on_one_line() -> None:
    rendered = email(subject="{{ firstName }}").render(
        {"firstName": "a\r\nBcc: everybody@example.com\nb"}, ID
    )
    assert rendered["subject"] == "a  Bcc: everybody@example.com b"


@pytest.mark.parametrize("control", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x7f"])
def test_no_control_character_of_a_contact_reaches_a_header(control: str) -> None:
    """Python's email library, which senders use, takes the rendered subject."""
    rendered = email(subject="Hi {{ firstName }}").render({"firstName": f"a{control}b"}, ID)
    assert rendered["subject"] == "Hi a b"
    message = EmailMessage()
    message["Subject"] = rendered["subject"]
    assert message["Subject"] == "Hi a b"


def test_only_the_fields_that_are_used_are_asked_for() -> None:
    assert email("{{ contact.firstName }} {{ email }}").fields == ("email", "firstName")
    assert sms("{{ contact.attributes.plan }}").fields == ("attributes",)
    assert sms("hello {{ campaign.name }}").fields == ()
    assert "attributes" in sms("{% for name in contact %}{{ name }}{% endfor %}").fields
    assert "locale" in sms("{{ contact['locale'] }}").fields


def test_links_are_numbered_by_first_occurrence_and_rewritten() -> None:
    links = Links()
    html = (
        '<a href="https://a.example/?x=1&amp;y=2">1</a>'
        "<A class=\"b\" HREF='http://b.example'>2</A>"
        '<a href="https://a.example/?x=1&amp;y=2">3</a>'
    )
    template = Template(
        "email", {"subject": "s", "html": html}, "c", Tracking(BASE, clicks=True), links
    )
    assert links.urls == ("https://a.example/?x=1&y=2", "http://b.example")
    assert template.render({}, ID)["html"] == (
        f'<a href="{BASE}/t/c/{ID}/0">1</a>'
        f"<A class=\"b\" HREF='{BASE}/t/c/{ID}/1'>2</A>"
        f'<a href="{BASE}/t/c/{ID}/0">3</a>'
    )
    again = Template(
        "email",
        {"subject": "s", "html": '<a href="http://c.example">x</a>'},
        "c",
        Tracking(BASE, clicks=True),
        links,
    )
    assert again.render({}, ID)["html"] == f'<a href="{BASE}/t/c/{ID}/2">x</a>'


@pytest.mark.parametrize(
    "href",
    ["mailto:a@b.example", "#top", "/relative", "https://x.example/{{ firstName }}", "tel:+49123"],
)
def test_other_links_stay_as_they_are(href: str) -> None:
    rendered = email(f'<a href="{href}">x</a>', clicks=True).render({"firstName": "Ana"}, ID)
    assert rendered["html"] == f'<a href="{href.replace("{{ firstName }}", "Ana")}">x</a>'


def test_links_stay_when_clicks_are_not_tracked() -> None:
    assert (
        email('<a href="https://a.example">x</a>').render({}, ID)["html"]
        == '<a href="https://a.example">x</a>'
    )


def test_the_pixel_is_the_last_thing_in_the_body() -> None:
    pixel = f'<img src="{BASE}/t/o/{ID}.gif" width="1" height="1" alt="">'
    assert (
        email("<body>a</body></html>", opens=True).render({}, ID)["html"]
        == f"<body>a{pixel}</body></html>"
    )
    assert email("<p>a</p>", opens=True).render({}, ID)["html"] == f"<p>a</p>{pixel}"


def test_the_unsubscribe_link_is_never_tracked_and_is_readable() -> None:
    template = email('<a href="{{ unsubscribeUrl }}">x</a>', text="{{unsubscribeUrl}}", clicks=True)
    rendered = template.render({}, ID)
    assert rendered["html"] == f'<a href="{BASE}/u/{ID}">x</a>'
    assert rendered["text"] == f"{BASE}/u/{ID}"


def test_channels_have_the_parts_of_their_templates() -> None:
    push = {"title": "t", "body": "b", "link": "https://shop.example/a"}
    links = Links()
    rendered = Template("push", push, "c", Tracking(BASE, clicks=True), links).render({}, ID)
    assert rendered == {"title": "t", "body": "b", "link": f"{BASE}/t/c/{ID}/0"}
    assert links.urls == ("https://shop.example/a",)
    assert Template("push", {"title": "t", "body": "b"}, "c", Tracking(BASE), Links()).render(
        {}, ID
    ) == {"title": "t", "body": "b"}
    assert sms("a\nb").render({}, ID) == {"text": "a\nb"}


@pytest.mark.parametrize(
    ("channel", "content", "says"),
    [
        ("email", {"html": "x"}, "no subject"),
        ("email", {"subject": "x"}, "neither html nor text"),
        ("sms", {}, "no text"),
        ("sms", {"text": 7}, "no text"),
        ("push", {"title": "x"}, "no body"),
        ("sms", {"text": "a\0b"}, "NUL"),
        ("email", {"subject": "x", "html": "y" * 600_000}, "600,001 characters, the limit is"),
    ],
)
def test_an_incomplete_template_does_not_compile(
    channel: str, content: dict[str, Any], says: str
) -> None:
    with pytest.raises(RenderError, match=says):
        Template(channel, content, "c", Tracking(BASE), Links())


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "-" * 200_000 + "1 }}",
        "{{ " + "not " * 50_000 + "1 }}",
        "{{ firstName" + "|upper" * 50_000 + " }}",
        "{{ 1" + "+1" * 50_000 + " }}",
        "{{ 1" + " and 1" * 50_000 + " }}",
        "{{ a" + ".a" * 100_000 + " }}",
        "{% if 0 %}" + "{% elif 0 %}" * 20_000 + "{% endif %}",
        "{% if 1 %}" * 5_000 + "{% endif %}" * 5_000,
        "{{ " + "[" * 100_000 + "]" * 100_000 + " }}",
        "{# {{ \" #}{{ '}}' ~ " + "-" * 100_000 + "1 }}",
        "{% raw %}{{ \" {% endraw %}{{ '}}' ~ " + "-" * 100_000 + "1 }}",
        "{{ {'a': {'b': 1}}['a']['b'] ~ " + "-" * 100_000 + "1 }}",
        "{{ 'a\\'}}' ~ " + "-" * 100_000 + "1 }}",
        "{{ " + "-" * 100_000,
    ],
)
def test_a_chain_that_would_overflow_the_engines_stack_does_not_compile(text: str) -> None:
    with pytest.raises(RenderError, match="text, line 1"):
        sms(text)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ {'a': {'b': 1}}['a']['b'] }}!", "1!"),
        ("{{ '}}' ~ \"%}\" }}", "}}%}"),
        ('{# {{ " #}{{ 1 }}', "1"),
        ("{%- raw -%}{{ ' {% endraw %}{{ 2 }}", "{{ ' 2"),
        ("{{- 5 -}} x {%+ if 7 % 4 == 3 %}y{%- endif %}", "5x y"),
        ("{" * 1 + "a}" + "%}" * 2_000, "{a}" + "%}" * 2_000),
        ("{{ 1 }}" * 2_000, "1" * 2_000),
    ],
)
def test_ordinary_templates_are_not_too_nested(text: str, rendered: str) -> None:
    assert sms(text).render({}, ID) == {"text": rendered}


def test_a_message_is_bounded() -> None:
    with pytest.raises(RenderError, match="the limit is"):
        sms("{{ a }}{{ firstName }}".replace("{{ a }}", "y" * 1000)).render(
            {"firstName": "x" * MAX_RENDERED}, ID
        )


@pytest.mark.parametrize("text", ["a\n", "a\n\n", "\n", " {{ firstName }} \n"])
def test_white_space_at_the_end_of_a_part_is_sent_as_it_was_written(text: str) -> None:
    sent = sms(text).render({"firstName": "Ana"}, ID)["text"]
    assert sent == text.replace("{{ firstName }}", "Ana")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ unsubscribeUrl|upper }}", f"{BASE}/u/{ID}".upper()),
        ("{% if unsubscribeUrl %}{{ unsubscribeUrl }}{% endif %}", f"{BASE}/u/{ID}"),
        ("{% set u = unsubscribeUrl %}{{ u }} {{ firstName }}", f"{BASE}/u/{ID} Ana"),
    ],
)
def test_the_address_to_unsubscribe_is_a_value_like_any_other(text: str, expected: str) -> None:
    assert sms(text).render({"firstName": "Ana"}, ID) == {"text": expected}
