"""The headers that every answer has, whichever route, refusal or limit it comes from: one table by
the kind of its address.

The names and values are those of https://owasp.org/www-project-secure-headers/ as far as they mean
anything here; `Strict-Transport-Security` is for https only (RFC 6797, section 7.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Pair = tuple[bytes, bytes]
_CACHE = b"cache-control"
_NO_STORE = (_CACHE, b"no-store")
_EVERYWHERE = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_OURS_ONLY = (b"cross-origin-resource-policy", b"same-origin")
# A mail shows the pixel, and a mail reader may ask for consent of what it loads.
_FOR_ANYBODY = (b"cross-origin-resource-policy", b"cross-origin")
_ALONE = (b"cross-origin-opener-policy", b"same-origin")
_ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")


def _policy(**allowed: str) -> Pair:
    """A content security policy that allows this and nothing else, not even a frame around it."""
    names = (f"{name.replace('_', '-')} {sources}" for name, sources in allowed.items())
    fixed = ("default-src 'none'", *names, "base-uri 'none'", "frame-ancestors 'none'")
    return b"content-security-policy", "; ".join(fixed).encode()


_SELF = "'self'"
_SCRIPTED = _policy(
    script_src=_SELF,
    style_src=_SELF,
    connect_src=_SELF,
    img_src="'self' data:",
    form_action="'none'",
)
_SMALL = _policy(form_action=_SELF)  # a page for recipients: one button
_NOTHING = _policy(form_action="'none'")

# Of several prefixes the first counts.
_DATA: Sequence[Pair] = (*_EVERYWHERE, _NO_STORE, _OURS_ONLY, _NOTHING)
_PAGE: Sequence[Pair] = (*_EVERYWHERE, _NO_STORE, _OURS_ONLY, _ALONE, _SCRIPTED)
# asked for again each time, and answered 304 while the file is the same
_FILE: Sequence[Pair] = (*_EVERYWHERE, (_CACHE, b"no-cache"), _OURS_ONLY, _NOTHING)
_BY_PREFIX: Mapping[str, Sequence[Pair]] = MappingProxyType(
    {
        "/t/o/": (*_EVERYWHERE, _NO_STORE, _FOR_ANYBODY),
        # no opener policy on a redirect: it would part the destination from the page before
        "/t/": (*_EVERYWHERE, _NO_STORE, _FOR_ANYBODY, _SMALL),
        "/u/": (*_EVERYWHERE, _NO_STORE, _OURS_ONLY, _ALONE, _SMALL),
        "/dashboard/": _FILE,
        "/docs/": _FILE,
    }
)
_PAGES = ("/", "/docs")


class AnswerHeaders:
    """Adds what is missing to the head of every answer, which costs 2 us. It stands outside of
    everything else, so that an answer of any of it has them, too.
    """

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        more: Sequence[Pair] = (_ONLY_HTTPS,) if is_https else ()
        self._data: Sequence[Pair] = (*_DATA, *more)
        self._of_pages: Mapping[str, Sequence[Pair]] = dict.fromkeys(_PAGES, (*_PAGE, *more))
        self._by_prefix = tuple((prefix, (*of, *more)) for prefix, of in _BY_PREFIX.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        added = self._of(scope["path"])

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._completed(message.get("headers", ()), added)
            await send(message)

        await self._app(scope, receive, completed)

    def _of(self, path: str) -> Sequence[Pair]:
        for prefix, headers in self._by_prefix:
            if path.startswith(prefix):
                return headers
        return self._of_pages.get(path, self._data)

    def _completed(self, given: Sequence[Pair], added: Sequence[Pair]) -> list[Pair]:
        if added is self._data:  # an event stream says no-cache by itself: that may be stored
            given = [pair for pair in given if pair[0] != _CACHE]
        present = {name for name, _ in given}
        return [*given, *(pair for pair in added if pair[0] not in present)]
