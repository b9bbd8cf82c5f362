"""Which requests for pixels and links come from machines: scanners, proxies and prefetching, counted apart from people, never dropped."""

from __future__ import annotations

from collections.abc import Mapping

# Parts of user agents, lower case.
_AGENTS = (
    # Gmail's image proxy fetches for everybody, also when a person opens: github.com/browscap/browscap/issues/1108
    "googleimageproxy",
    "via ggpht.com",  # its older name: github.com/browscap/browscap/issues/367
    "gmail-content-sampling",  # Gmail follows links: github.com/mssola/user_agent/issues/71
    "yahoomailproxy",  # help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html
    "edge/12.246 mozilla/5.0",  # Gmail prefetches images before it shows a message: bird.com/blog/gmail-prefetching-images
    "bingpreview",  # link previews of Microsoft: bing.com/webmasters/help/which-crawlers-does-bing-use-8c184ec0
    "skypeuripreview",  # the same of Skype and Teams, as it names itself
)
_APPLE = "mozilla/5.0"  # the whole of what Mail Privacy Protection says of itself: mailgun.com/blog/product/bot-detection
_PREFETCH = ("sec-purpose", "purpose", "x-moz")  # wicg.github.io/nav-speculation/prefetch.html and its two predecessors


def is_machine(headers: Mapping[str, str]) -> bool:
    """Whether no person can be told to be behind this request. `headers` finds names whatever their case."""
    agent = headers.get("user-agent", "").strip().lower()
    if agent == _APPLE or any(part in agent for part in _AGENTS):
        return True
    return any("prefetch" in headers.get(name, "").lower() for name in _PREFETCH)
