"""A tenant's limits changed over REST while its campaign is being sent by the real control worker,
and the usage it then shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from streams.records.sending import Limits, PlanOpened, RowsReady, Span
from streams.settings import Settings
from tests.agents.sending.throttle.throttled_emission import Emission
from tests.api.world import Rest
from tests.e2e.processes import Installation
from tests.eventually import eventually

_RECIPIENTS = 3_000


async def usage(live: Rest) -> dict[str, Any]:
    return dict((await live.admin.get("/tenant")).json()["data"]["usage"]["hour"])


async def test_new_limits_act_at_once_on_a_running_campaign_and_usage_is_what_was_sent(
    live: Rest, settings: Settings, tmp_path: Path
) -> None:
    emission = Emission(settings, lag=0.05, seed=1)

    def sent() -> int:
        return sum(each.messages for each in emission.emitted if each.tenant == "acme")

    async def sends(messages: int, **limits: int | None) -> dict[str, Any]:
        assert (await live.admin.patch("/tenant", json=limits)).status_code == 200
        await eventually(lambda: sent() == messages, within=300)
        return await eventually(lambda: _settled(live, messages), within=300)

    with Installation(settings, tmp_path, roles=("control",)) as processes:
        await eventually(processes.all_ready, within=300)
        async with emission.running():
            plan = PlanOpened(
                "acme",
                "a",
                1,
                "email",
                _RECIPIENTS,
                (Span(0, _RECIPIENTS),),
                tenant_limits=Limits(per_hour=500),
            )
            await emission.write(plan, RowsReady("acme", 1, _RECIPIENTS))
            await eventually(lambda: sent() == 500, within=300)
            full = await sends(1000, messagesPerHour=1000)
            assert (full["limit"], full["left"], full["inFlight"]) == (1000, 0, 0) and full["until"]
            assert (await sends(1500, messagesPerHour=1500))["used"] == 1500
            lower = (await live.admin.patch("/tenant", json={"messagesPerHour": 200})).json()[
                "data"
            ]["usage"]["hour"]
            assert (lower["used"], lower["left"]) == (1500, 0)
            free = await sends(_RECIPIENTS, messagesPerHour=None)
            assert (free["limit"], free["left"], free["until"]) == (None, None, None)


async def _settled(live: Rest, messages: int) -> dict[str, Any]:
    found = await usage(live)
    assert found["used"] == messages
    assert found["inFlight"] == 0
    return found
