"""Links that a recipient can follow: numbered per campaign, led through our click page, and a pixel
that reports an open.
"""

from __future__ import annotations

import html
import re
from functools import partial

from connectors.templates.nesting import tags, too_nested

_ANCHOR = re.compile(r"""(<a\b[^<>]*?\bhref\s*=\s*)(["'])(https?://[^"'<>]*)\2""", re.IGNORECASE)
_UNSUBSCRIBE = re.compile(r"\{\{\s*unsubscribeUrl\s*\}\}")
_EXPRESSION = re.compile(r"\{[{%#]")
_PLAIN_URL = re.compile(r"\bhttps?://[^\s<>\"]+", re.IGNORECASE)
_OPENED_BY = {")": "(", "]": "[", "}": "{"}
_PLAIN_TEXT = frozenset([("email", "text"), ("sms", "text"), ("whatsapp", "text")])


class Links:
    """The destinations of a campaign: every distinct URL has the number of its first occurrence."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, url: str) -> int:
        return self._numbers.setdefault(url, len(self._numbers))

    @property
    def urls(self) -> tuple[str, ...]:
        """Returns the URLs in the order of their numbers."""
        return tuple(self._numbers)


class Tracking:
    """The public addresses of a campaign's recipients: pixel, clicks and unsubscribe
    below one URL.
    """

    def __init__(self, public_url: str, *, opens: bool = False, clicks: bool = False) -> None:
        self.base, self.opens, self.clicks = public_url.rstrip("/"), opens, clicks

    def unsubscribe(self, message_id: str) -> str:
        return f"{self.base}/u/{message_id}"

    def instrument(self, channel: str, part: str, source: str, links: Links) -> str:
        """Returns the source with tracked links and pixel.

        Rewritten are anchors of `html`, URLs in the texts of emails, SMS and WhatsApp, and a push
        message's `link`, when they are absolute http(s) and constant. A URL that holds an
        expression or touches a tag stays as it is, because its destination is not known before it
        is rendered. So does a URL in a text that is not ASCII, because its end is ambiguous.
        """
        # in place of the expression: a look-up less, and html would spell every slash of the URL as
        # an entity
        url = self.unsubscribe("{{ messageId }}")
        source = _UNSUBSCRIBE.sub(lambda _: html.escape(url) if part == "html" else url, source)
        if part == "html":
            return self._instrument_html(source, links)
        if (
            self.clicks and (channel, part) in _PLAIN_TEXT and not too_nested(source)
        ):  # else it is refused in a moment
            return self._instrument_text(source, links)
        if (
            channel == "push"
            and part == "link"
            and self.clicks
            and source.startswith(("http://", "https://"))
        ):
            return source if _EXPRESSION.search(source) else self._click(links.number(source))
        return source

    def _click(self, number: int) -> str:
        return f"{self.base}/t/c/{{{{ messageId }}}}/{number}"

    def _instrument_html(self, source: str, links: Links) -> str:
        if self.clicks:
            source = _ANCHOR.sub(lambda found: self._rewrite(found, links), source)
        if self.opens:
            address = f"{html.escape(self.base)}/t/o/{{{{ messageId }}}}.gif"
            pixel = f'<img src="{address}" width="1" height="1" alt="">'
            head, body, tail = source.rpartition("</body>")
            source = f"{head}{pixel}{body}{tail}" if body else source + pixel
        return source

    def _instrument_text(self, source: str, links: Links) -> str:
        made, position = list[str](), 0
        for start, tag in (*tags(source), (len(source), "")):
            text = source[position:start]
            # `{{-` takes the space before it away
            ends = len(text.rstrip() if tag[2:3] == "-" else text) if tag else None
            made += [_PLAIN_URL.sub(partial(self._rewrite_plain, links, ends), text), tag]
            position = start + len(tag)
        return "".join(made)

    def _rewrite_plain(self, links: Links, touching: int | None, found: re.Match[str]) -> str:
        """Rewrites the URLs of a text. `touching` is where a URL ends that touches the tag behind
        it.
        """
        url = _without_punctuation(found.group())
        if found.end() == touching or not url.isascii() or url.endswith("//"):
            return found.group()
        return self._click(links.number(url)) + found.group()[len(url) :]

    def _rewrite(self, found: re.Match[str], links: Links) -> str:
        before, quote, url = found.groups()
        if _EXPRESSION.search(url):
            return found.group()
        return f"{before}{quote}{html.escape(self._click(links.number(html.unescape(url))))}{quote}"


def _without_punctuation(url: str) -> str:
    """Returns the URL in a text without the punctuation of the sentence: marks at its end, brackets
    that it does not open.
    """
    unopened = {
        closing: url.count(closing) - url.count(opening) for closing, opening in _OPENED_BY.items()
    }
    end = len(url)
    while end and (url[end - 1] in ".,;:!?'" or unopened.get(url[end - 1], 0) > 0):
        end -= 1
        if url[end] in unopened:
            unopened[url[end]] -= 1
    return url[:end]
