"""The plan of a campaign and the commands after it come in any order, and what came before it may
be forgotten: in the end the throttle knows what the campaign's row says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.envelope import encode
from streams.records.sending import (
    Limits,
    LimitsChanged,
    Paused,
    PlanOpened,
    Resumed,
    RowsReady,
    Sending,
    Span,
    SpansReleased,
    decode_sending,
)
from tables.throttle.clock import Clock
from tables.throttle.fold import apply
from tables.throttle.settle import settle
from tables.throttle.state import CampaignSending, TenantSending

NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
TENANT, NUMBER = "acme", 1
HEAD = (TENANT, "campaign-1", NUMBER)
NO_LIMITS = Limits()
Command = Literal["pause", "resume", "limit", "winner", "edit"]


@dataclass(frozen=True)
class Row:
    """The campaign in PostgreSQL, and its records in the outbox, each with the row's version."""

    version: int = 1
    is_paused: bool = False
    limits: Limits = NO_LIMITS
    winner: str | None = None
    outbox: tuple[Sending, ...] = ()

    def after(self, command: Command) -> Row:
        version = self.version + 1
        record: Sending
        match command:
            case "pause" | "resume" if self.is_paused is (command == "pause"):
                return self  # 409
            case "pause":
                fields, record = {"is_paused": True}, Paused(*HEAD, version)
            case "resume":
                fields, record = {"is_paused": False}, Resumed(*HEAD, version)
            case "limit":
                limits = Limits(per_hour=100 + version)
                fields = {"limits": limits}  # type: ignore[dict-item]
                record = LimitsChanged(TENANT, limits, NUMBER, version)
            case "winner" if self.winner is not None:
                return self  # 409
            case "winner":
                fields = {"winner": "B"}  # type: ignore[dict-item]
                record = SpansReleased(TENANT, NUMBER, "B")
            case "edit":
                return replace(self, version=version)
        return replace(self, version=version, outbox=(*self.outbox, record), **fields)  # type: ignore[arg-type]

    def plan(self) -> PlanOpened:
        """What `announce` reads under the row's lock."""
        return PlanOpened(
            *HEAD,
            channel="email",
            total=30,
            spans=(Span(0, 10), Span(10, 30, is_held=True)),
            limits=self.limits,
            is_paused=self.is_paused,
            winner=self.winner,
            version=self.version,
        )


def _fits(campaign: CampaignSending, row: Row) -> bool:
    held = any(span.is_held for span in campaign.spans)
    return (campaign.is_paused, campaign.limits, held) == (
        row.is_paused,
        row.limits,
        row.winner is None,
    )


COMMANDS = st.lists(st.sampled_from(["pause", "resume", "limit", "winner", "edit"]), max_size=9)


@given(COMMANDS, COMMANDS, st.data())
def test_the_throttle_knows_what_the_row_says_in_whatever_order_plan_and_commands_come(
    before: list[Command], later: list[Command], data: st.DataObject
) -> None:
    row = Row()
    for command in before:
        row = row.after(command)
    plan, known = row.plan(), len(row.outbox)
    for command in later:
        row = row.after(command)
    # some of what was written before the plan was read was heard, and perhaps forgotten, long ago
    heard = data.draw(st.integers(0, known), "heard before the plan was read")
    is_forgotten = data.draw(st.booleans(), "and forgotten")
    place = data.draw(st.integers(heard, len(row.outbox)), "records before the plan")
    tenant = TenantSending()
    for record in row.outbox[:heard]:
        tenant = apply(tenant, record, NOW)
    if is_forgotten:
        tenant = TenantSending()
    for record in (*row.outbox[heard:place], plan, *row.outbox[place:]):
        tenant = apply(tenant, record, NOW)
    assert _fits(tenant.campaigns[NUMBER], row)


@given(COMMANDS, st.integers(0, 9))
def test_a_plan_grants_at_once_what_its_row_allowed_whatever_of_the_outbox_has_come(
    before: list[Command], heard: int
) -> None:
    row = Row()
    for command in before:
        row = row.after(command)
    tenant = TenantSending()
    for record in (*row.outbox[:heard], row.plan()):
        tenant = apply(tenant, record, NOW)
    assert _fits(tenant.campaigns[NUMBER], row)


@pytest.mark.parametrize("late", [timedelta(days=1, minutes=1), timedelta(days=30)])
def test_a_campaign_that_was_paused_long_before_its_plan_came_stays_paused(late: timedelta) -> None:
    row = Row().after("pause")
    tenant = apply(TenantSending(), row.outbox[0], NOW)
    kept = settle(TENANT, tenant, Clock(NOW + late)).tenant or TenantSending()
    for record in (row.plan(), RowsReady(TENANT, NUMBER, 30)):
        kept = apply(kept, record, NOW + late)
    assert kept.campaigns[NUMBER].is_paused


def test_a_stub_of_an_older_process_counts_as_it_did() -> None:
    plan = Row(version=7).plan()
    paused = apply(apply(TenantSending(), Paused(*HEAD), NOW), plan, NOW)
    assert paused.campaigns[NUMBER].is_paused
    limited = apply(TenantSending(), LimitsChanged(TENANT, Limits(per_day=3), NUMBER), NOW)
    assert apply(limited, plan, NOW).campaigns[NUMBER].limits == Limits(per_day=3)
    resumed = apply(paused, Resumed(*HEAD), NOW)
    assert not resumed.campaigns[NUMBER].is_paused


def test_a_plan_of_an_older_process_is_read_and_ours_has_nothing_but_more_members() -> None:
    old = {
        "type": "opened",
        "tenantId": TENANT,
        "campaignId": "campaign-1",
        "number": NUMBER,
        "channel": "email",
        "total": 30,
        "spans": [{"start": 0, "stop": 10}],
    }
    read = decode_sending(encode(old))
    assert isinstance(read, PlanOpened)
    assert (read.is_paused, read.winner, read.version) == (False, None, 0)
    assert encode(read) == encode(old)
