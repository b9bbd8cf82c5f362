"""The parts of a preview: the contact's fields and the campaign's content, mirrored first where
services of the company's own have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from api.directory.contact_schemas import ContactUpdate
from api.http.dependencies import Services
from connectors.messages.content import Content, load
from connectors.messages.preview import fields_of
from connectors.templates.seals import LinkSeals
from streams.records.link_tokens import LinkTokens
from tables.audience.dry_run import Counted, count_audience, some_of_audience
from tables.contacts.store import get_contact
from tables.database.connection import Session
from tables.directory.mirror import templates_of
from tables.models import Campaign, Contact

_SAMPLED = 100  # contacts for whom a campaign is looked at


async def learn(
    services: Services,
    tenant: str,
    *,
    contact: UUID | None = None,
    campaign_id: UUID | None = None,
    segments: Iterable[UUID] = (),
) -> None:
    """Mirror these, and the templates of the campaign, from services of the company's own. Raises
    DependencyDownError.
    """
    sources, templates = services.sources, list[UUID]()
    if campaign_id is not None and sources.templates is not None:
        find = partial(templates_of, tenant=tenant, campaign_id=campaign_id)
        templates = await services.database.once(find)
    await sources.learn(
        services.database.once,
        tenant,
        segments=segments,
        templates=templates,
        contacts=[] if contact is None else [contact],
    )


async def read_fields(
    session: Session, tenant: str, contact_id: UUID | None, given: ContactUpdate | None
) -> Mapping[str, Any]:
    """The fields that templates see: of the contact, or those given. Raises NotFoundError."""
    if contact_id is not None:
        return fields_of(await get_contact(session, tenant, contact_id))
    assert given is not None
    return {"attributes": {}, **given.model_dump(mode="json", by_alias=True, exclude_none=True)}


async def content_of(
    services: Services, session: Session, campaign: Campaign, *, is_tracked: bool
) -> Content:
    """The campaign's content (connectors/messages/content.py)."""
    settings = services.settings
    content = await load(
        session,
        campaign.tenant_id,
        campaign.number,
        settings.public_url,
        is_tracked=is_tracked,
        seals=LinkSeals.of(settings),
        tokens=LinkTokens.of(settings),
    )
    # the campaign has been read in this request, and rows of campaigns stay
    assert content is not None
    return content


async def counted_of(session: Session, campaign: Campaign) -> Counted:
    """How many would get the campaign if it started now, and how many would not, by reason."""
    return await count_audience(
        session,
        campaign.tenant_id,
        campaign.channel,
        campaign.segment_ids,
        campaign.exclude_segment_ids,
        is_triggered=campaign.is_triggered,
    )


async def sample_of(
    services: Services, session: Session, campaign: Campaign
) -> tuple[Content, list[Contact]]:
    """The content that is sent, and some contacts of the audience."""
    contacts = await some_of_audience(
        session,
        campaign.tenant_id,
        campaign.channel,
        campaign.segment_ids,
        campaign.exclude_segment_ids,
        limit=_SAMPLED,
    )
    return await content_of(services, session, campaign, is_tracked=True), contacts
