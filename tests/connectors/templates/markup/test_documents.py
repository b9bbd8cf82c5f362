"""Tracked documents against an HTML5 parser: every link leads where it led before, none is left
out, and there is exactly one pixel that is loaded.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from connectors.templates.links import Links, Tracking
from connectors.templates.markup.destinations import absolute
from connectors.templates.rendering import RenderError, Template
from connectors.templates.seals import LinkSeals

ID = "00000000-002a-8000-84d2-9f31c05be7a4"
BASE = "https://mail.example"
CLICK = re.compile(re.escape(f"{BASE}/t/c/{ID}/") + r"(\d+)")
SEALS = LinkSeals([b"k" * 32])
PIXEL = f"{BASE}/t/o/{ID}.gif"


def rendered(
    html: str, contact: dict[str, Any], links: Links, *, opens: bool = False, clicks: bool = False
) -> str:
    tracking = Tracking(BASE, opens=opens, clicks=clicks, seals=SEALS)
    made = Template("email", {"subject": "s", "html": html}, "Sale", tracking, links)
    return made.render(contact, ID)["html"]


def destinations(html: str, links: tuple[str, ...] = ()) -> list[str | None]:
    """Where the links of a document lead in the end; None for what is no absolute URL."""
    found = list[str | None]()
    for node in LexborHTMLParser(html).css("a[href], area[href]"):
        url = absolute(node.attributes["href"] or "")
        if url is not None and url.startswith(f"{BASE}/t/d/{ID}/"):
            found.append(sealed(url))
            continue
        tracked = CLICK.fullmatch(url or "")
        found.append(links[int(tracked[1])] if tracked else url)
    return found


def sealed(url: str) -> str:
    """The destination that a link carries, as the click page reads it."""
    split = urlsplit(url)
    [destination] = parse_qs(split.query)["u"]
    assert SEALS.fits(split.path.rpartition("/")[2], ID, destination)
    return destination


def pixels(html: str) -> int:
    return sum(node.attributes.get("src") == PIXEL for node in LexborHTMLParser(html).css("img"))


def same(html: str, contact: dict[str, Any], *, opens: bool = True) -> None:
    """Asserts the laws of this page for one template and contact."""
    try:
        plain = rendered(html, contact, Links())
    except RenderError as error:
        with pytest.raises(RenderError) as raised:
            rendered(html, contact, Links(), opens=True, clicks=True)
        assert raised.value.detail == error.detail
        return
    links = Links()
    tracked = rendered(html, contact, links, opens=opens, clicks=True)
    assert "messageId" not in tracked
    assert "_in_html" not in tracked
    assert destinations(tracked, links.urls) == destinations(plain)
    assert pixels(tracked) == opens


TEXTS = [
    *("<", ">", "</", "<!", "<!-", "<!--", "-->", "--!>", "-", "--", "'", '"', "=", " ", "\n", "/"),
    *("<a", "</a>", " href=", "href='https://a.example/'", ' href="https://b.example/?x=1&amp;y"'),
    *(
        " href=https://c.example/x>",
        '<a href="https://d.example/">',
        "https://e.example/",
        ">y</a>",
    ),
    *("<area href='https://f.example'>", "<a title='a>b' href='https://g.example'>", "<A\nHREF ="),
    *("<body>", '<body class="x">', "</body>", "</BODY >", "</body", "</html>", "<!doctype html>"),
    *("<html>", "<head>", "</head>", "<title>", "</title>", "<style>", "</style>", "<textarea>"),
    *("</textarea>", "<script>", "</script>", "<template>", "</template>", "<select>", "</select>"),
    *("<svg>", "</svg>", "<noscript>", "</noscript>", "<!--[if mso]>", "<![endif]-->", "<![endif]"),
    *("<table>", "<tr><td>", "</table>", "<p>", "</p>", "<div", "<xmp>", "</xmp>", "<iframe>"),
    *("<!--[if !mso]><!-->", "<!--<![endif]-->", "<br/>", "<a data-href='https://h.example' "),
    *("<plaintext>", "<math>", "</math>", "<option>", "<![CDATA[", "]]>", "<?x", "?>"),
]
PRINTS = [
    *(
        "{{ firstName }}",
        "{{- firstName -}}",
        "{{ lastName }}",
        "{# <a href='https://i.example'> #}",
    ),
    *(
        "{% raw %}<a href='https://j.example'>{{ x }}{% endraw %}",
        "{%- raw -%} </body> {%- endraw -%}",
    ),
    *(
        "<a href='https://k.example/?e={{ firstName }}&amp;x={{ lastName }}'>",
        "<a href={{ firstName }}>",
    ),
    *(
        '<a href="{{ lastName }}">',
        "<a href='{{ url }}'>",
        "<a href={{ url }}/{{ lastName }} id=x>",
    ),
    *("{{ lastName|safe }}", "{{ firstName|tojson }}", "{{ kept|default('') }}", "{{ kept }}"),
    *("{% set x = lastName|default('')|safe %}", "{{ x|default('') }}", "{{ unsubscribeUrl }}"),
]
BLOCKS = [
    *(
        "{% if lastName is defined %}%{% endif %}",
        "{% if firstName is defined %}%{% else %}%{% endif %}",
    ),
    *(
        "{% if firstName == 'x' %}%{% elif lastName == '' %}%{% else %}%{% endif %}",
        "{%- if 1 -%} % {%- endif %}",
    ),
    *("{% for i in [1, 2] %}%{% endfor %}", "{% for i in [] %}%{% else %}%{% endfor %}"),
    *(
        "{% set kept %}%{% endset %}",
        "{% set kept|upper %}%{% endset %}",
        "{% filter upper %}%{% endfilter %}",
    ),
    *("{% with i = 1 %}%{% endwith %}", "{% filter safe %}%{% endfilter %}"),
]


def template(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A block with templates in the places of its `%`."""

    def filled(drawn: tuple[str, list[str]]) -> str:
        block, parts = drawn
        pieces = re.split("%(?![}])(?<![{]%)", block)
        return "".join(a + b for a, b in zip(pieces, [*parts, "", ""], strict=False))

    return st.tuples(st.sampled_from(BLOCKS), st.lists(inner, min_size=3, max_size=3)).map(filled)


