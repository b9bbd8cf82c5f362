"""The text that is made of a template's HTML: what a reader sees of it, for each recipient."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from connectors.templates.links import Links, Tracking
from connectors.templates.markup.plain_text import plain_text, tidied
from connectors.templates.rendering import MAX_RENDERED, RenderError, Template
from tests.connectors.templates.markup.test_documents import (
    BASE,
    CONTACTS,
    ID,
    SEALS,
    SOURCES,
    sealed,
)

_TRACKED = re.compile(re.escape(BASE) + r"/t/c/[^>]*/(\d+)")
_SEALED = re.compile(rf"<({re.escape(BASE)}/t/d/[^>]*)>")
ANA: dict[str, Any] = {
    "firstName": "Ana",
    "email": "ana+b@example.com",
    "attributes": {"plan": "pro", "tags": ["a", "b"], "html": "<b>x</b> &amp; <i>y</i>"},
}


def parts(
    html: str, contact: dict[str, Any], *, is_tracked: bool = True, **more: str
) -> dict[str, str]:
    """The parts of a message whose template has this html."""
    tracking = Tracking(BASE, opens=is_tracked, clicks=is_tracked, seals=SEALS)
    content = {"subject": "s", "html": html, **more}
    return Template("email", content, "Sale", tracking, Links()).render(contact, ID)


def text_of(html: str, contact: dict[str, Any] | None = None) -> str:
    """The text made for a recipient, with links as they are written."""
    return parts(html, ANA if contact is None else contact, is_tracked=False)["text"]


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("Hello", "Hello"),
        ("<p>Hi {{ firstName }},</p>\n<p>it\n  is <b>new</b>.</p>", "Hi Ana,\n\nit is new."),
        ("<p>a</p><p>b<br>c<br/><br>d</p>", "a\n\nb\nc\n\nd"),
        ("<div>a</div><div>b</div>c", "a\nb\nc"),
        ("a<hr>b", "a\n\n----------\n\nb"),
        ("<ul><li>a<li>b</ul>", "- a\n- b"),
        ("<ul>{% for t in contact.attributes.tags %}<li>{{ t }}</li>{% endfor %}</ul>", "- a\n- b"),
        ("<p>T: {% for t in contact.attributes.tags %}{{ t }}, {% endfor %}x</p>", "T: a, b, x"),
        ("{% for t in contact.attributes.tags %}{{ t }}<br>{% endfor %}end", "a\nb\nend"),
        ("{% for t in [] %}{{ t }}{% else %}<p>none</p>{% endfor %}", "none"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></table>", "a b\nc"),
        ("a&nbsp;&amp;&#38;&lt;b&gt; &copy &reg;", "a &&<b> © ®"),
        ("1 < 2 and <3", "1 < 2 and <3"),
        ("{{ firstName }}{{- firstName -}} x", "AnaAnax"),
        ("{% if firstName %}yes{% else %}no{% endif %}", "yes"),
        ("{% if lastName %}yes{% endif %}no", "no"),
        ("a{% if lastName %}<p>b</p>{% endif %}{% if lastName %}c{% endif %}<p>d</p>", "a\n\nd"),
        ("{% raw %}{{ firstName }}{% endraw %}", "{{ firstName }}"),
        ("&#123;{ firstName }} &#123;% raw %}", "{{ firstName }} {% raw %}"),
        ("&#123;{{ firstName }}", "{Ana"),
        ("{% set x %}<b>q</b>{% endset %}a {{ x }}", "a q"),
        ("{% set x = 'q' %}<p>{{ x }}</p>", "q"),
        ("{{ contact.attributes.html | safe }}", "x & y"),
        ("{{ contact.attributes.html | e }}", "<b>x</b> &amp; <i>y</i>"),
        ("{% filter upper %}a <b>b</b>{% endfilter %}", "A B"),
    ],
)
def test_the_words_of_a_document_are_its_text(html: str, text: str) -> None:
    assert text_of(html) == text


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none;max-height:0">HIDDEN<div>HIDDEN</div>HIDDEN</div>',
        "<span STYLE='Color:red; Display : NONE !important'>HIDDEN</span>",
        '<div style="max-height:0px; overflow:hidden">HIDDEN &zwnj;&nbsp;&zwnj;&nbsp;</div>',
        '<p style="visibility:hidden">HIDDEN</p>',
        '<p style="opacity:0">HIDDEN</p>',
        "<head><title>HIDDEN</title><style>HIDDEN</style></head>",
        "<style>HIDDEN { a: b }</style><script>HIDDEN</script>",
        "<!-- HIDDEN --><!--[if mso]><p>HIDDEN</p><![endif]-->",
        "<svg><text>HIDDEN</text></svg><template>HIDDEN</template>",
        '<p title="HIDDEN" {% if firstName %}class="HIDDEN"{% endif %}></p>',
        "{# HIDDEN #}<p data-x=HIDDEN></p>",
        '<img src="HIDDEN.gif" alt=""><img src=HIDDEN>',
        '<div style="display:none">{% if firstName %}HIDDEN{% endif %}{{ firstName }}</div>',
    ],
)
def test_what_nobody_sees_is_left_out(hidden: str) -> None:
    assert text_of(f"<p>a</p>{hidden}<p>b</p>") == "a\n\nb"


@pytest.mark.parametrize(
    "style",
    [
        *("opacity:0.5", "max-height:0.5em", "font-size:0", "mso-hide:all", "max-height:none"),
        *("display:block", "color:#000;xdisplay:none", ""),
    ],
)
def test_what_a_reader_sees_is_not_taken_for_hidden(style: str) -> None:
    assert text_of(f'a <span style="{style}">b</span>') == "a b"


def test_what_is_shown_to_all_but_outlook_is_shown() -> None:
    assert text_of("<!--[if !mso]><!--><p>a</p><!--<![endif]-->") == "a"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            '<a href="https://a.example/?x=1&amp;y=2">Shop</a>!',
            "Shop <https://a.example/?x=1&y=2>!",
        ),
        ('<a href=" https:a.example">Shop</a>', "Shop <https://a.example>"),
        ('<a href="https://a.example"><img alt="Our logo"></a>', "Our logo <https://a.example>"),
        ('<a href="https://a.example"><img src="x"></a>', "<https://a.example>"),
        ('<a href="mailto:a@b.example?subject=x">Write</a>', "Write <a@b.example>"),
        ('<a href="#top">Up</a> <a href="/x">Here</a> <a href="">No</a> <a>a</a>', "Up Here No a"),
        ('<a href="https://a.example/{{ firstName }}">x</a>', "x <https://a.example/Ana>"),
        ("<a href={{ email }}>x</a>", "x <ana+b@example.com>"),
        ('<a {% if firstName %}class="b"{% endif %} href="https://a.example">x</a>', None),
        ('<a href="https://a.example/{% if lastName %}b{% else %}c{% endif %}">x</a>', None),
    ],
)
def test_a_link_is_its_words_and_its_address(html: str, text: str | None) -> None:
    [link] = LexborHTMLParser(parts(html, ANA, is_tracked=False)["html"]).css("a")[:1]
    assert text_of(html) == (text or f"x <{link.attributes['href']}>")


def test_a_link_whose_address_depends_on_a_branch_keeps_its_words() -> None:
    html = (
        "<a {% if lastName %}href='https://a.example'{% else %}href='https://b.example'{% endif %}>"
    )
    assert text_of(f"{html}x</a>") == "x"


def test_tracked_links_have_the_numbers_and_seals_of_the_html_and_there_is_no_pixel() -> None:
    html = (
        '<body><a href="https://a.example/.">a</a> <a href="https://b.example/é">b</a>'
        '<a data-track="false" href="https://c.example">c</a>'
        '<a href="https://d.example/?e={{ email }}">d</a>'
        '<a href="{{ unsubscribeUrl }}">u</a></body>'
    )
    tracking, links = Tracking(BASE, opens=True, clicks=True, seals=SEALS), Links()
    made = Template("email", {"subject": "s", "html": html}, "Sale", tracking, links)
    assert links.urls == ("https://a.example/.", "https://b.example/é")
    shown = made.render(ANA, ID)
    assert _TRACKED.findall(shown["text"]) == ["0", "1"] == _TRACKED.findall(shown["html"])
    [address] = _SEALED.findall(shown["text"])
    assert sealed(address) == "https://d.example/?e=ana+b@example.com"
    assert "c <https://c.example>" in shown["text"] and f"u <{BASE}/u/{ID}>" in shown["text"]
    assert "/t/o/" not in shown["text"] and "/t/o/" in shown["html"]


@pytest.mark.parametrize(
    "html",
    [
        "{% if firstName %}<body>a</body>{% else %}<body>b</body>{% endif %}",
        "{% if lastName %}<body>a</body>{% endif %}c",
    ],
)
def test_the_places_of_a_pixel_are_no_part_of_the_text(html: str) -> None:
    assert parts(html, ANA)["text"] in ("a", "c")


@pytest.mark.parametrize(
    "html",
    [
        *("", " ", "<p></p>", "<img src=x>", "<style>a</style>", "{# a #}"),
        "{% if firstName %}<div style='display:none'>{% endif %}x</div>",
        "{% if firstName %}<!-- {% endif %}x-->",
    ],
)
def test_where_there_are_no_words_or_nobody_knows_which_there_is_no_text(html: str) -> None:
    assert plain_text(html) is None
    assert "text" not in parts(html or " <br>", ANA)


def test_a_recipient_for_whom_no_words_are_left_has_no_text() -> None:
    for html in ("{% if lastName %}x{% endif %}", "{% set x %}a{% endset %}"):
        assert "text" not in parts(html, ANA)


def test_a_text_that_was_written_stays() -> None:
    assert parts("<p>a</p>", ANA, text="b")["text"] == "b"
    assert parts("<p>a</p>", ANA, text="")["text"] == "a"


@settings(deadline=None, max_examples=200)
@given(SOURCES, CONTACTS)
def test_a_text_is_never_a_reason_to_skip_anybody_and_changes_nothing_of_the_html(
    html: str, contact: dict[str, Any]
) -> None:
    html = f" {html}"
    try:
        written = parts(html, contact, text="x")
    except RenderError:
        with pytest.raises(RenderError):
            parts(html, contact)
        return
    made = parts(html, contact)
    assert {**made, "text": ""} == {**written, "text": ""} or made == {
        part: text for part, text in written.items() if part != "text"
    }
    assert "_in_html" not in made.get("text", "") and "\0" not in made.get("text", "")


_PIECES = st.sampled_from(
    [
        *("<p>W</p>", "W ", "<div>W<div>W</div></div>", "<br>", "<ul><li>W</li><li>W</li></ul>"),
        *("<table><tr><td>W</td><td>W</td></tr></table>", "<b>W</b>", "<a href='#'>W</a>"),
        *("<!-- H -->", "<div style='display:none'>H <p>H</p></div>", "<style>H</style>"),
        *("{% if firstName %}<p>W</p>{% else %}H{% endif %}", "{% if lastName %}H{% endif %}"),
        *("<p title='H'>W{# H #}</p>", "<!--[if mso]>H<![endif]-->", "<h1> W\n W </h1>"),
        *(
            "{% for x in [] %}<p>H</p>{% else %}W{% endfor %}",
            "{% with x = 1 %}<p>W</p>{% endwith %}",
        ),
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(_PIECES, min_size=1, max_size=12))
def test_the_text_has_every_word_that_is_shown_in_its_order_and_no_other(
    pieces: list[str],
) -> None:
    numbers = iter(range(10_000))
    html = re.sub(
        "[WH]", lambda found: f"{found.group().lower()}{next(numbers)}x ", "".join(pieces)
    )
    words = re.findall(r"w\d+x", html)
    made = parts(html, ANA).get("text", "")
    assert re.findall(r"\w\d+x", made) == words
    assert "\n\n\n" not in made and made == made.strip()


def test_a_message_is_not_too_large_for_its_text() -> None:
    html = f"<p>{'a' * (MAX_RENDERED - 20)}</p>"[:200_000]
    made = parts(html, ANA)
    assert "text" not in made and made["html"].startswith("<p>a")


def test_a_text_takes_no_fuel_from_its_html() -> None:
    html = "{% for a in range(99) %}{% for b in range(18) %}{{ a }}{% endfor %}{% endfor %}"
    assert parts(html, ANA, text="x")["html"] == parts(html, ANA)["html"]
    with pytest.raises(RenderError):
        parts(html.replace("18", "99"), ANA)


def test_empty_lines_are_at_most_one() -> None:
    assert tidied("\n\n a\n\n\n\nb\n") == "a\n\nb"
