"""A link leads where an HTML5 parser and a browser's URL parser would have led it."""

from __future__ import annotations

from html.entities import html5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from connectors.templates.markup.destinations import absolute, attribute_value

NAMES = st.sampled_from(sorted(html5)).map(lambda name: "&" + name)
NUMBERS = st.integers(0, 0x120000).map("&#{};".format) | st.integers(0, 0x120000).map(
    "&#x{:X}".format
)
PIECES = (
    NAMES
    | NAMES.map(lambda name: name.rstrip(";"))
    | NUMBERS
    | st.sampled_from(
        ["&", "&#", "&#x", ";", "=", "1", "g", "&reg", "&region", "&not", "#", "é", "&#0;"]
    )
)


def in_browser(source: str) -> str | None:
    [anchor] = LexborHTMLParser(f'<a href="{source}">x</a>').css("a")
    return anchor.attributes["href"]


@settings(deadline=None, max_examples=400)
@given(st.lists(PIECES, max_size=8).map("".join))
def test_an_attribute_has_the_value_that_an_html5_parser_gives_it(source: str) -> None:
    assert attribute_value(source) == (in_browser(source) or "")


@pytest.mark.parametrize("following", ["", ";", "=", "x", "1", " ", "&", "é"])
def test_every_named_character_reference_is_read_as_a_parser_does(following: str) -> None:
    names = [name.rstrip(";") for name in html5]
    source = "|".join(f"&{name}{following}" for name in names)
    assert attribute_value(source) == in_browser(source)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://shop.example", "https://shop.example"),
        (" \t\n\x00\x1fhttps://shop.example/a \n", "https://shop.example/a"),
        ("https://shop.example/\r\n  long\ter", "https://shop.example/  longer"),
        ("ht\ntps://shop.example/", "https://shop.example/"),
        ("HTTPS://Shop.example/", "HTTPS://Shop.example/"),
        ("https:/shop.example/", "https://shop.example/"),
        ("https:shop.example/", "https://shop.example/"),
        ("https:\\\\shop.example\\a", "https://shop.example/a"),
        ("https://a.example\\b?c=\\#\\", "https://a.example/b?c=\\#\\"),
        ("http:////shop.example", "http://shop.example"),
        ("\xa0https://shop.example", None),
        ("https://", None),
        ("https:", None),
        ("//shop.example", None),
        ("mailto:a@b.example", None),
        ("javascript:https://a", None),
        ("httpsx://a", None),
        ("", None),
    ],
)
def test_an_absolute_url_is_written_in_full(value: str, url: str | None) -> None:
    assert absolute(value) == url