PLAIN = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4).map("".join)
SOURCES = st.recursive(
    PLAIN | st.sampled_from(PRINTS),
    lambda inner: st.lists(inner | template(inner), max_size=5).map("".join),
    max_leaves=14,
)
VALUES = st.none() | st.sampled_from(
    ["", "Ana", "a b", "<!--", "-->", '"', "'", ">", "=", "</body>", "<textarea>", "--", "!--"]
)
URLS = st.sampled_from(
    [
        "https://u.example/?a=1&b=2",
        " http://u.example",
        "mailto:a",
        "/x",
        "HTTPS:u.example/é#'\"<",
        "",
        f"{BASE}/u/x",
    ]
)
CONTACTS = st.fixed_dictionaries({"firstName": VALUES, "lastName": VALUES, "url": URLS})


@settings(deadline=None, max_examples=300)
@given(SOURCES, CONTACTS, st.booleans())
def test_any_template_becomes_documents_with_the_same_links_and_one_pixel(
    html: str, contact: dict[str, Any], opens: bool
) -> None:
    same(html, contact, opens=opens)


LINK = "https://shop.example/a?b=1&amp;reg=2&region=EU#c"
URL = "https://shop.example/a?b=1&reg=2&region=EU#c"
CONTACT: dict[str, Any] = {"firstName": "Ana", "attributes": {"n": 5}}


@pytest.mark.parametrize(
    "html",
    [
        f'<a href="{LINK}">',
        f"<a href='{LINK}'>",
        f"<a href={LINK}>",
        f"<A CLASS=x HREF = {LINK} id=y>",
        f'<a\n  href\n=\n"  {LINK}\n ">',
        f'<a data-href="https://no.example" href="{LINK}">',
        f'<a xhref="https://no.example" title="a > b" href="{LINK}">',
        f'<a/href="{LINK}"/>',
        f'<a {{% if contact.attributes.n == 5 %}}class="b"{{% endif %}} href="{LINK}">',
        f'<a{{% if firstName %}} class="b"{{% endif %}} href="{LINK}">',
        f'<a title="{{{{ firstName }}}}" href="{LINK}">',
        f'<a {{{{ firstName }}}} href="{LINK}">',
        f'<a {{# > " #}} href="{LINK}">',
        f'<a {{% raw %}}title=">"{{% endraw %}} href="{LINK}">',
        f'<a {{% for i in [1, 2] %}}data-x{{{{ i }}}}="y" {{% endfor %}}href="{LINK}">',
        f'{{% if firstName %}}<a class="x" {{% else %}}<a class="y" {{% endif %}}href="{LINK}">',
        f'{{% set button %}}<a href="{LINK}">x</a>{{% endset %}}{{{{ button }}}}',
        f'<map><area href="{LINK}"></map>',
        f'<!-- > <a --><a href="{LINK}">',
        f'<style>a > b {{}} "</style><a href="{LINK}">',
        f'<title><a></title><a href="{LINK}">',
        f'<!--[if mso]><v:roundrect xmlns:v="x" href="{LINK}" style="a"><![endif]-->',
        f"<!--[if gte mso 9]><V:RECT HREF='{LINK}'></v:rect><![endif]-->",
        f'<!--[if !mso]><!--><a href="{LINK}"><!--<![endif]-->',
        f'1 < 2 <a href="{LINK}">',
    ],
)
def test_every_spelling_of_a_link_is_tracked(html: str) -> None:
    links = Links()
    tracked = rendered(html, CONTACT, links, clicks=True)
    assert links.urls == (URL,)
    assert f"{BASE}/t/c/{ID}/0" in tracked
    assert "shop.example" not in tracked
    assert tracked.count("no.example") == html.count("no.example")
    same(html, CONTACT)


