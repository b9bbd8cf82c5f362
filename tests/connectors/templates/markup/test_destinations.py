"""A link leads where an HTML5 parser and a browser's URL parser would have led it."""

from __future__ import annotations

from html.entities import html5
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from connectors.templates.markup.destinations import (
    absolute,
    attribute_value,
    with_parameters,
)

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


UTM = {"utm_source": "a b&c=d#e", "utm_medium": "é"}


@pytest.mark.parametrize(
    ("url", "made"),
    [
        ("https://a.example", "https://a.example?X"),
        ("https://a.example/", "https://a.example/?X"),
        ("https://a.example/?", "https://a.example/?X"),
        ("https://a.example/?b=1", "https://a.example/?b=1&X"),
        ("https://a.example/?b=1&", "https://a.example/?b=1&X"),
        ("https://a.example/#c?d", "https://a.example/?X#c?d"),
        ("https://a.example/?b=%2520+%zz#", "https://a.example/?b=%2520+%zz&X#"),
        ("https://a.example/?q=utm_source", "https://a.example/?q=utm_source&X"),
    ],
)
def test_parameters_come_at_the_end_of_the_query(url: str, made: str) -> None:
    both = "utm_source=a%20b%26c%3Dd%23e&utm_medium=%C3%A9"
    assert with_parameters(url, UTM) == made.replace("X", both)


@pytest.mark.parametrize("name", ["utm_source", "UTM_Source", "utm%5Fsource"])
def test_a_parameter_that_is_there_stays(name: str) -> None:
    url = f"https://a.example/?{name}=x"
    assert with_parameters(url, UTM) == f"{url}&utm_medium=%C3%A9"
    assert with_parameters(f"{url}&utm_medium=", UTM) == f"{url}&utm_medium="
    assert with_parameters(url, {}) == url


@given(
    st.text(st.sampled_from("ab=&?%2/+;é "), max_size=20),
    st.text(st.sampled_from("ab#?&="), max_size=5),
    st.dictionaries(st.sampled_from(["utm_source", "utm_id"]), st.text(min_size=1, max_size=9)),
)
def test_the_rest_of_a_url_stays_as_it_is_written(
    query: str, fragment: str, parameters: dict[str, str]
) -> None:
    encodable = {k: v for k, v in parameters.items() if v.isprintable()}
    url = f"https://a.example/{'?' + query if query else ''}#{fragment}"
    made = with_parameters(url, encodable)
    split = urlsplit(made)
    before = urlsplit(url)
    assert split.query.startswith(before.query) and split.fragment == before.fragment
    found = parse_qsl(split.query, keep_blank_values=True)
    assert [one for one in found if one[0] in encodable] == list(encodable.items())
    assert with_parameters(made, encodable) == made
