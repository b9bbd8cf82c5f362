"""A campaign's row and the rows of its variants, for tests of A/B tests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from tables.campaigns.campaign import get_campaign
from tables.models import Campaign
from tests.postgres import sql
from tests.tables.campaigns.campaign_world import World

_VARIANTS = (
    "SELECT variant_id, name, template_id, subject, weight, is_winner"
    " FROM campaign_variants WHERE campaign_id = $1 ORDER BY 1"
)


async def one(world: World, campaign_id: UUID) -> Campaign:
    async with world.pool.transaction() as connection:
        return await get_campaign(connection, world.tenant, campaign_id)


async def variants(world: World, campaign_id: UUID) -> list[dict[str, Any]]:
    return [dict(row) for row in await sql(world.pool).fetch(_VARIANTS, campaign_id)]
