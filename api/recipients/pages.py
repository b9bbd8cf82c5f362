"""The pixel, and the small pages for recipients, which load nothing, run nothing and remember
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import HTMLResponse, RedirectResponse, Response

# 43 bytes: one transparent pixel (GIF89a).
_PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)
# The address of such a page is all that it takes to unsubscribe: api/http/browsers/headers.py keeps
# it from caches and from the Referer of other sites.
_HEADERS: Mapping[str, str] = {"X-Robots-Tag": "noindex, nofollow"}
_FORM = '<form method="post"><button type="submit">Unsubscribe</button></form>'


def pixel() -> Response:
    return Response(_PIXEL, media_type="image/gif", headers=_HEADERS)


def redirect(url: str) -> Response:
    return RedirectResponse(url, 302, headers=_HEADERS)


def question() -> Response:
    """Asks whether to unsubscribe; only the button does it, because scanners follow every link of a
    mail.
    """
    return _page("Unsubscribe", "Do you want to receive no more of these messages?", form=_FORM)


def unsubscribed() -> Response:
    return _page("Unsubscribed", "You will receive no more of these messages.")


def only_a_test() -> Response:
    return _page("A test message", "This message was a test: there is nothing to unsubscribe from.")


def unknown() -> Response:
    return _page("Not found", "This link is incomplete or not one of ours.", 404)


def try_again() -> Response:
    return _page("Not now", "Something is out of order here. Please try again in a minute.", 503)


def too_often(retry_after: int) -> Response:
    sentence = "You have asked for this several times, and it was kept. Please wait ten minutes."
    page = _page("Not so often", sentence, 429)
    page.headers["Retry-After"] = str(retry_after)
    return page


def _page(title: str, sentence: str, status: int = 200, form: str = "") -> Response:
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{title}</title></head><body><h1>{title}</h1><p>{sentence}</p>{form}</body></html>"
    )
    headers = {**_HEADERS, "Retry-After": "60"} if status == 503 else _HEADERS
    return HTMLResponse(page, status, headers)
