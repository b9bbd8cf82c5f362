"""`/tenant/routes` over HTTP, with a relay and a name server that answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from api.limits.slots import CHECKS, READS, WRITES
from tests.api.campaigns.test_routes import problem
from tests.api.http.test_authorization import ROUTE
from tests.api.world import Rest
from tests.dns_server import txt
from tests.eventually import eventually
from tests.postgres import sql
from tests.smtp_server import PASSWORD, USER, relay, saying

PATH = "/tenant/routes/relay-eu"
CREDENTIALS = {"username": USER, "password": PASSWORD}


async def put(rest: Rest, path: str = PATH, **changes: Any) -> dict[str, Any]:
    answer = await rest.admin.put(path, json=ROUTE | changes)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


def patient(rest: Rest, **changes: Any) -> None:
    """However slow this machine is, relays and DNS are waited for."""
    long = {"dns_timeout": timedelta(minutes=10), "route_timeout": timedelta(minutes=10)}
    rest.use(settings=rest.services.settings.model_copy(update=long | changes))


async def test_a_route_is_set_up_shown_without_credentials_and_removed(rest: Rest) -> None:
    made = await put(rest, **CREDENTIALS, limits={"perHour": 20_000})
    assert made == {
        "name": "relay-eu",
        **ROUTE,
        "allowPlaintext": False,
        "priority": 1,
        "weight": 100,
        "tags": [],
        "limits": {
            "perSecond": None,
            "perHour": 20_000,
            "perDay": None,
            "connections": 8,
            "messagesPerConnection": 100,
        },
        "warmup": None,
        "retry": {"maxAge": "P1D"},
        "onDoubt": "resend",
        "isSet": ["username", "password"],
        "pausedAt": None,
        "createdAt": made["createdAt"],
        "updatedAt": made["updatedAt"],
    }
    for path in (PATH, "/tenant/routes"):
        answer = await rest.of["viewer"].get(path)
        assert answer.status_code == 200 and PASSWORD not in answer.text
        assert made in (answer.json()["data"], *answer.json()["data"])
    audit = await rest.admin.get("/audit")
    assert "route.set" in audit.text and PASSWORD not in audit.text
    assert (await rest.admin.delete(PATH)).status_code == 204
    problem(await rest.admin.get(PATH), 404)


async def test_a_put_without_credentials_keeps_them_for_the_same_server_only(rest: Rest) -> None:
    await put(rest, **CREDENTIALS)
    kept = await put(rest, weight=7)
    assert (kept["isSet"], kept["weight"]) == (["username", "password"], 7)
    for change in ({"port": 2525}, {"host": "localhost"}, {"tls": "starttls"}):
        refused = await rest.admin.put(PATH, json=ROUTE | change)
        assert problem(refused, 422) and PASSWORD not in refused.text
        [error] = refused.json()["errors"]
        assert error["field"] == "password" and "127.0.0.1:1" in error["message"]
    for missing in CREDENTIALS:
        some = {name: value for name, value in CREDENTIALS.items() if name != missing}
        refused = await rest.admin.put(PATH, json=ROUTE | some)
        assert problem(refused, 422)
        assert [error["field"] for error in refused.json()["errors"]] == [missing]
    bare = await put(rest, "/tenant/routes/bare")
    assert bare["isSet"] == []


async def test_a_mailbox_of_bounces_is_shown_without_its_credentials_which_stay(
    rest: Rest,
) -> None:
    there = {"host": "127.0.0.1", "tls": "none", "port": 143}
    full = {"domain": "bounce.acme.example", "imap": there | CREDENTIALS}
    made = await put(rest, bounces=full)
    more = {"allowPlaintext": False, "folder": "INBOX", "moveTo": None}
    assert made["bounces"] == {"domain": "bounce.acme.example", "imap": there | more}
    kept = await put(rest, bounces={"domain": "b.acme.example", "imap": there})
    assert kept["bounces"]["domain"] == "b.acme.example"
    for imap, field in (
        (there | {"port": 144}, "bounces.imap.password"),
        (there | {"username": USER}, "bounces.imap.password"),
        ({"host": "8.8.8.8", "tls": "none"} | CREDENTIALS, "bounces.imap.tls"),
    ):
        body = ROUTE | {"bounces": {"domain": "b.acme.example", "imap": imap}}
        refused = await rest.admin.put(PATH, json=body)
        assert problem(refused, 422) and PASSWORD not in refused.text
        assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert "bounces" not in await put(rest)


RESEND = {"channel": "email", "provider": "resend", "fromDomains": ["acme.example"]}
WEBHOOK = {"channel": "sms", "provider": "webhook", "url": "http://127.0.0.1:1/take?v=1"}


async def test_a_route_to_a_provider_is_set_up_with_its_key_and_shown_without(rest: Rest) -> None:
    refused = await rest.admin.put(PATH, json=RESEND)
    assert problem(refused, 422)
    assert [error["field"] for error in refused.json()["errors"]] == ["password"]
    answer = await rest.admin.put(PATH, json=RESEND | {"password": "re_secret"})
    assert answer.status_code == 200, answer.text
    made = answer.json()["data"]
    assert made == {
        "name": "relay-eu",
        **RESEND,
        "allowPlaintext": False,
        "priority": 1,
        "weight": 100,
        "tags": [],
        "limits": {"perSecond": None, "perHour": None, "perDay": None, "connections": 8},
        "warmup": None,
        "retry": {"maxAge": "P1D"},
        "onDoubt": "resend",
        "isSet": ["password"],
        "pausedAt": None,
        "createdAt": made["createdAt"],
        "updatedAt": made["updatedAt"],
    }
    kept = await rest.admin.put(PATH, json=RESEND | {"weight": 7})
    assert kept.json()["data"]["isSet"] == ["password"]
    for change in ({"url": "http://127.0.0.1:1"}, {"provider": "brevo"}):
        refused = await rest.admin.put(PATH, json=RESEND | change)
        assert problem(refused, 422) and "api.resend.com:443" in refused.text
    refused = await rest.admin.put(PATH, json=RESEND | CREDENTIALS)
    assert [error["field"] for error in refused.json()["errors"]] == ["username"]
    assert "re_secret" not in (await rest.admin.get("/audit")).text


async def test_a_webhook_of_another_channel_needs_a_key_of_the_standard(rest: Rest) -> None:
    refused = await rest.admin.put(PATH, json=WEBHOOK | {"password": "secret"})
    assert problem(refused, 422) and "whsec_" in refused.text
    key = f"whsec_{'YWJj' * 10}"
    answer = await rest.admin.put(PATH, json=WEBHOOK | {"password": key, "batch": 10})
    assert answer.status_code == 200, answer.text
    made = answer.json()["data"]
    assert (made["url"], made["batch"], made["channel"]) == (WEBHOOK["url"], 10, "sms")
    assert "host" not in made and "fromDomains" not in made
    noted = (await rest.admin.get("/audit?action=route.set")).json()["data"]
    told = {"host": "127.0.0.1", "port": 1, "tls": "none", "newCredentials": True}
    assert [one["details"] for one in noted] == [told]
    checked = (await rest.admin.post(f"{PATH}/check", json={})).json()["data"]
    assert [(one["part"], one["status"]) for one in checked["findings"]] == [
        ("connection", "error")
    ]
    settings = rest.services.settings
    rest.use(settings=settings.model_copy(update={"routes": "public"}))
    refused = await rest.admin.put(PATH, json=WEBHOOK)
    assert [error["field"] for error in refused.json()["errors"]] == ["url"]


@pytest.mark.parametrize(
    ("name", "changes", "field"),
    [
        ("relay", {"host": "127.1"}, "host"),
        ("relay", {"port": 0}, "port"),
        ("relay", {"fromDomains": []}, "fromDomains"),
        ("relay", {"provider": "fax"}, "provider"),
        ("relay", {"host": "8.8.8.8"}, "tls"),
        ("relay", {"limits": {"perHour": 0}}, "limits.perHour"),
        ("relay", {"password": "a\r\nb", "username": "x"}, "password"),
        ("relay", {"state": "ready"}, "state"),
        ("Relay", {}, "route"),
        ("a" * 65, {}, "route"),
        ("-", {}, "route"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(
    rest: Rest, name: str, changes: dict[str, Any], field: str
) -> None:
    refused = await rest.admin.put(f"/tenant/routes/{name}", json=ROUTE | changes)
    assert problem(refused, 422)
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert await sql(rest.world.pool).fetchval("SELECT count(*) FROM routes") == 0


async def test_where_they_are_off_there_are_none_and_where_public_none_is_private(
    rest: Rest,
) -> None:
    await put(rest)
    settings = rest.services.settings
    rest.use(settings=settings.model_copy(update={"routes": "off"}))
    for method, path in (
        *(("GET", PATH), ("GET", "/tenant/routes"), ("DELETE", PATH), ("PUT", PATH)),
        *(("POST", f"{PATH}/{verb}") for verb in ("check", "pause", "resume")),
    ):
        body = None if method in ("GET", "DELETE") else {**ROUTE}
        refused = problem(await rest.admin.request(method, path, json=body), 404)
        assert "CAMPAIGNS_ROUTES" in str(refused["detail"]), (method, path)
    problem(await rest.nobody.get(PATH), 401)
    rest.use(settings=settings.model_copy(update={"routes": "public"}))
    for host in ("127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"):
        refusal = await rest.admin.put(PATH, json=ROUTE | {"host": host})
        assert problem(refusal, 422)
        assert [error["field"] for error in refusal.json()["errors"]] == ["host"]


async def test_only_admins_write_and_two_tenants_do_not_meet(rest: Rest) -> None:
    made = await put(rest, **CREDENTIALS)
    async with relay() as server:
        for role in ("viewer", "editor", "sender"):
            client = rest.of[role]
            assert (await client.get(PATH)).status_code == 200
            problem(await client.put(PATH, json=ROUTE), 403)
            problem(await client.delete(PATH), 403)
            for verb in ("check", "pause", "resume"):
                problem(await client.post(f"{PATH}/{verb}", json={}), 403)
        for verb in ("check", "pause", "resume"):
            problem(await rest.stranger.post(f"{PATH}/{verb}", json={}), 404)
        problem(await rest.stranger.get(PATH), 404)
        assert server.connections == 0
    theirs = await rest.stranger.put(PATH, json=ROUTE | {"weight": 3})
    assert theirs.json()["data"]["isSet"] == []
    assert (await rest.stranger.delete(PATH)).status_code == 204
    assert (await rest.admin.get(PATH)).json()["data"] == made


async def test_pause_and_resume_may_be_repeated_and_a_stale_tag_is_refused(rest: Rest) -> None:
    await put(rest)
    first = await rest.admin.get(PATH)
    tag = {"If-Match": first.headers["etag"]}
    paused = await rest.admin.post(f"{PATH}/pause", headers=tag)
    assert paused.json()["data"]["pausedAt"] is not None
    problem(await rest.admin.post(f"{PATH}/resume", headers=tag), 412)
    problem(await rest.admin.put(PATH, json=ROUTE, headers=tag), 412)
    problem(await rest.admin.post(f"{PATH}/check", json={}, headers=tag), 412)
    problem(await rest.admin.put(PATH, json=ROUTE, headers={"If-None-Match": "*"}), 412)
    again = await rest.admin.post(f"{PATH}/pause")
    assert again.headers["etag"] == paused.headers["etag"] and again.json() == paused.json()
    replaced = await put(rest, weight=2)
    assert replaced["pausedAt"] == paused.json()["data"]["pausedAt"]
    resumed = await rest.admin.post(f"{PATH}/resume")
    assert resumed.json()["data"]["pausedAt"] is None
    known = {"If-None-Match": resumed.headers["etag"]}
    assert (await rest.admin.get(PATH, headers=known)).status_code == 304


async def test_a_check_logs_in_sends_nothing_and_names_the_records_to_set(rest: Rest) -> None:
    patient(rest)
    async with relay() as server:
        await put(rest, port=server.port, **CREDENTIALS)
        answer = await rest.admin.post(f"{PATH}/check", json={"dkimSelectors": ["s1"]})
        assert answer.status_code == 200, answer.text
        checked = answer.json()["data"]
        found = {one["part"]: one for one in checked["findings"]}
        assert (checked["name"], checked["status"]) == ("relay-eu", "error")
        assert found["login"]["status"] == "ok" and server.logins == [(USER, PASSWORD)]
        assert server.mails == 0 and PASSWORD not in answer.text
        assert {one for one, it in found.items() if it["status"] == "error"} == {
            *("spf", "dkim", "dmarc", "mx")
        }
        wanted = found["dmarc"]["record"]
        assert wanted == {
            "name": "_dmarc.acme.example",
            "type": "TXT",
            "value": "v=DMARC1; p=none",
        }
        rest.names.replies[wanted["name"]] = txt(wanted["value"])
        again = (await rest.admin.post(f"{PATH}/check", json={})).json()["data"]
        assert {one["part"]: one["status"] for one in again["findings"]}["dmarc"] == "ok"
        assert (await rest.admin.get(PATH)).headers["etag"] == answer.headers["etag"]
    noted = (await rest.admin.get("/audit?action=route.checked")).json()["data"]
    told = {"host": "127.0.0.1", "status": "error"}
    assert [(one["subject"], one["details"]) for one in noted] == [("relay-eu", told)] * 2


@pytest.mark.parametrize("selector", ["", "s1 ", "a/b", "x" * 64, "s1;", "-s"])
async def test_a_selector_is_a_label_of_dns(rest: Rest, selector: str) -> None:
    await put(rest)
    refused = await rest.admin.post(f"{PATH}/check", json={"dkimSelectors": [selector]})
    assert problem(refused, 422)
    assert rest.names.asked == []


async def test_a_slow_relay_holds_no_connection_and_nobody_else(rest: Rest) -> None:
    patient(rest)
    slots = rest.services.slots
    theirs = await rest.stranger.put(PATH, json=ROUTE)
    assert theirs.status_code == 200
    async with saying(ends=False) as port:
        await put(rest, port=port)
        slow = asyncio.create_task(rest.admin.post(f"{PATH}/check", json={}))
        await eventually(lambda: slots.of(CHECKS).taken == 1)
        await eventually(lambda: slots.of(READS).taken == slots.of(WRITES).taken == 0)
        checked = await rest.stranger.post(f"{PATH}/check", json={})
        assert checked.status_code == 200 and not slow.done()
        assert (await rest.admin.get(PATH)).status_code == 200
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
    await eventually(lambda: slots.of(CHECKS).taken == 0)
