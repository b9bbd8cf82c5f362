"""Whether a request comes from our own page: no other page may act with a visitor's cookie or sign
a visitor in.

`SameSite=Strict` does not tell ports of one host apart, so that is looked at, too.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import Request

from streams.settings import Settings

_READ_BY = ("same-origin", "none")  # none: the address bar, a bookmark, a terminal


def may_read(request: Request) -> bool:
    """Whether a cookie counts for a request that only reads: not when a browser says that a page
    of another origin makes it (https://www.w3.org/TR/fetch-metadata/).
    """
    return request.headers.get("sec-fetch-site", "none") in _READ_BY


def may_change(request: Request, settings: Settings) -> bool:
    """Whether our own page makes the request. It sends a header that no other page can send without
    asking first, and the browser says where the page comes from: by `Sec-Fetch-Site`, and a browser
    that has none by `Origin`.
    """
    if request.headers.get("x-requested-with") != "dashboard":
        return False
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    if origin is None:
        return True
    # a proxy may rewrite Host or end TLS, so the scheme is not compared
    ours = {request.headers.get("host", ""), _host(settings.public_url)}
    return _host(origin) in {one.lower() for one in ours if one}


def _host(url: str) -> str:
    """Host and port; "" of what is no URL, such as the origin `null`."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""