@pytest.mark.parametrize(
    "html",
    [
        f'{{% raw %}}<a href="{LINK}">{{% endraw %}}',
        f'<!-- <a href="{LINK}"> -->',
        f'<textarea><a href="{LINK}"></textarea>',
        f'<style><a href="{LINK}"></style>',
        f'<link href="{LINK}"><base href="{LINK}"><p href="{LINK}"></a href="{LINK}">',
        f'{{# <a href="{LINK}"> #}}',
        f"{{{{ '<a href=\"{LINK}\">' }}}}",
        f'{{% filter upper %}}<a href="{LINK}">{{% endfilter %}}',
        f'{{% set x %}}<a href="{LINK}">{{% endset %}}{{{{ x|upper }}}}',
        f'<a href="{LINK}" data-track="false">',
        f"<a data-track=off href='{LINK}'>",
        '<a href="mailto:a@b.example"><a href="#x"><a href=""><a href="/y"><a href="//z.example">',
        '<a title="href=https://shop.example/">',
    ],
)
def test_what_is_no_link_or_shall_not_be_one_stays(html: str) -> None:
    links = Links()
    assert rendered(html, CONTACT, links, clicks=True) == rendered(html, CONTACT, Links())
    assert links.urls == ()


@pytest.mark.parametrize(
    "html",
    [
        "hello",
        "<p>a</p>",
        "<html><body>a</body></html>",
        "<HTML><BODY>a</BODY></HTML>",
        "<body>a</body><body>b</body>",
        "{% if firstName %}<body>a</body>{% else %}<body>b</body>{% endif %}",
        "{% if lastName %}<body>a</body>{% else %}<body>b</body>{% endif %}",
        "{% if lastName %}<body>a</body>{% endif %}",
        "{% for i in [1, 2] %}<body>a</body>{% endfor %}",
        "<body>a</body></html>{# old: </body> #}",
        "<body>a{% raw %}</body>{% endraw %}",
        "<body>{{ '</body>' }}",
        "<body>a</body><!--[if mso]></body><![endif]-->",
        "<body>a<!-- </body> -->",
        "<body>a<!-- </body>",
        "<body>a</body><!--",
        "<body><textarea>",
        "<title>",
        "<body><select><option>a",
        "<body><template></body>",
        "<body><a href='",
        "<body>{{ firstName|safe }}</body>",
        "{{ firstName|safe }}",
        "{% filter upper %}<body></body>{% endfilter %}",
        "{% set x %}</body>{% endset %}<body>{{ x }}{{ x }}",
        "<!doctype html><head><title>x</title></head><body>{{ firstName|safe }}<",
        "<frameset>",
        "<svg><title><a></svg>",
    ],
)
@pytest.mark.parametrize("name", ["Ana", "<!--", "<textarea>", "</body>"])
def test_every_document_has_one_pixel_that_is_loaded(html: str, name: str) -> None:
    made = rendered(html, {"firstName": name}, Links(), opens=True)
    assert pixels(made) == 1
    assert made.count("/t/o/") == 1


def test_a_template_with_too_many_ways_through_it_has_its_pixel() -> None:
    html = "<body>" + "{% for i in [1] %}<a b='{{ i }}" * 20 + "{% endfor %}" * 20
    assert pixels(rendered(html, {}, Links(), opens=True, clicks=True)) == 1


