"""The destination of a link as a browser that follows the WHATWG's standards takes it from an
attribute.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.entities import html5
from urllib.parse import quote, unquote_plus

_REFERENCE = re.compile(r"&(?:#[xX]([0-9a-fA-F]+);?|#([0-9]+);?|([0-9A-Za-z]+;?))")
_LONGEST_NAME = max(map(len, html5))
_CONTROLS_AND_SPACE = "".join(map(chr, range(0x21)))
_REMOVED = str.maketrans("", "", "\t\n\r")
_ABSOLUTE = re.compile(r"(https?:)[/\\]*(?=[^/\\])", re.IGNORECASE)
_QUERY = re.compile(r"[?#]")
# HTML, section 13.2.5.80: what a reference to a C1 control means
_WINDOWS_1252 = dict(
    zip(
        range(0x80, 0xA0),
        bytes(range(0x80, 0xA0)).decode("cp1252", "replace"),
        strict=True,
    )
)


def attribute_value(source: str) -> str:
    """Returns the value of an attribute, given as it is written (HTML, sections 13.2.5.72 to 80).

    A name without its semicolon is text before a letter, a digit or `=`: `?a=1&region=EU` has no
    `®`.
    """
    return _REFERENCE.sub(_character, source) if "&" in source else source


def _character(found: re.Match[str]) -> str:
    hexadecimal, decimal, name = found.groups()
    if name is None:
        digits, base = (hexadecimal, 16) if hexadecimal else (decimal, 10)
        significant = digits.lstrip("0")[:8]  # 8 digits exceed Unicode in either base, or are 0
        return _numbered(int(significant or "0", base))
    for length in range(min(len(name), _LONGEST_NAME), 1, -1):
        character = html5.get(name[:length])
        if character is not None:
            following = (name[length:] or found.string[found.end() : found.end() + 1])[:1]
            is_text = name[length - 1] != ";" and (
                following == "=" or (following.isascii() and following.isalnum())
            )
            return found.group() if is_text else character + name[length:]
    return found.group()


def _numbered(number: int) -> str:
    if number == 0 or number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        return "\ufffd"
    character = _WINDOWS_1252.get(number, "\ufffd")
    return chr(number) if character == "\ufffd" else character


def absolute(value: str) -> str | None:
    """Returns the http(s) URL that a browser makes of an attribute's value; None for anything else.

    Spaces and controls around it, line breaks and tabs within it are dropped, backslashes before a
    query are slashes, and behind the scheme there are two of them, as the URL standard has it
    (section 4.4, "basic URL parser"). Written in full, because a redirect to `https:/a.example`
    would stay on the redirecting host.
    """
    url = value.strip(_CONTROLS_AND_SPACE).translate(_REMOVED)
    found = _ABSOLUTE.match(url)
    if found is None:
        return None
    query = _QUERY.search(url, found.end())
    end = query.start() if query else len(url)
    host_and_path = url[found.end() : end].replace("\\", "/")
    return f"{found[1]}//{host_and_path}{url[end:]}"


def with_parameters(url: str, parameters: Mapping[str, str]) -> str:
    """Returns the URL with these parameters at the end of its query, except those that it has. All
    that it has stays as it is written.
    """
    address, hash_sign, fragment = url.partition("#")
    _, question, query = address.partition("?")
    known = {unquote_plus(one.partition("=")[0]).lower() for one in query.split("&")}
    added = "&".join(
        f"{name}={quote(value, safe='')}" for name, value in parameters.items() if name not in known
    )
    if not added:
        return url
    joined = "?" if not question else "" if not query or query.endswith("&") else "&"
    return f"{address}{joined}{added}{hash_sign}{fragment}"
