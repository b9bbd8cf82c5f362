"""Changes the HTML of a template: links lead elsewhere, and every document gets one image that is
loaded when it is opened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from html import escape

from connectors.templates.language.nesting import tags
from connectors.templates.markup.destinations import absolute, attribute_value
from connectors.templates.markup.findings import Value
from connectors.templates.markup.reading import Reading

UNSUBSCRIBE = "unsubscribeUrl"  # the variable
_OPT_OUT = "data-track"
Edit = tuple[int, int, str]  # [start, stop) of a source, and the text that comes in its place
_NO = frozenset(["false", "off", "no", "0"])


@dataclass(frozen=True)
class Rewriting:
    """The new sources of links. `constant` makes one of a URL, None to leave it; `variable` one of
    the source of a value that holds a tag, and of whether it stands in quotes; None to leave all of
    these.
    """

    constant: Callable[[str], str | None]
    variable: Callable[[str, bool], str] | None = None


def edited(source: str, edits: Iterable[Edit]) -> str:
    """Returns the source with other texts in the places of these."""
    made, position = list[str](), 0
    for start, stop, text in sorted(edits):
        made += [source[position:start], text]
        position = stop
    return "".join([*made, source[position:]])


def link_edits(source: str, reading: Reading, rewriting: Rewriting) -> list[Edit]:
    """Gives `<a>`, `<area>` and VML shapes other destinations."""
    opted_out = {
        place
        for value, places in reading.values.items()
        if value.attribute == _OPT_OUT and source[value.start : value.stop].strip().lower() in _NO
        for place in places
    }
    starts = [start for start, _ in tags(source)]
    edits = list[Edit]()
    # in the order of the source, which is that of the links' numbers
    for value, places in sorted(reading.values.items(), key=lambda item: item[0].start):
        if value.attribute == "href" and _is_link(value.tag) and opted_out.isdisjoint(places):
            inside = bisect_left(starts, value.start)
            has_tag = inside < len(starts) and starts[inside] < value.stop
            new = (_variable if has_tag else _constant)(source, value, rewriting)
            if new is not None:
                edits.append((value.start, value.stop, new))
    return edits


def _is_link(tag: str) -> bool:
    return tag in ("a", "area") or tag.startswith("v:")


def _constant(source: str, value: Value, rewriting: Rewriting) -> str | None:
    url = absolute(attribute_value(source[value.start : value.stop]))
    new = None if url is None else rewriting.constant(url)
    return None if new is None else _quoted(value, escape(new))


def _variable(source: str, value: Value, rewriting: Rewriting) -> str | None:
    """Rewrites a value that begins with `http:` or `https:`, or may when its tags are printed."""
    inner = source[value.start : value.stop]
    if rewriting.variable is None or not may_be_url(inner):
        return None
    return _quoted(value, rewriting.variable(inner, bool(value.quote)))


def may_be_url(source: str) -> bool:
    """Whether a source that holds a tag can become an http(s) URL that is not our own."""
    if UNSUBSCRIBE in source:
        return False
    begins = attribute_value(source.partition("{")[0])
    return "https:".startswith(begins.strip().lower()) or absolute(f"{begins}-") is not None


def _quoted(value: Value, text: str) -> str:
    return text if value.quote else f'"{text}"'


def image_edits(source: str, reading: Reading, image: str) -> tuple[list[Edit], str | None]:
    """Puts the image at the end of the body, or markers where the branches of the template end
    their bodies: its place is then that of the last marker, or the end of a document without one.

    The rule: a place counts only where an image would be loaded however the template was rendered
    so far. A place that every document has once takes the image itself.
    """
    certain = [place for place, is_certain in reading.ends.items() if is_certain]
    if not certain and not reading.is_clear_at_end:
        bodies = [place for place, is_certain in reading.begins.items() if is_certain]
        otherwise = max(bodies or reading.clear or [0])
        if not reading.ends:
            certain = [otherwise]
    elif not certain and not reading.ends:
        certain = [len(source)]
    if certain:
        return [(max(certain), max(certain), image)], None
    # no contact can have it: it is made of the whole source
    marker = f"\x02{blake2b(source.encode(errors='replace'), digest_size=8).hexdigest()}\x03"
    places = set(reading.ends) | (set() if reading.is_clear_at_end else {otherwise})
    return [(place, place, marker) for place in places], marker
