"""Signing in to the dashboard: by a link that works once or by a key, never over a session, never
from another page; and the ends of a session.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest

from tables.database.connection import Database
from tables.database.statements import Reading
from tables.tenants.api_keys import create_key, retire_key, revoke_key, rotate_key
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.postgres import sql

URL = "http://api/session"
PAGE = {"X-Requested-With": "dashboard"}
_SIGNED_IN = {"tenantId": "acme", "role": "viewer"}


@asynccontextmanager
async def browsing(rest: Rest, **cookies: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of its own, on our page."""
    transport = httpx.ASGITransport(rest.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api/api/v1", headers=PAGE
    ) as browser:
        for name, value in cookies.items():
            browser.cookies.set(name, value, domain="api.local")  # as if our answer had set it
        yield browser


async def code_of(rest: Rest, role: str) -> str:
    made = await rest.of[role].post(f"{URL}/codes")
    assert made.status_code == 201, made.text
    return str(made.json()["data"]["code"])


async def sign_in(browser: httpx.AsyncClient, **credential: str) -> httpx.Response:
    return await browser.post(URL, json=credential)


def cookie_of(browser: httpx.AsyncClient) -> str:
    [cookie] = browser.cookies.jar
    return cookie.value or ""


async def test_a_link_signs_one_browser_in_once_with_the_role_of_its_key(rest: Rest) -> None:
    code = await code_of(rest, "viewer")
    async with browsing(rest) as first, browsing(rest) as second:
        assert (await sign_in(first, code=code)).json()["data"] == _SIGNED_IN
        assert (await first.get(URL)).json()["data"] == _SIGNED_IN
        assert (await first.get("/campaigns")).status_code == 200
        problem(await first.post("/campaigns", json=rest.world.draft()), 403)
        detail = str(problem(await sign_in(second, code=code), 401)["detail"])
        assert "campaigns sign-in" in detail
        problem(await second.get("/campaigns"), 401)


async def test_of_two_browsers_that_use_a_link_at_the_same_moment_one_is_signed_in(
    rest: Rest,
) -> None:
    code = await code_of(rest, "admin")
    async with browsing(rest) as first, browsing(rest) as second:
        answers = await asyncio.gather(*(sign_in(one, code=code) for one in (first, second)))
        assert sorted(answer.status_code for answer in answers) == [200, 401]
        asked = [(await one.get("/campaigns")).status_code for one in (first, second)]
        assert sorted(asked) == [200, 401]


async def test_a_link_that_is_too_old_signs_nobody_in(rest: Rest) -> None:
    code = await code_of(rest, "admin")
    await sql(rest.world.pool).execute(
        "UPDATE sign_in_codes SET expires_at = expires_at - interval '10 minutes'"
    )
    async with browsing(rest) as browser:
        problem(await sign_in(browser, code=code), 401)
        assert not list(browser.cookies.jar)


@pytest.mark.parametrize("by", ["code", "apiKey"])
@pytest.mark.parametrize("other", ["stranger", "admin", "viewer"])
async def test_nothing_replaces_the_session_of_a_browser_that_is_signed_in(
    rest: Rest, by: str, other: str
) -> None:
    """A link of another tenant, of another role, or even of the same one."""
    theirs = await code_of(rest, other) if by == "code" else rest.keys[other]
    async with browsing(rest) as browser, browsing(rest) as elsewhere:
        await sign_in(browser, code=await code_of(rest, "viewer"))
        before = cookie_of(browser)
        answer = await sign_in(browser, **{by: theirs})
        assert "signed in to acme as viewer" in str(problem(answer, 409)["detail"])
        assert "set-cookie" not in answer.headers and cookie_of(browser) == before
        assert (await browser.get(URL)).json()["data"] == _SIGNED_IN
        # it is not used up: after signing out it may be used
        assert (await sign_in(elsewhere, **{by: theirs})).status_code == 200


