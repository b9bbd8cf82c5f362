"""The contents of a campaign and of its variants: until it starts those of their templates as they
are, ever after those of the templates as they were at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from streams.contracts.envelope import Record
from tables.database.connection import Session

# The campaign itself and its variants; a variant's subject stands in place of its template's.
_PRESENT = """
SELECT v.variant_id, c.name AS campaign_name,
       t.content || CASE WHEN v.subject <> '' AND c.channel = 'email'
                         THEN jsonb_build_object('subject', v.subject) ELSE '{}' END AS content
  FROM campaigns c
 CROSS JOIN LATERAL (
       SELECT NULL::varchar AS variant_id, c.template_id, NULL::varchar AS subject
        UNION ALL
       SELECT variant_id, template_id, subject
         FROM campaign_variants WHERE campaign_id = c.id) AS v
  LEFT JOIN templates t
         ON t.id = v.template_id AND t.tenant_id = c.tenant_id AND t.channel = c.channel
 WHERE c.id = %(campaign)s"""
_FIXED = """
SELECT variant_id, campaign_name, content FROM campaign_contents
 WHERE campaign_id = %(campaign)s"""


class VariantContent(Record, frozen=True):
    """The content that recipients of a variant get, or those of the campaign itself (`variant_id`
    None). `content` is None where there is no such template.
    """

    variant_id: str | None
    campaign_name: str
    content: dict[str, Any] | None


async def fix_contents(session: Session, campaign_id: UUID) -> None:
    """Fix the contents as they are now, from this transaction's commit on. A repeat changes
    nothing.
    """
    await session.run(
        "INSERT INTO campaign_contents (campaign_id, variant_id, campaign_name, content)"
        f" SELECT %(campaign)s, variant_id, campaign_name, content FROM ({_PRESENT}) AS present"
        " ON CONFLICT DO NOTHING",
        campaign=campaign_id,
    )


async def contents(session: Session, campaign_id: UUID) -> Sequence[VariantContent]:
    """The campaign's own first, then its variants by id: the fixed ones, and before it has started
    the present ones.
    """
    order = 'ORDER BY variant_id COLLATE "C" NULLS FIRST'
    fixed = await session.rows(VariantContent, f"{_FIXED} {order}", campaign=campaign_id)
    return fixed or await session.rows(VariantContent, f"{_PRESENT} {order}", campaign=campaign_id)
