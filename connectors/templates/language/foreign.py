"""Languages of other systems in a template: what their author meant, and how it is written here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from connectors.templates.language.nesting import tags, too_nested

# what it looks like -> the system; in text, where it would be sent as it is
_PLACEHOLDERS = (
    re.compile(r"\*\|[A-Za-z0-9_:.=,/ -]{1,60}\|\*"),  # Mailchimp
    re.compile(r"%%[A-Za-z_][\w .:=-]{0,60}%%"),  # Salesforce
    re.compile(r"%recipient[._]\w{1,60}%"),  # Mailgun
    re.compile(r"<%=?\s*[\w.@]{1,60}\s*%>"),  # ERB
    re.compile(r"\$\{[A-Za-z_][\w.]{0,60}\}"),  # FreeMarker, Velocity
)
_MOST = 20
_TAGS: Mapping[str, str] = {
    "assign": "{% set name = … %}",
    "capture": "{% set name %}…{% endset %}",
    "endcapture": "{% endset %}",
    "unless": "{% if not … %}",
    "endunless": "{% endif %}",
    "elsif": "{% elif … %}",
    "elseif": "{% elif … %}",
    "case": "{% if … == … %}",
    "comment": "{# … #}",
    "endcomment": "#}",
}
_HANDLEBARS: Mapping[str, str] = {
    "{{{": "`{{{ … }}}` of Handlebars is `{{ … | safe }}` here",
    "{{#": "blocks of Handlebars are `{% if … %}` and `{% for … in … %}` here",
    "{{/": "the end of a block of Handlebars is `{% endif %}` or `{% endfor %}` here",
    "{{^": "`{{^ … }}` of Handlebars is `{% if not … %}` here",
    "{{>": "there are no partials of Handlebars here",
    "{{!": "a comment of Handlebars is `{# … #}` here",
    "{{&": "`{{& … }}` of Handlebars is `{{ … | safe }}` here",
}


def hint(tag: str) -> str:
    """Returns what to write in place of a tag that is refused, as `; …`, or nothing."""
    if (said := _HANDLEBARS.get(tag[:3])) is not None:
        return f"; {said}"
    word = re.match(r"\{%[-+]?\s*(\w+)", tag)
    if word is not None and (instead := _TAGS.get(word[1])) is not None:
        return f"; write `{instead}`"
    return ""


def foreign_placeholders(source: str) -> Iterator[str]:
    """Yields placeholders of other systems in the text of a template, as `line 3: …`; each once."""
    seen, position, line = set[str](), 0, 1
    for start, tag in [] if too_nested(source) else (*tags(source), (len(source), "")):
        text = source[position:start]
        found = [match for pattern in _PLACEHOLDERS for match in pattern.finditer(text)]
        for match in sorted(found, key=lambda one: one.start()):
            if match.group() not in seen and len(seen) < _MOST:
                seen.add(match.group())
                at = line + text.count("\n", 0, match.start())
                yield f"line {at}: `{match.group()}` is sent as it is: variables are `{{{{ … }}}}`"
        line += source.count("\n", position, start + len(tag))
        position = start + len(tag)