FOREIGN: Mapping[str, Mapping[str, str]] = {
    "a form": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "another port of the host": {"Sec-Fetch-Site": "same-site", "Origin": "http://api:3000"},
    "an old browser": {"Origin": "https://evil.example"},
    "another port, an old browser": {"Origin": "http://api:3000"},
    "a sandbox": {"Origin": "null"},
    "no origin that one can read": {"Origin": "http://[::1"},
    "a name that begins like ours": {"Origin": "http://api.evil.example"},
    "a user in front of ours": {"Origin": "http://api@evil.example"},
    "an origin of ours that the browser denies": {
        "Sec-Fetch-Site": "cross-site",
        "Origin": "http://api",
    },
    "the address bar": {"Sec-Fetch-Site": "none"},
    "no script of ours": {"X-Requested-With": "XMLHttpRequest", "Sec-Fetch-Site": "same-origin"},
    "nothing at all": {"X-Requested-With": ""},
}
_OURS: Mapping[str, Mapping[str, str]] = {
    "a browser": {"Sec-Fetch-Site": "same-origin", "Origin": "http://api"},
    "an old browser": {"Origin": "http://api"},
    "behind a proxy that ends TLS": {"Origin": "https://api"},
    "behind a proxy that rewrites Host": {"Origin": "https://campaigns.example"},
    "a browser that the proxy's Host does not trouble": {
        "Sec-Fetch-Site": "same-origin",
        "Origin": "https://other.example",
    },
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_another_page_neither_signs_a_visitor_in_nor_out_nor_acts_with_the_session(
    rest: Rest, headers: Mapping[str, str]
) -> None:
    code = await code_of(rest, "admin")
    async with browsing(rest) as browser:
        answer = await browser.post(URL, json={"code": code}, headers=headers)
        assert problem(answer, 403) and "set-cookie" not in answer.headers
        answer = await browser.post(URL, json={"apiKey": rest.keys["admin"]}, headers=headers)
        assert problem(answer, 403) and "set-cookie" not in answer.headers
        assert (await sign_in(browser, code=code)).status_code == 200, "the code is still good"
        problem(await browser.delete(URL, headers=headers), 403)
        problem(await browser.post("/campaigns", json=rest.world.draft(), headers=headers), 401)
        assert (await browser.get(URL)).status_code == 200
    assert await sql(rest.world.pool).fetchval("SELECT count(*) FROM campaigns") == 0


@pytest.mark.parametrize("headers", _OURS.values(), ids=_OURS)
async def test_our_own_page_signs_in_and_acts(rest: Rest, headers: Mapping[str, str]) -> None:
    https = {"public_url": "https://campaigns.example"}
    rest.use(settings=rest.services.settings.model_copy(update=https))
    answer = await rest.nobody.post(
        URL, json={"code": await code_of(rest, "admin")}, headers={**PAGE, **headers}
    )
    assert answer.status_code == 200
    name, value = answer.headers["set-cookie"].split(";")[0].split("=")
    ours = {**PAGE, **headers, "Cookie": f"{name}={value}"}
    made = await rest.nobody.post("/campaigns", json=rest.world.draft(), headers=ours)
    assert made.status_code == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_a_page_of_another_origin_reads_nothing_with_the_session(
    rest: Rest, site: str
) -> None:
    """Ports of one host are one site, so SameSite lets them send the cookie."""
    async with browsing(rest) as browser:
        await sign_in(browser, apiKey=rest.keys["admin"])
        for path in ("/campaigns", "/events", URL):
            problem(await browser.get(path, headers={"Sec-Fetch-Site": site}), 401)
        for own in ("same-origin", "none"):
            answer = await browser.get("/campaigns", headers={"Sec-Fetch-Site": own})
            assert answer.status_code == 200


async def test_the_id_of_a_session_is_never_taken_from_the_browser(rest: Rest) -> None:
    fixed = "f" * 43
    async with browsing(rest, campaigns_session=fixed) as browser:
        problem(await browser.get("/campaigns"), 401)
        answer = await sign_in(browser, code=await code_of(rest, "viewer"))
        assert answer.status_code == 200 and fixed not in answer.headers["set-cookie"]
    async with browsing(rest, campaigns_session=fixed) as attacker:
        problem(await attacker.get("/campaigns"), 401)


async def test_after_signing_out_the_cookie_answers_401_wherever_it_was_kept(rest: Rest) -> None:
    async with browsing(rest) as browser:
        await sign_in(browser, code=await code_of(rest, "viewer"))
        kept = cookie_of(browser)
        async with browsing(rest, campaigns_session=kept) as thief:
            assert (await thief.get("/campaigns")).status_code == 200
            out = await browser.delete(URL)
            assert out.status_code == 200 and not list(browser.cookies.jar)
            problem(await thief.get("/campaigns"), 401)
            problem(await thief.get(URL), 401)
        assert (await browser.delete(URL)).status_code == 200, "a repeat is the same"
        assert (await sign_in(browser, apiKey=rest.keys["viewer"])).status_code == 200


async def test_a_session_ends_with_its_key_however_that_ends(rest: Rest) -> None:
    async with rest.world.pool.transaction() as session:
        keys = [await create_key(session, "acme", role="admin") for _ in range(5)]
    browsers = list[httpx.AsyncClient]()
    for key in keys:
        transport = httpx.ASGITransport(rest.app)
        browser = httpx.AsyncClient(transport=transport, base_url="http://api/api/v1", headers=PAGE)
        await sign_in(browser, apiKey=key.text)
        assert (await browser.get("/campaigns")).status_code == 200
        browsers.append(browser)
    revoked, retired, rotated, downgraded = keys[:-1]
    async with rest.world.pool.transaction() as session:
        await revoke_key(session, "acme", revoked.id)
        await retire_key(session, "acme", retired.id)
        await rotate_key(session, "acme", rotated.id, timedelta(0))
        await sql(session).execute(
            "UPDATE api_keys SET role = 'viewer' WHERE id = $1", downgraded.id
        )
    found = [(await browser.get("/campaigns")).status_code for browser in browsers]
    assert found == [401] * 4 + [200]
    for browser in browsers:
        await browser.aclose()


async def test_the_cookie_of_the_version_before_is_refused_and_taken_away(rest: Rest) -> None:
    async with browsing(rest, campaigns_session=rest.keys["admin"]) as browser:
        answer = await browser.get("/campaigns")
        assert "sign in again" in str(problem(answer, 401)["detail"])
        assert not list(browser.cookies.jar)
        assert rest.keys["admin"] not in answer.text
    async with browsing(rest, campaigns_session=rest.keys["admin"]) as browser:
        problem(await browser.post("/campaigns", json=rest.world.draft()), 401)
        assert not list(browser.cookies.jar)
    async with browsing(rest, campaigns_session=rest.keys["admin"]) as browser:
        assert (await sign_in(browser, apiKey=rest.keys["viewer"])).status_code == 200
        assert (await browser.get(URL)).json()["data"] == _SIGNED_IN


@pytest.mark.parametrize(
    ("public_url", "name"),
    [
        ("https://campaigns.example", "__Host-campaigns_session"),
        ("http://127.0.0.1:8080", "campaigns_session"),
    ],
)
async def test_over_https_no_other_host_can_set_the_cookie(
    rest: Rest, public_url: str, name: str
) -> None:
    rest.use(settings=rest.services.settings.model_copy(update={"public_url": public_url}))
    answer = await rest.nobody.post(
        URL,
        json={"apiKey": rest.keys["viewer"]},
        # what a host of the same domain has set, and what the version before has
        headers={**PAGE, "Cookie": f"campaigns_session={rest.keys['admin']}"},
    )
    assert answer.status_code == 200
    flags = {part.strip().lower() for part in answer.headers.get_list("set-cookie")[-1].split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert not any(flag.startswith(("domain", "max-age", "expires")) for flag in flags)
    value = answer.headers.get_list("set-cookie")[-1].split(";")[0].split("=")[1]
    for sent in ("__Host-campaigns_session", "campaigns_session"):
        async with browsing(rest) as browser:
            asked = await browser.get(URL, headers={"Cookie": f"{sent}={value}"})
            assert (asked.status_code == 200) is (sent == name), sent
    if name.startswith("__Host-"):
        assert "secure" in flags
        removed = answer.headers.get_list("set-cookie")[0].lower()
        assert removed.startswith('campaigns_session=""') and "max-age=0" in removed


async def test_only_an_api_key_in_the_header_makes_codes(rest: Rest) -> None:
    problem(await rest.nobody.post(f"{URL}/codes"), 401)
    async with browsing(rest) as browser:
        await sign_in(browser, apiKey=rest.keys["admin"])
        problem(await browser.post(f"{URL}/codes"), 403)
    assert await sql(rest.world.pool).fetchval("SELECT count(*) FROM sign_in_codes") == 0


async def test_no_get_signs_in_or_out_or_makes_anything(rest: Rest) -> None:
    code = await code_of(rest, "viewer")
    async with browsing(rest) as browser:
        for method in ("GET", "HEAD"):
            for url in (URL, f"{URL}/codes", "http://api/"):
                answer = await browser.request(method, url, params={"code": code})
                assert "set-cookie" not in answer.headers, (method, url)
        assert (await sign_in(browser, code=code)).status_code == 200, "and the code is unused"
        for url in (URL, f"{URL}/codes"):
            await browser.get(url)
        assert (await browser.get(URL)).status_code == 200
    assert await sql(rest.world.pool).fetchval("SELECT count(*) FROM sign_in_codes") == 0


async def test_a_body_has_exactly_one_credential(rest: Rest) -> None:
    async with browsing(rest) as browser:
        both = {"code": await code_of(rest, "viewer"), "apiKey": rest.keys["viewer"]}
        for body in ({}, both, {"code": None}, {"code": 1}, {"code": "x" * 201}):
            answer = await browser.post(URL, json=body)
            assert problem(answer, 422) and rest.keys["viewer"] not in answer.text


async def test_wrong_codes_are_limited_by_address_as_wrong_keys_are(rest: Rest) -> None:
    async with browsing(rest) as browser:
        wrong = [(await sign_in(browser, code="x" * 43)).status_code for _ in range(12)]
        assert wrong == [401] * 10 + [429] * 2
        problem(await sign_in(browser, apiKey=f"ce_live_{'0' * 16}_{'0' * 64}"), 429)


class _Counted(Reading):
    """A connection that counts its statements."""

    def __init__(self, driver: psycopg.AsyncConnection[Any], asked: list[str]) -> None:
        super().__init__(driver)
        self._asked = asked

    async def driver(self) -> psycopg.AsyncConnection[Any]:
        self._asked.append("a statement")
        return await super().driver()


@dataclass
class _Counting:
    """A database that counts what it is asked."""

    database: Database
    asked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def reading(self, within: timedelta | None = None) -> AsyncIterator[Reading]:
        async with self.database.reading(within) as reading:
            yield _Counted(await reading.driver(), self.asked)


async def test_a_session_asks_postgresql_as_often_as_a_key(rest: Rest) -> None:
    async with browsing(rest) as browser:
        await sign_in(browser, code=await code_of(rest, "viewer"))
        counting = _Counting(rest.services.database)
        rest.use(database=counting)
        for asking in (browser, rest.of["viewer"]):
            counting.asked.clear()
            assert (await asking.get(URL)).status_code == 200
            assert counting.asked == ["a statement"]
