"""The cookie of a browser that is signed in: its name, and how it is set and taken away.

Over https its name has the prefix `__Host-`, so that no other host of the domain can set it
(draft-ietf-httpbis-rfc6265bis, section 4.1.3.2).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from streams.settings import Settings

_PLAIN = "campaigns_session"
_HOST_ONLY = f"__Host-{_PLAIN}"
_KEY = "ce_"  # in 0.1.0 the cookie held the API key itself


def is_https(settings: Settings) -> bool:
    """Whether browsers come by https. Behind a proxy the request itself says http, so the public
    address decides.
    """
    return settings.public_url.startswith("https:")


def session_of(request: Request, settings: Settings) -> str:
    """The id of the session in the request's cookie, "" without one."""
    return request.cookies.get(_HOST_ONLY if is_https(settings) else _PLAIN, "")


def holds_key(text: str) -> bool:
    """Whether a cookie is one of those that held an API key."""
    return text.startswith(_KEY)


def keep(request: Request, answer: Response, settings: Settings, session: str) -> None:
    """Give the browser the cookie of a session, until it is closed, and no other."""
    name = _HOST_ONLY if is_https(settings) else _PLAIN
    for other in ({_PLAIN, _HOST_ONLY} - {name}) & request.cookies.keys():
        _set(answer, other, "", age=0)
    _set(answer, name, session)


def forget(request: Request, answer: Response) -> None:
    """Take the browser's cookies away."""
    for name in {_PLAIN, _HOST_ONLY} & request.cookies.keys():
        _set(answer, name, "", age=0)


def forget_keys(request: Request, answer: Response) -> None:
    """Take away the cookie of a browser that was signed in when it held an API key."""
    for name in (_PLAIN, _HOST_ONLY):
        if holds_key(request.cookies.get(name, "")):
            _set(answer, name, "", age=0)


def _set(answer: Response, name: str, text: str, age: int | None = None) -> None:
    answer.set_cookie(
        name, text, max_age=age, httponly=True, samesite="strict", secure=name == _HOST_ONLY
    )
