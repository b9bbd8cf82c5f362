"""`/campaigns/{campaignId}/in-doubt`: what is listed, and what a decision changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from tables.audience import doubts
from tables.audience.doubts import HELD_FOR, Resolution
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest

NOW = datetime(2026, 1, 28, 10, tzinfo=UTC)


async def noted(rest: Rest, campaign: str, *resolutions: Resolution | None) -> list[str]:
    """One doubt of each kind; the ids of their messages."""
    rows: list[dict[str, Any]] = [
        {
            "message_id": uuid4(),
            "tenant_id": "acme",
            "campaign_id": UUID(campaign),
            "contact_id": uuid4(),
            "route": "relay-eu",
            "at": NOW,
            "resolution": resolution,
            "resolved_at": None if resolution is None else NOW,
        }
        for resolution in resolutions
    ]
    await rest.world.pool.once(lambda session: doubts.note(session, rows))
    return [str(row["message_id"]) for row in rows]


async def test_every_doubt_is_listed_and_those_that_are_held_alone(rest: Rest) -> None:
    url = f"/campaigns/{(await rest.running())['id']}/in-doubt"
    assert (await rest.admin.get(url)).json()["meta"]["total"] == 0
    campaign = url.split("/")[2]
    held, resent, dropped = await noted(rest, campaign, None, Resolution.RESEND, Resolution.DROP)
    await noted(rest, (await rest.draft())["id"], None)  # of another campaign
    answer = (await rest.of["viewer"].get(url)).json()
    assert answer["meta"]["total"] == 3
    shown = {one["messageId"]: one for one in answer["data"]}
    assert shown.keys() == {held, resent, dropped}
    assert shown[held]["resolution"] is shown[held]["resolvedAt"] is None
    assert shown[resent]["resolution"] == "resend"
    assert shown[held]["route"] == "relay-eu" and shown[held]["at"] == "2026-01-28T10:00:00.000Z"
    for is_held, expected in (("true", {held}), ("false", {resent, dropped})):
        found = (await rest.admin.get(url, params={"held": is_held})).json()["data"]
        assert {one["messageId"] for one in found} == expected
    assert (await rest.stranger.get(url)).status_code == 404


async def test_a_decision_is_about_what_is_held_and_is_in_the_audit_log(rest: Rest) -> None:
    campaign = (await rest.running())["id"]
    url = f"/campaigns/{campaign}/in-doubt"
    one, other, resent = await noted(rest, campaign, None, None, Resolution.RESEND)
    refused = await rest.of["editor"].post(url, json={"resolution": "drop"})
    assert refused.status_code == 403
    decided = await rest.of["sender"].post(
        url, json={"resolution": "drop", "messageIds": [one, resent, str(uuid4())]}
    )
    assert decided.json()["data"] == {
        "campaignId": campaign,
        "resolution": "drop",
        "messages": 1,
    }
    rest_of_it = await rest.of["sender"].post(url, json={"resolution": "resend"})
    assert rest_of_it.json()["data"]["messages"] == 1
    found = (await rest.admin.get(url)).json()["data"]
    told = {each["messageId"]: each["resolution"] for each in found}
    assert told == {one: "drop", other: "resend", resent: "resend"}
    audited = (await rest.admin.get("/audit", params={"action": "doubts.decided"})).json()["data"]
    assert [entry["details"]["messages"] for entry in audited] == [1, 1]


@pytest.mark.parametrize(
    "body", [{}, {"resolution": "expired"}, {"resolution": "drop", "messageIds": []}]
)
async def test_what_is_no_decision_is_refused(rest: Rest, body: dict[str, object]) -> None:
    url = f"/campaigns/{(await rest.draft())['id']}/in-doubt"
    problem(await rest.admin.post(url, json=body), 422)


async def test_what_nobody_decides_about_is_dropped_in_the_end(rest: Rest) -> None:
    campaign = (await rest.running())["id"]
    held, decided = map(UUID, await noted(rest, campaign, None, Resolution.RESEND))
    pool, both = rest.world.pool, {held, decided}
    soon = await pool.once(lambda session: doubts.resolved(session, both, NOW))
    assert soon == {decided: Resolution.RESEND}
    late = await pool.once(lambda session: doubts.resolved(session, both, NOW + HELD_FOR))
    assert late == {decided: Resolution.RESEND, held: Resolution.EXPIRED}
