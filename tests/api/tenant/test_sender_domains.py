"""`/sender-domains` over HTTP, with a name server that answers, and what it means for campaigns."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import dns.rcode
import pytest

from api.limits.slots import LOOK_UPS, READS, WRITES
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.dns_server import Reply, txt
from tests.eventually import eventually
from tests.postgres import sql

PATH = "/sender-domains/acme.example"


async def added(rest: Rest, domain: str = "acme.example") -> dict[str, Any]:
    answer = await rest.admin.post("/sender-domains", json={"domain": domain})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


async def shown(rest: Rest, path: str = PATH) -> dict[str, Any]:
    answer = await rest.of["viewer"].get(path)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["data"])


def patient(rest: Rest) -> None:
    """However slow this machine is, DNS is waited for."""
    longer = {"dns_timeout": timedelta(minutes=10)}
    rest.use(settings=rest.services.settings.model_copy(update=longer))


async def test_a_domain_is_added_its_record_is_set_and_it_is_verified(rest: Rest) -> None:
    made = await added(rest, " ACME.Example. ")
    token = made["record"]["value"].removeprefix("campaigns-verification=")
    assert len(token) == 32 and made == {
        "domain": "acme.example",
        "verifiedAt": None,
        "record": {
            "name": "_campaigns.acme.example",
            "type": "TXT",
            "value": f"campaigns-verification={token}",
        },
        "createdAt": made["createdAt"],
        "checkedAt": None,
        "finding": None,
        "explanation": None,
    }
    waiting = (await rest.admin.post(f"{PATH}/verify")).json()["data"]
    assert (waiting["finding"], waiting["verifiedAt"]) == ("no-such-name", None)
    assert "no record of this name" in waiting["explanation"]
    rest.names.replies["_campaigns.acme.example"] = txt("v=spf1 -all", made["record"]["value"])
    verified = (await rest.admin.post(f"{PATH}/verify")).json()["data"]
    assert (verified["finding"], verified["explanation"]) == ("verified", None)
    assert verified["verifiedAt"] == verified["checkedAt"] is not None
    assert await shown(rest) == verified
    assert (await rest.of["viewer"].get("/sender-domains")).json()["data"] == [verified]
    assert (await rest.admin.delete(PATH)).status_code == 204
    problem(await rest.admin.get(PATH), 404)


@pytest.mark.parametrize(
    ("reply", "finding", "says"),
    [
        (Reply(), "no-txt", "no TXT record"),
        (txt("campaigns-verification=0"), "other-token", "another token"),
        (txt("secret of another network"), "other-values", "none of which"),
        (Reply(rcode=dns.rcode.NXDOMAIN), "no-such-name", "no record of this name"),
    ],
)
async def test_a_record_that_is_gone_takes_the_verification_back_and_the_answer_says_what_is_there(
    rest: Rest, reply: Reply, finding: str, says: str
) -> None:
    made = await added(rest)
    rest.names.replies["_campaigns.acme.example"] = txt(made["record"]["value"])
    assert (await rest.admin.post(f"{PATH}/verify")).json()["data"]["verifiedAt"]
    rest.names.replies["_campaigns.acme.example"] = reply
    lost = await rest.admin.post(f"{PATH}/verify")
    data = lost.json()["data"]
    assert (lost.status_code, data["finding"], data["verifiedAt"]) == (200, finding, None)
    assert says in data["explanation"] and "another network" not in lost.text
    assert data["record"] == made["record"] and await shown(rest) == data


async def test_dns_that_does_not_answer_changes_nothing(rest: Rest) -> None:
    made = await added(rest)
    rest.names.replies["_campaigns.acme.example"] = txt(made["record"]["value"])
    before = (await rest.admin.post(f"{PATH}/verify")).json()["data"]
    rest.names.replies["_campaigns.acme.example"] = Reply(rcode=dns.rcode.SERVFAIL)
    down = await rest.admin.post(f"{PATH}/verify")
    refused = problem(down, 503)
    assert refused["type"] == "urn:campaigns:problem:dependency-down"
    assert "_campaigns.acme.example" in str(refused["detail"]) and down.headers["retry-after"]
    assert await shown(rest) == before


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "com",
        "localhost",
        "acme",
        "ana@acme.example",
        "https://acme.example",
        "acme.example/x",
        "_dmarc.acme.example",
        "192.0.2.1",
        "*.acme.example",
        "a" * 300,
        None,
        7,
        ["acme.example"],
    ],
)
async def test_what_is_no_domain_is_refused_by_name(rest: Rest, domain: object) -> None:
    refused = await rest.admin.post("/sender-domains", json={"domain": domain})
    assert problem(refused, 422)
    assert [error["field"] for error in refused.json()["errors"]] == ["domain"]
    problem(await rest.admin.post("/sender-domains", json={}), 422)


async def test_every_spelling_is_one_domain_in_body_and_path(rest: Rest) -> None:
    await added(rest, "Bücher.example")
    for spelling in ("bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example."):
        assert (await shown(rest, f"/sender-domains/{spelling}"))["domain"] == (
            "xn--bcher-kva.example"
        )
        again = await rest.admin.post("/sender-domains", json={"domain": spelling})
        assert "already" in str(problem(again, 409)["detail"])
    rest.names.asked.clear()
    assert (await rest.admin.post("/sender-domains/BÜCHER.example/verify")).status_code == 200
    assert {name for _, name in rest.names.asked} == {"_campaigns.xn--bcher-kva.example"}


async def test_only_admins_write_and_two_tenants_do_not_meet(rest: Rest) -> None:
    made = await added(rest)
    for role in ("viewer", "editor", "sender"):
        client = rest.of[role]
        assert (await client.get(PATH)).status_code == 200
        problem(await client.post("/sender-domains", json={"domain": "x.example"}), 403)
        problem(await client.post(f"{PATH}/verify"), 403)
        problem(await client.delete(PATH), 403)
    assert rest.names.asked == []
    for method, path in (("GET", PATH), ("DELETE", PATH), ("POST", f"{PATH}/verify")):
        problem(await rest.stranger.request(method, path), 404)
    theirs = await rest.stranger.post("/sender-domains", json={"domain": "acme.example"})
    record = theirs.json()["data"]["record"]
    assert record["name"] == made["record"]["name"] and record["value"] != made["record"]["value"]
    # our record is no proof of theirs; both may stand side by side
    rest.names.replies[record["name"]] = txt(made["record"]["value"])
    assert (await rest.admin.post(f"{PATH}/verify")).json()["data"]["finding"] == "verified"
    assert (await rest.stranger.post(f"{PATH}/verify")).json()["data"]["finding"] == "other-token"
    rest.names.replies[record["name"]] = txt(made["record"]["value"], record["value"])
    for client in (rest.admin, rest.stranger):
        assert (await client.post(f"{PATH}/verify")).json()["data"]["finding"] == "verified"
    assert (await rest.stranger.delete(PATH)).status_code == 204
    assert (await shown(rest))["verifiedAt"] is not None


async def test_a_repeat_gets_the_first_answer_and_a_stale_tag_is_refused(rest: Rest) -> None:
    once = {"Idempotency-Key": "once"}
    body = {"domain": "acme.example"}
    first = await rest.admin.post("/sender-domains", json=body, headers=once)
    again = await rest.admin.post("/sender-domains", json=body, headers=once)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    tag = first.headers["etag"]
    assert again.headers["etag"] == tag == (await rest.admin.get(PATH)).headers["etag"]
    known = await rest.admin.get(PATH, headers={"If-None-Match": tag})
    assert known.status_code == 304
    checked = await rest.admin.post(f"{PATH}/verify", headers={"If-Match": tag})
    assert checked.status_code == 200 and checked.headers["etag"] != tag
    problem(await rest.admin.post(f"{PATH}/verify", headers={"If-Match": tag}), 412)
    problem(await rest.admin.delete(PATH, headers={"If-Match": tag}), 412)
    current = {"If-Match": checked.headers["etag"]}
    assert (await rest.admin.delete(PATH, headers=current)).status_code == 204


async def test_a_slow_name_server_holds_no_connection_and_nobody_else(rest: Rest) -> None:
    await added(rest)
    theirs = await rest.stranger.post("/sender-domains", json={"domain": "globex.example"})
    assert theirs.status_code == 201
    patient(rest)
    rest.names.replies["_campaigns.acme.example"] = Reply(is_silent=True)
    slots = rest.services.slots
    slow = [asyncio.create_task(rest.admin.post(f"{PATH}/verify")) for _ in range(LOOK_UPS.each)]
    await eventually(lambda: slots.of(LOOK_UPS).taken == LOOK_UPS.each)
    assert slots.of(READS).taken == slots.of(WRITES).taken == 0
    in_use = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
    )

    async def is_none_held() -> bool:  # others are held for a moment now and then
        return int(await sql(rest.world.pool).fetchval(in_use)) == 0

    await eventually(is_none_held)
    verified = await rest.stranger.post("/sender-domains/globex.example/verify")
    assert verified.json()["data"]["finding"] == "no-such-name"
    assert not any(task.done() for task in slow)
    del rest.names.replies["_campaigns.acme.example"]  # it answers when it is asked again
    assert {(await task).status_code for task in slow} == {200}


async def test_a_domain_that_is_added_again_while_dns_is_asked_is_not_verified_by_the_old_record(
    rest: Rest,
) -> None:
    made = await added(rest)
    patient(rest)
    rest.names.replies["_campaigns.acme.example"] = Reply(is_silent=True)
    asking = asyncio.create_task(rest.admin.post(f"{PATH}/verify"))
    await eventually(lambda: bool(rest.names.asked))
    assert (await rest.admin.delete(PATH)).status_code == 204
    await added(rest)
    rest.names.replies["_campaigns.acme.example"] = txt(made["record"]["value"])
    assert "added again" in str(problem(await asking, 409)["detail"])
    assert (await shown(rest))["verifiedAt"] is None


async def test_where_senders_have_to_be_verified_nothing_is_sent_before(rest: Rest) -> None:
    strict = rest.services.settings.model_copy(update={"sender_domains": "verified"})
    rest.use(settings=strict)
    draft = await rest.draft()
    assert "acme.example is not a verified sender domain" in draft["warning"]
    path = f"/campaigns/{draft['id']}"
    record = (await added(rest))["record"]
    soon = {"scheduledAt": "2036-01-28T09:00:00Z"}
    test = {"addresses": ["ana@example.com"]}
    for verb, body in (("start", None), ("schedule", soon), ("test-send", test)):
        refused = await rest.admin.post(f"{path}/{verb}", json=body)
        assert problem(refused, 422)
        [error] = refused.json()["errors"]
        assert error["field"] == "settings.fromEmail", verb
        assert record["name"] in error["message"] and record["value"] in error["message"]
    assert await sql(rest.world.pool).fetchval("SELECT count(*) FROM test_sends") == 0
    rest.names.replies[record["name"]] = txt(record["value"])
    assert (await rest.admin.post(f"{PATH}/verify")).json()["data"]["verifiedAt"]
    assert (await rest.admin.post(f"{path}/test-send", json=test)).status_code == 202
    started = await rest.admin.post(f"{path}/start")
    assert started.status_code == 200 and started.json()["data"]["status"] == "running"


async def test_a_running_triggered_campaign_sends_nothing_more_once_its_domain_is_removed(
    rest: Rest,
) -> None:
    running = await rest.running(type="triggered", segmentIds=[])
    strict = rest.services.settings.model_copy(update={"sender_domains": "verified"})
    rest.use(settings=strict)
    body = {"contactIds": [str(uuid4())]}
    refused = await rest.admin.post(f"/campaigns/{running['id']}/trigger", json=body)
    assert "settings.fromEmail" in str(problem(refused, 422)["detail"])
