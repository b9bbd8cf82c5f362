"""Turns a template and one contact into the parts of a message: sandboxed, escaped by channel, and
the same in preview and sending.

The engine is MiniJinja (a Rust implementation of Jinja's language). Its fuel bounds the steps of a
message, and three modules bound the cost of one step: `nesting` (how deep), `language` (no calls,
no sequence that grows) and `values` (data without methods, 1,000 elements). A missing variable is
an error where it is printed, and false in a condition (`conditions`). An email without a text gets
one that is made of the template's HTML, when it is compiled. All parts of a message are one
compiled template, because a call costs more than the rendering (subject, html and text: 3.3 us
together, 5 us apart).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from minijinja import Environment, TemplateError

from connectors.templates.conditions.comparisons import filters, tests
from connectors.templates.conditions.expressions import TooIntricateError, forgiving
from connectors.templates.language.dialect import FILTERS, refused
from connectors.templates.language.formats import UnusableValueError, formats
from connectors.templates.language.nesting import too_nested
from connectors.templates.links import TRACKING_TOKEN, UNSUBSCRIBE_TOKEN, Links, Tracking
from connectors.templates.markup.plain_text import plain_text, tidied
from connectors.templates.markup.text_sources import FILTER, as_text
from connectors.templates.values import (
    MAX_ELEMENTS,
    Hiding,
    TooManyElementsError,
    needs_hiding,
    without_methods,
)
from streams.contracts.values.one_line import folded
from streams.errors import CampaignError
from tables.audience.recipients import FIELDS
from tables.channels import CHANNELS

MAX_SOURCE = 512_000  # characters of all parts of a template
# characters of all parts of a message: what Kafka takes in one record, with room for JSON's escapes
MAX_RENDERED = 256_000
MAX_MESSAGE = 800_000  # bytes; a Kafka batch, which must hold the largest record, has 900,000
_FUEL = 20_000  # steps
_SEMI_STRICT: Any = "semi_strict"  # the engine's stubs do not list it
# PostgreSQL stores no NUL in text or jsonb, so neither a template nor a contact can contain one.
_BETWEEN = "\0"
_NOTHING: dict[str, Any] = {}
_SPELLED = 80  # characters of a filter in an error


class RenderError(CampaignError):
    """The template cannot be rendered for this contact; the detail names the variable or place."""

    code: ClassVar[str] = "render-error"
    title: ClassVar[str] = "The template cannot be rendered"


class Template:
    """A compiled template of one channel. `written` are the parts that its content has, `parts`
    those of its messages: the text that is made of HTML is the last. `fields` are the contact
    fields that it uses; no others have to be read.

    Raises RenderError when a part is missing, too large or not a template.
    """

    def __init__(
        self,
        channel: str,
        content: Mapping[str, Any],
        campaign_name: str,
        tracking: Tracking,
        links: Links,
    ) -> None:
        self.channel, self._tracking = channel, tracking
        self.written = self.parts = _parts(channel, content)
        self._wants_text = channel == "email" and "text" not in self.written
        self._engine = Environment(
            undefined_behavior=_SEMI_STRICT,
            fuel=_FUEL * 2
            if self._wants_text
            else _FUEL,  # the text takes as many steps as the html
            debug=True,
            pycompat=False,
            keep_trailing_newline=True,
        )
        own = {FILTER: as_text, **formats(), **filters(), **tracking.filters()}
        for name, made in own.items():
            self._engine.add_filter(name, made)
        for name, test in tests().items():
            self._engine.add_test(name, test)
        self._engine.add_global("campaign", without_methods({"name": campaign_name}))
        sources = self._checked({part: content[part] for part in self.written})
        self._marker: str | None = None
        used = self._compile(sources, tracking, links)
        self.makes_text = self.parts != self.written
        self.fields = _fields(used)
        self._render = partial(self._engine.render_template, "message")
        self._make: type[dict[str, Any]] = Hiding if needs_hiding(used) else dict
        self._uses_bare_names = not used.isdisjoint(FIELDS)
        self._uses_unsubscribe_url = "unsubscribeUrl" in used
        self._uses_today = "today" in used
        tokens = {UNSUBSCRIBE_TOKEN, TRACKING_TOKEN, "unsubscribeUrl"}
        self.uses_tokens = self._marker is not None or not used.isdisjoint(tokens)

    def undeclared(self, part: str) -> set[str]:
        """Returns the names that a part uses and does not set."""
        found: set[str] = self._engine.undeclared_variables_in_template(part)
        return found

    def render(
        self,
        contact: Mapping[str, Any],
        message_id: str,
        at: str = "",
        tokens: tuple[str, str] | None = None,
    ) -> dict[str, str]:
        """Returns the parts by name. `contact` holds at least `fields`; a value that is None or
        absent is a missing variable. `at` is the instant (RFC 3339, UTC) whose day is `today`,
        which is missing without it. `tokens` are those of the message's links, made when they are
        not given.

        Raises RenderError, which names the variable. It may quote a calculated value, so it is
        shown to the author and never logged.
        """
        try:
            contact = without_methods(contact, make=self._make)
        except (TooManyElementsError, RecursionError):
            raise RenderError(
                f"the attributes have more than {MAX_ELEMENTS:,} elements, or too many levels"
            ) from None
        bare = contact if self._uses_bare_names else _NOTHING
        if self.uses_tokens:
            tokens = tokens or self._tracking.tokens(message_id)
            bare = {**bare, UNSUBSCRIBE_TOKEN: tokens[0], TRACKING_TOKEN: tokens[1]}
            if self._uses_unsubscribe_url:
                bare["unsubscribeUrl"] = self._tracking.unsubscribe(tokens[0])
        if self._uses_today and at:
            bare = {**bare, "today": at[:10]}
        try:
            rendered = self._render(contact=contact, messageId=message_id, **bare)
        except BaseException as error:
            if not _is_template_fault(error):
                raise
            raise self._explained(
                error, {**bare, "contact": contact, "messageId": message_id}
            ) from error
        texts, size = rendered.split(_BETWEEN), len(rendered)
        if len(texts) != len(self.parts):
            raise RenderError("a template may not make NUL characters")
        if self.makes_text:
            text = texts.pop()
            if size > MAX_RENDERED:  # nobody is skipped for a text that nobody wrote
                size -= len(text)
            elif text := tidied(text):
                texts.append(text)
        if size > MAX_RENDERED:
            raise RenderError(f"the message has {size:,} characters, the limit is {MAX_RENDERED:,}")
        if self.parts[0] == "subject":
            # a header with a line end could be continued by headers of the author's own
            texts[0] = folded(texts[0])
            if self._marker is not None:
                assert tokens is not None
                texts[1] = self._with_pixel(texts[1], self._marker, tokens[1])
        return dict(
            zip(self.parts, texts, strict=False)
        )  # strict costs more than the comparison above

    def _with_pixel(self, html: str, marker: str, token: str) -> str:
        before, found, behind = html.rpartition(marker)
        pixel = self._tracking.pixel(token)
        return f"{before.replace(marker, '')}{pixel}{behind}" if found else f"{behind}{pixel}"

    def _checked(self, sources: Mapping[str, str]) -> dict[str, str]:
        """Compiles each part as it is written, because a part is a complete template by itself and
        what tracking adds makes no difference. Returns them with forgiving conditions.
        """
        checked = {}
        for part, source in sources.items():
            if problem := too_nested(source) or refused(source):
                raise RenderError(f"{part}, {problem}")
            self._add(part, source)
            try:
                checked[part] = forgiving(source)
            except TooIntricateError as error:
                raise RenderError(f"{part}, {error}") from None
            self._add(part, checked[part])
        return checked

    def _add(self, part: str, source: str) -> None:
        try:
            self._engine.add_template(part, source)
        except TemplateError as error:
            raise RenderError(
                f"{part}, line {error.line}: {error.detail or error.message}"
            ) from error

    def _compile(self, sources: Mapping[str, str], tracking: Tracking, links: Links) -> set[str]:
        try:
            self._engine.add_template("message", self._whole(sources, tracking, links))
        except TemplateError:  # the filters of links would be the one block too many in each other
            whole = self._whole(sources, tracking.constant_only(), links)
            try:
                self._engine.add_template("message", whole)
            except TemplateError as error:  # escaping is one block more than each part has
                raise RenderError(error.detail or error.message) from error
        used: set[str] = self._engine.undeclared_variables_in_template("message", nested=True)
        return used

    def _whole(self, sources: Mapping[str, str], tracking: Tracking, links: Links) -> str:
        whole, text = list[str](), None
        for part in self.written:
            made = tracking.instrument(self.channel, part, sources[part], links)
            self._marker = self._marker or made.marker
            whole.append(_escaping(made.source, is_html=part == "html"))
            if part == "html" and self._wants_text:
                text = self._made_text(made.source.replace(made.marker or _BETWEEN, ""))
                self.parts = self.written if text is None else (*self.written, "text")
        return _BETWEEN.join(whole if text is None else [*whole, text])

    def _made_text(self, html: str) -> str | None:
        """The source of the text for an html with its links; None when none can be made."""
        if (text := plain_text(html)) is None:
            return None
        source = _escaping(text, is_html=False)
        try:
            self._engine.add_template("text", source)
        except TemplateError:  # a filter of ours was the one block too many in each other
            return None
        return source

    def _explained(self, error: BaseException, context: Mapping[str, Any]) -> RenderError:
        """Returns the error with the part in which it happens: the parts are rendered
        one by one.
        """
        for part in self.parts:
            try:
                self._engine.render_template(part, **context)
            except TemplateError as found:
                return RenderError(f"{part}, line {found.line}: {_why(found)}")
            except UnusableValueError as found:
                place = part if found.line is None else f"{part}, line {found.line}"
                return RenderError(f"{place}: {found}")
            except BaseException as found:
                if not _is_template_fault(found):
                    raise
                return RenderError(f"{part}: {type(found).__name__}")
        return RenderError(type(error).__name__)


def _why(error: TemplateError) -> str:
    """The error in words, with the filter and its arguments where one of them cannot be used."""
    why = error.detail or error.message.partition(" (in ")[0]
    is_missing = error.kind == "UndefinedError"  # a value, whatever is done with it
    if is_missing or error.range is None or error.template_source is None:
        return why
    start, stop = error.range
    spelled = error.template_source.encode()[start:stop].decode(errors="replace")
    word = re.match(r"\w+", spelled)
    is_filter = word is not None and word[0] in FILTERS
    return f"`{spelled[:_SPELLED]}`: {why}" if is_filter else why


def _is_template_fault(error: BaseException) -> bool:
    """Whether the template is at fault: values that cannot be compared or converted raise errors of
    Python, and a panic of the engine derives from BaseException.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _escaping(source: str, *, is_html: bool) -> str:
    return f"{{% autoescape {'true' if is_html else 'false'} %}}{source}{{% endautoescape %}}"


def _parts(channel: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    rules = CHANNELS[channel]
    parts = tuple(part for part in rules.content if part in rules.required or content.get(part))
    for part in parts:
        if not isinstance(content.get(part), str):
            raise RenderError(f"the template has no {part}")
        if _BETWEEN in content[part]:
            raise RenderError("a template may not contain NUL characters")
    if parts == ("subject",):
        raise RenderError("the template has neither html nor text")
    if (size := sum(len(content[part]) for part in parts)) > MAX_SOURCE:
        raise RenderError(f"the template has {size:,} characters, the limit is {MAX_SOURCE:,}")
    return parts


def _fields(used: set[str]) -> tuple[str, ...]:
    if "contact" in used:  # as a whole: looped over, indexed by an expression, renamed
        return tuple(FIELDS)
    names = {name.removeprefix("contact.").partition(".")[0] for name in used}
    return tuple(field for field in FIELDS if field in names)
