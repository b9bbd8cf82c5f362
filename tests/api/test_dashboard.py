"""The page at `/`: served by the application itself, from files that need nothing from anywhere
else.
"""

from __future__ import annotations

import re
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


_BY_OTHERS = ("cross-site", "same-site", "", "none, none", "SAME-ORIGIN")


@pytest.mark.parametrize("site", [None, "none", "same-origin", *_BY_OTHERS])
async def test_the_page_says_whether_a_person_opened_it_or_another_page(
    rest: Rest, site: str | None
) -> None:
    """A link on another page must not sign a visitor in unasked; a browser that says nothing may
    have followed one.
    """
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    page = (await rest.nobody.get("http://api/", headers=headers)).text
    expected = "directly" if site in ("none", "same-origin") else "by-others"
    assert re.findall(r'data-arrival="([a-z-]+)"', page) == [expected]


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
