"""What is remembered of a request for test messages: enough for the same answer again, and no
address.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.api.world import Rest
from tests.postgres import sql

KEY = {"Idempotency-Key": "the first"}


async def _remembered(rest: Rest) -> list[dict[str, Any]]:
    rows = await sql(rest.world.pool).fetch("SELECT answer FROM answers")
    return [row["answer"] for row in rows]


@pytest.mark.parametrize(
    ("channel", "content", "addresses", "spelled"),
    [
        (
            "email",
            {"subject": "Hello", "text": "Hello"},
            ["Ana@Example.com", "ben@example.com", "ana@example.com"],
            ["ana@example.com", "ben@example.com"],
        ),
        (
            "sms",
            {"text": "Hello"},
            ["+49 151 12345678", "+1 202-555-0123"],
            ["+4915112345678", "+12025550123"],
        ),
    ],
    ids=["email", "sms"],
)
async def test_a_repeat_gets_the_same_answer_though_no_address_is_remembered(
    rest: Rest, channel: str, content: dict[str, str], addresses: list[str], spelled: list[str]
) -> None:
    template = await rest.admin.post(
        "/templates", json={"name": "trial", "channel": channel, "content": content}
    )
    variants = [{"variantId": one, "name": one, "weight": 50} for one in ("A", "B")]
    test = {"variants": variants, "winnerCriteria": "click_rate", "testDurationHours": 1}
    more = {"abTestConfig": {**test, "testSamplePercent": 20}}
    draft = await rest.draft(channel=channel, templateId=template.json()["data"]["id"], **more)
    path, body = f"/campaigns/{draft['id']}/test-send", {"addresses": addresses}
    first = await rest.admin.post(path, json=body, headers=KEY)
    assert first.status_code == 202, first.text
    messages = first.json()["data"]["messages"]
    assert [one["to"] for one in messages] == [to for to in spelled for _ in variants]
    assert [one["variantId"] for one in messages] == ["A", "B"] * len(spelled)
    [kept] = await _remembered(rest)
    text = msgspec.json.encode(kept).decode().lower()
    for address in (*addresses, *spelled):
        assert address.lower() not in text
    assert (await rest.admin.delete(f"/campaigns/{draft['id']}")).status_code == 204
    again = await rest.admin.post(path, json=body, headers=KEY)
    assert (again.status_code, again.json()) == (202, first.json())
    other = await rest.admin.post(path, json={"addresses": addresses[::-1]}, headers=KEY)
    assert other.status_code == 409
    assert len(await _remembered(rest)) == 1


async def test_a_refusal_is_remembered_without_the_address_that_it_is_about(rest: Rest) -> None:
    entry = {"channel": "email", "address": "barred@example.com"}
    await rest.admin.post("/suppressions", json={**entry, "reason": "manual"})
    path = f"/campaigns/{(await rest.draft())['id']}/test-send"
    for address in ("barred@example.com", "not an address"):
        body, headers = {"addresses": [address]}, {"Idempotency-Key": address}
        first = await rest.admin.post(path, json=body, headers=headers)
        again = await rest.admin.post(path, json=body, headers=headers)
        assert first.status_code == again.status_code == 422
        assert first.json()["errors"] == again.json()["errors"]
    kept = await _remembered(rest)
    assert len(kept) == 2
    for answer in kept:
        text = msgspec.json.encode(answer).decode()
        assert "barred" not in text and "not an address" not in text


async def test_an_answer_remembered_by_an_earlier_version_is_still_the_answer(rest: Rest) -> None:
    path = f"/campaigns/{(await rest.draft())['id']}/test-send"
    body = {"addresses": ["Ana@example.com"]}
    first = await rest.admin.post(path, json=body, headers=KEY)
    await sql(rest.world.pool).execute(
        "UPDATE answers SET answer = jsonb_set(answer #- '{campaign,channel}',"
        " '{campaign,messages,0}', (answer #> '{campaign,messages,0}') - 'place' || $1)",
        {"to": "ana@example.com"},
    )
    again = await rest.admin.post(path, json=body, headers=KEY)
    assert again.json() == first.json()
