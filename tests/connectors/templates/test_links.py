"""Links in plain texts: rewritten where it is certain what they are, left alone everywhere else,
and no other character changes.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.templates.links import Links, Tracking
from connectors.templates.rendering import RenderError, Template

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
BASE = "https://mail.example"
CONTACT = {"firstName": "Ana", "locale": "en"}


def sms(text: str, links: Links | None = None, *, clicks: bool = True, channel: str = "sms") -> str:
    tracking = Tracking(BASE, clicks=clicks)
    return Template(
        channel, {"text": text}, "Sale", tracking, Links() if links is None else links
    ).render(CONTACT, ID)["text"]


@pytest.mark.parametrize(
    ("before", "url", "after"),
    [
        ("Look: ", "https://shop.example/a?b=1&c=2#d", " now"),
        ("", "http://shop.example", ""),
        ("(", "https://shop.example/a", ")."),
        ("", "https://shop.example/a_(b)", "!"),
        ("", "https://shop.example/a", ", and more"),
        ("{{ firstName }}: ", "https://shop.example/a", "\n{{ firstName }}"),
        ("{{- firstName -}} x ", "https://shop.example/a", " y {{- firstName }}"),
        ("{% if firstName %}", "HTTPS://SHOP.example/a", " {% endif %}"),
        ('"', "https://shop.example/a", '"'),
        ("<", "https://shop.example/a", ">"),
        ("点击", "https://shop.example/a", "，领取"),
        ("", "https://shop.example/a", "。次"),
        ("«", "https://shop.example/a", "»"),
        ("สวัสดี ", "https://shop.example/a", " ครับ"),
    ],
)
def test_a_constant_url_leads_through_the_click_page(before: str, url: str, after: str) -> None:
    links = Links()
    assert sms(before + url + after, links) == sms(
        f"{before}{BASE}/t/c/{ID}/0{after}", clicks=False
    )
    assert links.urls == (url,)


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/{{ locale }}",
        "https://{{ locale }}.shop.example/",
        "https://shop.example/a.{{ locale }}",
        "https://shop.example/{% if firstName %}a{% endif %}",
        "https://shop.example/a   {{- locale }}",
        "https://shop.example/a{# a comment #}b",
        "{{ 'https://shop.example/a' }}",
        "{% raw %}https://shop.example/{{ a }}{% endraw %}",
        "{{ unsubscribeUrl }}",
        "https://shop.example/möbel",
        "https://shop。example/a",
        "http:// nothing",
        "ftp://shop.example/ mailto:a@shop.example shop.example",
        "xhttps://shop.example/",
    ],
)
def test_a_url_that_is_not_certain_stays(text: str) -> None:
    links = Links()
    assert sms(text, links) == sms(text, clicks=False)
    assert links.urls == ()


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_links_have_the_number_of_their_first_occurrence(channel: str) -> None:
    links = Links()
    text = "https://a.example https://b.example https://a.example"
    assert (
        sms(text, links, channel=channel)
        == f"{BASE}/t/c/{ID}/0 {BASE}/t/c/{ID}/1 {BASE}/t/c/{ID}/0"
    )
    assert links.urls == ("https://a.example", "https://b.example")


def test_the_text_of_an_email_shares_the_numbers_of_its_html() -> None:
    content = {
        "subject": "https://a.example",
        "html": '<a href="https://a.example">x</a>',
        "text": "https://a.example https://b.example",
    }
    links = Links()
    rendered = Template("email", content, "c", Tracking(BASE, clicks=True), links).render({}, ID)
    assert rendered["subject"] == "https://a.example"
    assert rendered["text"] == f"{BASE}/t/c/{ID}/0 {BASE}/t/c/{ID}/1"
    assert links.urls == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    "text", ["https://a.example {{ 'a", "https://a.example {# ", "https://a.example {% if %}"]
)
def test_a_broken_template_is_refused_as_without_links(text: str) -> None:
    with pytest.raises(RenderError, match="text, line 1"):
        sms(text)


pieces = st.sampled_from(
    [
        "https://a.example/x",
        "http://b.example",
        " ",
        "\n",
        ".",
        ")",
        "(",
        "{{ firstName }}",
        "{{- locale -}}",
        "{# c #}",
        "word",
        "ß",
        "é",
    ]
)


@given(st.lists(pieces, max_size=12).map("".join))
def test_following_the_links_gives_the_text_without_tracking(text: str) -> None:
    links = Links()
    tracked = sms(text, links)
    followed = re.sub(
        re.escape(f"{BASE}/t/c/{ID}/") + r"(\d+)", lambda found: links.urls[int(found[1])], tracked
    )
    assert followed == sms(text, clicks=False)
