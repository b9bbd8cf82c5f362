"""Links that a recipient can follow: numbered per campaign, led through our click page, and a pixel
that reports an open.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from urllib.parse import quote

from minijinja import safe

from connectors.templates.language.nesting import tags
from connectors.templates.markup.destinations import absolute, attribute_value, with_parameters
from connectors.templates.markup.instrument import (
    UNSUBSCRIBE,
    Edit,
    Rewriting,
    edited,
    image_edits,
    link_edits,
    may_be_url,
)
from connectors.templates.markup.reading import read_template
from connectors.templates.seals import LinkSeals
from streams.records.link_tokens import LinkTokens

_UNSUBSCRIBE = re.compile(rf"\{{\{{\s*{UNSUBSCRIBE}\s*\}}\}}")
_EXPRESSION = re.compile(r"\{[{%#]")
_PLAIN_URL = re.compile(r"(?<![A-Za-z0-9_])https?://[^\s<>\"]+", re.IGNORECASE)
_OPENED_BY = {")": "(", "]": "[", "}": "{"}
_LONGEST = 2_000  # characters of a URL that is rendered; a longer one stays as it is
_WHITE = re.compile(r"[\t\n\f\r ]")
_NOTHING: Mapping[str, str] = {}
_PLAIN_TEXT = frozenset([("email", "text"), ("sms", "text"), ("whatsapp", "text")])


#: The variables of instrumented sources that hold tokens. No author can use them: in a template a
#: name of two underscores is unknown.
UNSUBSCRIBE_TOKEN, TRACKING_TOKEN = "__u", "__t"


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


@dataclass(frozen=True)
class Instrumented:
    """A part's source. `marker` stands where the pixel may be (`image_edits`)."""

    source: str
    marker: str | None = None