@pytest.mark.parametrize("name", ["messageId", "unsubscribeUrl"])
@pytest.mark.parametrize(
    "html",
    [
        "{% set NAME = 'x' %}",
        "{% for NAME in [1] %}{% endfor %}",
        "{% with NAME = 1 %}{% endwith %}",
        "{% set NAME %}x{% endset %}",
        "{% for a, NAME in [1] %}{% endfor %}",
    ],
)
def test_what_addresses_are_made_of_cannot_be_set(html: str, name: str) -> None:
    with pytest.raises(RenderError, match=f"`{name}` is given and cannot be set"):
        rendered(html.replace("NAME", name), {}, Links())
    assert (
        rendered("{% if messageId == 'x' %}{% endif %}{% set x = messageId %}", {}, Links()) == ""
    )


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_raw_block_keeps_what_it_holds(part: str) -> None:
    text = "{% raw %}{{ unsubscribeUrl }}{% endraw %}{{ '{{ unsubscribeUrl }}' }}"
    content = {"subject": "s", "html": "x", "text": "x", part: text}
    made = Template("email", content, "c", Tracking(BASE, opens=True, clicks=True), Links())
    assert made.render({}, ID)[part].startswith("{{ unsubscribeUrl }}{{ unsubscribeUrl }}")


@pytest.mark.parametrize(
    ("html", "url"),
    [
        ('<a href="https://shop.example/?e={{ email }}">', "https://shop.example/?e=a+b@c.example"),
        ('<a href="{{ contact.attributes.u }}">', "https://u.example/?a=1&b=%20#c"),
        ("<a href={{ contact.attributes.u }}>", "https://u.example/?a=1&b=%20#c"),
        ("<a href='  {{- contact.attributes.u -}}  '>", "https://u.example/?a=1&b=%20#c"),
        ("<area href=https://{{ contact.attributes.host }}/x>", "https://h.example/x"),
        (
            '<a href="https://x.example/{% if email %}a{% else %}b{% endif %}">',
            "https://x.example/a",
        ),
        ('<a href="https://x.example/{# c #}a">', "https://x.example/a"),
        ('<a href="https://x.example/{% raw %}{{ a }}{% endraw %}">', "https://x.example/{{ a }}"),
        (
            '<a href="https://x.example/?q={{ firstName|urlencode }}">',
            "https://x.example/?q=%22A%20%26%20B%22",
        ),
        ('<a href="https://x.example/?q={{ firstName }}">', 'https://x.example/?q="A & B"'),
        ('<a href="&#104;ttps&colon;//x.example/{{ email }}">', "https://x.example/a+b@c.example"),
        ('<a href=" http{{ contact.attributes.s }}://x.example/">', "https://x.example/"),
        ("<a href='HTTP{% if email %}s{% endif %}://x.example/'>", "HTTPs://x.example/"),
        (f'<a href="{BASE}.evil.example/{{{{ email }}}}">', f"{BASE}.evil.example/a+b@c.example"),
    ],
)
def test_a_link_with_variables_carries_its_sealed_destination(html: str, url: str) -> None:
    contact = {
        "email": "a+b@c.example",
        "firstName": '"A & B"',
        "attributes": {"u": "https://u.example/?a=1&b=%20#c", "host": "h.example", "s": "s"},
    }
    links = Links()
    tracked = rendered(html, contact, links, clicks=True)
    assert f"{BASE}/t/d/{ID}/" in tracked
    assert destinations(tracked.replace("<area", "<map><area"), links.urls) == [url]
    assert links.urls == ()


@pytest.mark.parametrize(
    "html",
    [
        '<a href="{{ unsubscribeUrl }}">',
        '<a href="{{ contact.attributes.own }}">',
        '<a href="{{ contact.attributes.mail }}">',
        '<a href="mailto:{{ contact.attributes.mail }}">',
        '<a href="#{{ contact.attributes.mail }}">',
        '<a href="/{{ contact.attributes.mail }}">',
        '<a href="https://x.example/{{ contact.attributes.mail }}" data-track="false">',
        '<a href="https://x.example/{{ contact.attributes.long }}">',
        '<a title="{{ contact.attributes.mail }}">',
    ],
)
def test_other_links_with_variables_lead_where_they_led(html: str) -> None:
    attributes = {"own": f"{BASE}/u/{ID}", "mail": "mailto:a@b.example", "long": "x" * 2_000}
    contact = {"attributes": attributes}
    assert rendered(html, contact, Links(), clicks=True) == rendered(html, contact, Links())


def test_a_template_that_is_nested_as_deep_as_can_be_compiles_with_tracking() -> None:
    link = '<a href="https://shop.example/{{ firstName }}">'
    deepest = 0
    for depth in range(1, 400):
        html = "{% if 1 %}" * depth + link + "{% endif %}" * depth
        try:
            rendered(html, CONTACT, Links())
        except RenderError:
            break
        deepest = depth
        same(html, CONTACT)
    assert 10 < deepest < 399
