"""The API's reference at `/docs`: all of it comes from this application, under a policy that lets
nothing else in.
"""

from __future__ import annotations

import re

from tests.api.world import Rest


async def test_the_reference_and_everything_it_names_is_served_under_a_strict_policy(
    rest: Rest,
) -> None:
    page = await rest.nobody.get("http://api/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert (
        "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    )
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {
        "/docs/swagger/swagger-ui-bundle.js",
        "/docs/swagger/swagger-ui.css",
        "/docs/start.js",
    } <= set(named)
    for path in named:
        assert path.startswith("/"), "nothing is loaded from elsewhere"
        assert (await rest.nobody.get(f"http://api{path}")).status_code == 200, path
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page.text), (
        "the policy would refuse it"
    )


async def test_the_start_script_asks_nobody_else_and_keeps_no_key(rest: Rest) -> None:
    script = (await rest.nobody.get("http://api/docs/start.js")).text
    assert (
        'url: "/openapi.json"' in script
        and "validatorUrl: null" in script
        and "persistAuthorization: false" in script
    )
    assert "http" not in script
