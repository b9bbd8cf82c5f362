"""Operations on campaigns of three tenants that come in any order, and what is seen of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from streams.records.sending import (
    Limits,
    Paused,
    Resumed,
    RowsReady,
    Tick,
)
from tests.agents.sending.throttle.throttle_world import World

HOUR = timedelta(hours=1)
LIMIT = st.none() | st.integers(60, 900)
LIMITS = st.builds(Limits, LIMIT, LIMIT)
VERBS = ["pass", "hear", "hear", "crash", "emit", "pause", "resume", "rows", "rows", "clock"]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 11)), min_size=20, max_size=60
)


class Campaigns:
    """Campaigns 0..n of tenants a, b, c, and operations on them that come in any order."""

    def __init__(
        self,
        world: World,
        limits: list[Limits],
        totals: list[int],
        tenant_limits: dict[str, Limits],
    ) -> None:
        self.world, self.limits, self.totals, self.tenant_limits = (
            world,
            limits,
            totals,
            tenant_limits,
        )
        for number, total in enumerate(totals):
            tenant = self.tenant(number)
            world.open(
                number,
                total,
                tenant,
                ready=total // 3,
                limits=limits[number],
                tenant_limits=tenant_limits[tenant],
            )

    def tenant(self, number: int) -> str:
        return "abc"[number % 3]

    def act(self, operation: str, argument: int, skew: timedelta) -> None:
        """Clocks are up to `skew` ahead or behind, or were set back by an hour."""
        world, number = self.world, argument % len(self.totals)
        clock = (skew, -skew, -world.settings.hour, timedelta(0))[argument % 4]
        match operation:
            case "pass":
                world.pass_time(world.settings.hour * argument / 40)
                world.write(Tick())
            case "hear" | "crash":
                world.hear(argument + 1, crash=operation == "crash")
            case "emit":
                world.emit(
                    world.outstanding[argument % 3 :: 3],
                    skip=argument % 2 * 7,
                    clock=clock,
                )
            case "clock":
                world.control = clock
            case "pause":
                world.write(Paused(self.tenant(number), f"campaign-{number}", number))
            case "resume":
                world.write(Resumed(self.tenant(number), f"campaign-{number}", number))
            case "rows":
                self.rows(number, self.totals[number] * argument // 11)

    def rows(self, number: int, stop: int) -> None:
        self.world.write(RowsReady(self.tenant(number), number, stop))

    def finish(self) -> None:
        self.world.control = timedelta(0)
        for number, total in enumerate(self.totals):
            self.rows(number, total)
            self.act("resume", number, timedelta(0))
        self.world.hear()
        self.world.run()


def granted_by(world: World, field: str, values: tuple[Any, ...]) -> list[int]:
    return [
        sum(g.stop - g.start for g in world.granted if getattr(g, field) == value)
        for value in values
    ]


def assert_waits(world: World, reason: str, until: Any = None) -> None:
    (waiting,) = (campaign.waiting for campaign in world.tenants["acme"].campaigns.values())
    assert waiting is not None
    assert (waiting.reason, waiting.until) == (reason, until)
