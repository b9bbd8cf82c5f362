"""Tenants and their limits, on a real PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from streams.errors import CampaignError, ConflictError, NotFoundError
from streams.records.sending import Limits
from tables.database.connection import Session
from tables.models import OutboxRecord
from tables.tenants import tenants
from tables.tenants.limits import change_limits


async def test_a_tenant_has_the_limits_it_was_created_with(session: Session) -> None:
    await tenants.create_tenant(session, "small", hourly=100, daily=1000)
    assert (await tenants.get_tenant(session, "small")).limits == Limits(per_hour=100, per_day=1000)
    assert (await tenants.get_tenant(session, "acme")).limits == Limits()


async def test_a_tenant_cannot_be_created_twice(session: Session) -> None:
    with pytest.raises(ConflictError):
        await tenants.create_tenant(session, "acme")


@pytest.mark.parametrize("name", ["", "Acme", "-acme", "a" * 64, "ac me", "acme\n", "ä"])
async def test_a_bad_tenant_name_names_the_rule(session: Session, name: str) -> None:
    with pytest.raises(CampaignError) as refused:
        await tenants.create_tenant(session, name, hourly=0)
    assert [error.field for error in refused.value.errors] == ["tenantId", "hourly"]


async def test_a_tenant_that_does_not_exist_is_not_found(session: Session) -> None:
    assert await tenants.tenant_exists(session, "acme")
    assert not await tenants.tenant_exists(session, "nobody")
    await tenants.lock_tenant(session, "acme")
    for use in (tenants.get_tenant, tenants.lock_tenant):
        with pytest.raises(NotFoundError):
            await use(session, "nobody")


async def test_a_change_of_limits_is_announced_once(session: Session) -> None:
    announced = select(func.count()).select_from(OutboxRecord)
    changed = await change_limits(session, "acme", {"hourly_limit": 100, "daily_limit": None})
    assert changed.limits == Limits(per_hour=100)
    assert await tenants.get_tenant(session, "acme") == changed
    assert await session.scalar(announced) == 1
    assert await change_limits(session, "acme", {"hourly_limit": 100}) == changed
    assert await session.scalar(announced) == 1
    assert (await change_limits(session, "acme", {"hourly_limit": None})).limits == Limits()
