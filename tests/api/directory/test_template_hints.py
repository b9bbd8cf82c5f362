"""What a template costs is found when it is written; a list neither finds it nor has the contents;
others are served while a long one is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from api.limits.slots import RENDERINGS
from tables.directory import mirror
from tests.api.campaigns.test_routes import problem
from tests.api.world import Rest
from tests.eventually import eventually
from tests.postgres import sql

T = TypeVar("T")
_CONTENT = {"subject": "Hello", "html": "<p>{{ firstName }} *|FNAME|*</p>"}
_HINTS = {"bytes": 17, "limit": 102_000, "isExact": False}
# 200,000 characters are the most that a part may have; its comments take a second to read
_LONG = {"subject": "Hello", "html": "{##}aaaa" * 25_000, "text": "{##}aaaa" * 25_000}


async def made(rest: Rest, content: dict[str, str], name: str = "Welcome") -> dict[str, Any]:
    body = {"name": name, "channel": "email", "content": content}
    answer = await rest.admin.post("/templates", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["data"])


async def listed(rest: Rest, name: str = "Welcome") -> dict[str, Any]:
    [found] = (await rest.admin.get(f"/templates?search={name}")).json()["data"]
    return dict(found)


async def stored(rest: Rest, template_id: str) -> bool:
    return bool(
        await sql(rest.world.pool).fetchval(
            "SELECT hinted_at = updated_at FROM templates WHERE id = $1", UUID(template_id)
        )
    )


async def test_a_list_has_hints_and_warnings_and_no_content(rest: Rest) -> None:
    template = await made(rest, _CONTENT)
    assert (template["hints"], len(template["warnings"])) == (_HINTS, 1)
    found = await listed(rest)
    assert found == {name: value for name, value in template.items() if name != "content"}
    path = f"/templates/{template['id']}"
    assert (await rest.admin.get(path)).json()["data"] == template


async def test_hints_follow_the_content_and_outlive_a_new_name(rest: Rest) -> None:
    template = await made(rest, _CONTENT)
    path = f"/templates/{template['id']}"
    await rest.admin.patch(path, json={"name": "Welcome back"})
    assert (await listed(rest))["hints"] == _HINTS
    longer = {"subject": "Hi", "text": "x" * 30}
    changed = (await rest.admin.patch(path, json={"content": longer})).json()["data"]
    expected = {"bytes": 30, "limit": 102_000, "isExact": True}
    assert changed["hints"] == (await listed(rest))["hints"] == expected
    assert changed["warnings"] == (await listed(rest))["warnings"] == []


async def test_what_an_earlier_version_wrote_gets_its_hints_at_its_first_reading(
    rest: Rest,
) -> None:
    template = await made(rest, _CONTENT)
    await sql(rest.world.pool).execute("UPDATE templates SET hints = NULL, hinted_at = NULL")
    assert ((await listed(rest))["hints"], (await listed(rest))["warnings"]) == (None, None)
    assert (await rest.admin.get(f"/templates/{template['id']}")).json()["data"] == template
    assert (await listed(rest))["hints"] == _HINTS and await stored(rest, template["id"])
    # one that changes the content, and does not know of hints
    await sql(rest.world.pool).execute(
        """UPDATE templates SET content = '{"subject": "a", "text": "b"}', updated_at = now()"""
    )
    assert (await listed(rest))["hints"] is None
    path = f"/templates/{template['id']}"
    assert (await rest.admin.get(path)).json()["data"]["hints"]["bytes"] == 1


async def test_a_copy_of_another_services_template_gets_its_hints_at_its_first_reading(
    rest: Rest,
) -> None:
    template = UUID("550e8400-e29b-41d4-a716-446655440099")
    for text, size in (("abc", 3), ("abcde", 5)):
        async with rest.world.pool.transaction() as session:
            content = {"subject": "x", "text": text}
            await mirror.keep_template(session, "acme", template, "Copy", "email", content)
        assert (await listed(rest, "Copy"))["hints"] is None
        shown = (await rest.admin.get(f"/templates/{template}")).json()["data"]
        assert shown["hints"]["bytes"] == (await listed(rest, "Copy"))["hints"]["bytes"] == size


async def _beside_another(rest: Rest, long: Coroutine[Any, Any, T]) -> T:
    """What the long request answers; another tenant's is answered before it."""
    working = asyncio.create_task(long)
    await eventually(lambda: rest.services.slots.of(RENDERINGS).taken == 1 or working.done())
    assert not working.done(), working.result()
    assert (await rest.stranger.get("/campaigns")).status_code == 200
    assert not working.done()
    return await working


async def test_others_are_served_while_a_long_template_is_checked(rest: Rest) -> None:
    for number in range(5):
        template = await _beside_another(rest, made(rest, _LONG, f"Long {number}"))
    campaign = await rest.draft(templateId=template["id"])
    contact = {"contact": {"firstName": "Ana", "email": "ana@example.com"}}
    path = f"/campaigns/{campaign['id']}/preview"
    for _ in range(5):
        await _beside_another(rest, rest.admin.post(path, json=contact))


async def test_a_tenant_that_has_many_templates_checked_at_once_is_told_the_limit(
    rest: Rest,
) -> None:
    body = {"name": "Welcome", "channel": "email", "content": _CONTENT}
    count = RENDERINGS.each + RENDERINGS.waiting + 5
    answers = await asyncio.gather(
        *(rest.admin.post("/templates", json=body) for _ in range(count)),
        rest.stranger.post("/templates", json=body),
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) >= RENDERINGS.waiting and statuses[-1] == 201
    for refused in (answer for answer in answers if answer.status_code != 201):
        assert "1 renderings of one tenant at once" in str(problem(refused, 429)["detail"])
