"""The page at `/`: served by the application itself, from files that need nothing from anywhere
else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_args

import pytest

from streams.contracts.waiting import WORDS, WaitingReason
from tables.throttle.state import Reason
from tests.api.world import Rest


async def test_the_page_and_everything_it_names_is_served_under_a_strict_policy(rest: Rest) -> None:
    page = await rest.nobody.get("http://api/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert (
        "default-src 'none'" in policy
        and "script-src 'self'" in policy
        and "frame-ancestors 'none'" in policy
    )
    assert "unsafe" not in policy and page.headers["x-content-type-options"] == "nosniff"
    named = [
        path
        for path in re.findall(r'(?:src|href)="([^"]+)"', page.text)
        if not path.startswith("data:")
    ]
    assert {"/dashboard/app.js", "/dashboard/style.css"} <= set(named)
    for path in named:
        assert path.startswith("/"), "nothing is loaded from elsewhere"
        assert (await rest.nobody.get(f"http://api{path}")).status_code == 200, path


_ARRIVALS: Mapping[str, Mapping[str, str]] = {
    "a mail program, the address bar, a terminal": {"Sec-Fetch-Site": "none"},
    "a click there": {"Sec-Fetch-Site": "none", "Sec-Fetch-User": "?1"},
    "webmail": {"Sec-Fetch-Site": "cross-site", "Referer": "https://mail.example/"},
    "a page without a Referer": {"Sec-Fetch-Site": "cross-site"},
    "another port of the host": {"Sec-Fetch-Site": "same-site", "Referer": "http://api:3000/"},
    "our own page": {"Sec-Fetch-Site": "same-origin", "Referer": "http://api/"},
    "an old browser": {},
    "an old browser, from another page": {"Referer": "https://evil.example/"},
}


@pytest.mark.parametrize("headers", _ARRIVALS.values(), ids=_ARRIVALS)
async def test_however_a_link_was_opened_the_page_is_the_same(
    rest: Rest, headers: Mapping[str, str]
) -> None:
    """No header tells the link of an attacker's mail from one that a person has pasted."""
    page = await rest.nobody.get("http://api/", headers=headers)
    assert page.text == (await rest.nobody.get("http://api/")).text
    assert "set-cookie" not in page.headers


async def test_the_code_of_a_link_is_used_by_a_button_only(rest: Rest) -> None:
    script = (await rest.nobody.get("http://api/dashboard/app.js")).text
    assert script.count("code })") == 1
    assert re.search(r'\$\("use-link"\)\.onsubmit = [^;]*; signIn\(\{ code \}\); \};', script)
    page = (await rest.nobody.get("http://api/")).text
    assert re.search(r'<form id="use-link" hidden>.*?<button type="submit">', page, re.DOTALL)


async def test_the_page_has_no_inline_script_or_style_that_its_policy_would_refuse(
    rest: Rest,
) -> None:
    page = (await rest.nobody.get("http://api/")).text
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)


async def test_every_reason_for_waiting_has_the_same_words_on_the_page_and_in_the_terminal(
    rest: Rest,
) -> None:
    script = (await rest.nobody.get("http://api/dashboard/app.js")).text
    table = re.findall(r"const REASONS = \{(.*?)\};", script, re.DOTALL)[0]
    on_the_page = re.findall(r'"?([a-z-]+)"?: "([^"]+)"', table)
    words = {reason: words[0].lower() + words[1:] for reason, words in on_the_page}
    assert words == WORDS
    assert set(get_args(Reason)) < set(WORDS) == set(get_args(WaitingReason))
