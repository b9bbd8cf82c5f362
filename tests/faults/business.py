"""A tenant of the soak and its client: what it sends, one campaign after the other."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.e2e import world
from tests.eventually import eventually
from tests.faults.scene import (
    SENDER,
    Sending,
)

HOURLY = 300  # messages of a tenant


class Customer(world.Rest):
    """A tenant's client that tries again while the API is away, and knows whom it has suppressed:
    `suppressed` for certain, `barred` perhaps.
    """

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.suppressed, self.barred = set[str](), set[str]()

    async def __call__(
        self, method: str, path: str, body: Any = None, expect: int | None = None
    ) -> Any:
        bars = path == "/suppressions/bulk"
        people = {row["contactId"] for row in body} if bars else set[str]()
        self.barred |= people
        answer = await super().__call__(method, path, body, expect)
        self.suppressed |= people
        return answer

    async def insist(self, method: str, path: str, body: Any = None) -> Any:
        """`data` of the answer; the same request until there is one."""
        key = {"Idempotency-Key": secrets.token_hex(16)}

        async def answered() -> httpx.Response:
            try:
                answer = await self._http.request(method, path, json=body, headers=key)
            except httpx.TransportError as away:
                raise AssertionError(str(away)) from away
            assert answer.status_code < 500, answer.text
            return answer

        answer = await eventually(answered, every=0.5)
        if answer.is_error:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        return answer.json()["data"]


@dataclass
class Business:
    """A tenant with its people. `walk_ins` are groups who have not been written to yet."""

    tenant: world.Tenant
    rest: Customer
    template: str
    walk_ins: list[str]

    @property
    def everybody(self) -> set[str]:
        return self.tenant.people["all"]

    async def made(self, **fields: Any) -> str:
        """The id of a draft."""
        body = {
            "name": "Sale",
            "channel": "email",
            "templateId": self.template,
            "settings": SENDER,
            **fields,
        }
        return str((await self.rest.insist("POST", "/campaigns", body))["id"])

    def sending(self, campaign: str) -> Sending:
        return Sending(self.rest, self.tenant, campaign, self.everybody, HOURLY)


def _segments(of: Business) -> list[str]:
    return [str(of.tenant.segments["all"])]


def _soon() -> dict[str, str]:
    return {"scheduledAt": (datetime.now(UTC) + timedelta(seconds=4)).isoformat()}


async def once(of: Business) -> Sending:
    campaign = await of.made(segmentIds=_segments(of))
    await of.rest.insist("POST", f"/campaigns/{campaign}/start")
    return of.sending(campaign)


async def scheduled(of: Business) -> Sending:
    campaign = await of.made(segmentIds=_segments(of))
    await of.rest.insist("POST", f"/campaigns/{campaign}/schedule", _soon())
    return of.sending(campaign)


async def recurring(of: Business) -> Sending:
    """The one child of a series: the occurrence of the next minute."""
    minute = (datetime.now(UTC) + timedelta(seconds=65)).minute
    series = await of.made(
        segmentIds=_segments(of),
        type="recurring",
        recurringSchedule={"cron": f"{minute} * * * *", "maxOccurrences": 1},
    )
    await of.rest.insist("POST", f"/campaigns/{series}/start")

    async def child() -> Any:
        found = await of.rest.insist("GET", f"/campaigns?parentId={series}")
        items = found["items"] if isinstance(found, dict) else found
        return items[0]["id"] if items else None

    return of.sending(await eventually(child, every=0.5))


async def triggered(of: Business) -> Sending:
    """Somebody new comes in, in three groups."""
    if not of.walk_ins:
        return await once(of)
    people = sorted(of.tenant.people[of.walk_ins.pop()])
    campaign = await of.made(type="triggered")
    await of.rest.insist("POST", f"/campaigns/{campaign}/start")
    for some in (people[0::3], people[1::3], people[2::3]):
        path, body = f"/campaigns/{campaign}/trigger", {"contactIds": some}
        answer = await of.rest.insist("POST", path, body)
        if answer != {"accepted": len(some), "refused": {}}:
            raise RuntimeError(f"{len(some)} new contacts were triggered: {answer}")
    return Sending(of.rest, of.tenant, campaign, set(people), HOURLY, ends="cancelled")


KINDS: Mapping[str, Callable[[Business], Awaitable[Sending]]] = {
    "once": once,
    "scheduled": scheduled,
    "recurring": recurring,
    "triggered": triggered,
}