class Tracking:
    """The public addresses of a campaign's recipients: pixel, clicks and unsubscribe
    below one URL.
    """

    def __init__(
        self,
        public_url: str,
        *,
        opens: bool = False,
        clicks: bool = False,
        seals: LinkSeals | None = None,
        tokens: LinkTokens | None = None,
        parameters: Mapping[str, str] = _NOTHING,
    ) -> None:
        """Without `seals`, links that hold variables are not tracked. Without `tokens`, links carry
        the message id, which no page takes: for texts that are only looked at. `parameters` go into
        the query of every tracked destination that does not have them.
        """
        self.base, self.opens, self.clicks = public_url.rstrip("/"), opens, clicks
        self._tokens, self._parameters = tokens, parameters
        self._seals = seals if clicks else None

    def filters(self) -> dict[str, Callable[..., str]]:
        """The filters that instrumented sources use; no author can name them."""
        if self._seals is None:
            return {}
        return {"_in_html": self._in_html, "_in_html_bare": self._bare, "_in_text": self._in_text}

    def constant_only(self) -> Tracking:
        """The same, but links that hold variables are not tracked."""
        return Tracking(
            self.base,
            opens=self.opens,
            clicks=self.clicks,
            tokens=self._tokens,
            parameters=self._parameters,
        )

    def tokens(self, message_id: str) -> tuple[str, str]:
        """The tokens to unsubscribe and for tracking that the message's links carry."""
        return (message_id,) * 2 if self._tokens is None else self._tokens.make(message_id)

    def tokens_of_many(
        self, number: int, ordinals: Sequence[int], epoch: int, message_ids: Sequence[str]
    ) -> list[tuple[str, str]]:
        """`tokens` for many messages of one campaign, at 60 % of the cost."""
        if self._tokens is None:
            return [self.tokens(message_id) for message_id in message_ids]
        return self._tokens.make_many(number, *ordinals, epoch=epoch)

    def unsubscribe(self, token: str) -> str:
        return f"{self.base}/u/{token}"

    def instrument(self, channel: str, part: str, source: str, links: Links) -> Instrumented:
        """Returns the source with tracked links and pixel, for a part that the engine compiles.

        Rewritten are links of `html`, URLs in the texts of emails, SMS and WhatsApp, and a push
        message's `link`, when they are absolute http(s). A destination that holds variables is
        rendered, sealed for the recipient and carried in the link. Only text of the template is
        changed: nothing in raw blocks, comments, strings and blocks whose text a filter changes. In
        texts, a URL that touches a tag stays as it is, because its end is not known.
        """
        edits, marker = list(self._unsubscribe_edits(part, source)), None
        if part == "html" and (self.clicks or self.opens):
            reading = read_template(source)
            if self.clicks:
                variable = None if self._seals is None else _in_html
                rewriting = Rewriting(partial(self._click, links), variable)
                edits += link_edits(source, reading, rewriting)
            if self.opens:
                more, marker = image_edits(source, reading, self.pixel(_printed(TRACKING_TOKEN)))
                edits += more
        elif self.clicks and (channel, part) in _PLAIN_TEXT:
            edits += self._text_edits(source, links)
        elif self.clicks and (channel, part) == ("push", "link"):
            edits += self._whole(source, links)
        return Instrumented(edited(source, edits), marker)

    def pixel(self, token: str) -> str:
        address = f"{escape(self.base)}/t/o/{token}.gif"
        return f'<img src="{address}" width="1" height="1" alt="">'

    def _click(self, links: Links, url: str) -> str:
        destination = with_parameters(url, self._parameters)
        return f"{self.base}/t/c/{_printed(TRACKING_TOKEN)}/{links.number(destination)}"

    def _unsubscribe_edits(self, part: str, source: str) -> Iterator[Edit]:
        """Writes the URL in place of the expression: a look-up less, and html would spell every
        slash of the URL as an entity.
        """
        url = self.unsubscribe(_printed(UNSUBSCRIBE_TOKEN))
        for start, tag in tags(source):
            if _UNSUBSCRIBE.fullmatch(tag):
                yield start, start + len(tag), escape(url) if part == "html" else url

    def _text_edits(self, source: str, links: Links) -> Iterator[Edit]:
        position = 0
        for start, tag in (*tags(source), (len(source), "")):
            text = source[position:start]
            # `{{-` takes the space before it away
            touching = len(text.rstrip() if tag[2:3] == "-" else text) if tag else None
            for found in _PLAIN_URL.finditer(text):
                url = _url_in(found.group())
                # a URL that touches the tag behind it is not over
                if url is not None and found.end() != touching:
                    at = position + found.start()
                    yield at, at + len(url), self._click(links, url)
            position = start + len(tag)

    def _whole(self, source: str, links: Links) -> Iterator[Edit]:
        if not _EXPRESSION.search(source):
            if source.startswith(("http://", "https://")):
                yield 0, len(source), self._click(links, source)
        elif self._seals is not None and may_be_url(source):
            filtered = f"{{% filter _in_text(messageId) %}}{source}{{% endfilter %}}"
            yield 0, len(source), filtered

    def _in_html(self, value: str, message_id: str) -> str:
        """The tracked link in place of a rendered value of an attribute."""
        written = "".join(
            [value]
        )  # the engine's own kind of text would escape what is joined to it
        url = self._sealed(absolute(attribute_value(written)), message_id)
        return safe(written if url is None else escape(url))

    def _bare(self, value: str, message_id: str) -> str:
        """The same for a value without quotes, which white space would have ended."""
        return self._in_html(_WHITE.split("".join([value]).lstrip(), maxsplit=1)[0], message_id)

    def _in_text(self, value: str, message_id: str) -> str:
        return self._sealed(absolute(value), message_id) or value

    def _sealed(self, url: str | None, message_id: str) -> str | None:
        if self._seals is None or url is None or len(url) > _LONGEST:
            return None
        if url.startswith(f"{self.base}/"):
            return None  # our own
        if self._parameters:
            url = with_parameters(url, self._parameters)
        seal = self._seals.seal(message_id, url)
        return f"{self.base}/t/d/{message_id}/{seal}?u={quote(url, safe=':/?,;@!$*()')}"


def _printed(variable: str) -> str:
    return f"{{{{ {variable} }}}}"


def _in_html(source: str, is_quoted: bool) -> str:
    name = "_in_html" if is_quoted else "_in_html_bare"
    return f"{{% filter {name}(messageId) %}}{source}{{% endfilter %}}"


def _url_in(found: str) -> str | None:
    """Returns the URL at the start of a text without spaces; None when its end is not certain.

    Punctuation that is not ASCII ends it (`，`, `。`), a letter that is not ASCII may belong to it.
    """
    slash = found.find("/", found.index("//") + 2)
    for place, character in enumerate(found):
        if not character.isascii() and unicodedata.category(character)[0] not in "LMN":
            if slash < 0 or place < slash:
                return None  # in a host name, `。` is a dot (UTS 46)
            found = found[:place]
            break
    url = _without_punctuation(found)
    return url if url.isascii() and not url.endswith("//") else None


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
