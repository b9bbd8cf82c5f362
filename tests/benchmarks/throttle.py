"""One round of P9: the rate of a limited campaign against its limit, over three short hours, with
the real throttle and its ticker.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from streams.records.sending import Limits, PlanOpened, RowsReady, Span
from streams.settings import Settings
from tests.agents.sending.throttle.throttled_emission import Emission, control
from tests.eventually import eventually

_HOURS = 3


async def measure(settings: Settings, limit: int) -> dict[str, Any]:
    """Messages an hour of 15 s. The first hour's worth goes at once: it is what the following hours
    are measured against.

    Raises AssertionError when any sliding hour holds more than the limit.
    """
    settings = settings.model_copy(update={"hour": timedelta(seconds=15)})
    total = limit * (_HOURS + 1)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            control(settings, Path(folder) / "control.log", []),
            Emission(settings, lag=0, seed=1).running() as emission,
        ):
            plan = PlanOpened(
                "bench", "bench", 1, "email", total, (Span(0, total),), Limits(per_hour=limit)
            )
            await emission.write(plan, RowsReady("bench", 1, total))
            await eventually(
                lambda: sum(each.messages for each in emission.emitted) == total, within=300
            )
    sent = sorted(emission.emitted)
    hours = (sent[-1].at - sent[0].at) / (settings.hour / timedelta(milliseconds=1))
    assert emission.most_in_any(settings.hour, "bench") <= limit
    return {
        "limit": limit,
        "rate": limit * _HOURS / hours,
        "mostInAnyHour": emission.most_in_any(settings.hour, "bench"),
    }
