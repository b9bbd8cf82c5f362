"""What a contact would get: the campaign rendered for it, every variant, before or after it has
started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request

from api.campaigns.answers import success
from api.campaigns.routes import Existing
from api.directory.schemas import ContactUpdate
from api.http.json_bodies import JsonRoute
from connectors.messages.content import Content, load
from connectors.messages.preview import address_of, fields_of, preview
from streams.contracts.bodies import broken
from streams.contracts.fields import Body
from streams.errors import FieldError
from streams.records.message_id import TESTS, MessageIds
from tables.campaigns.campaign import Campaign
from tables.contacts.store import get_contact
from tables.database.connection import Connection, once
from tables.directory.mirror import templates_of

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)


class PreviewOf(Body):
    """Exactly one of both: a contact of the tenant, or fields of one that nobody is."""

    contact_id: UUID | None = None
    contact: ContactUpdate | None = None


@router.post("/{campaignId}/preview", name="preview")
async def show(request: Request, campaign: Existing, body: PreviewOf) -> dict[str, Any]:
    """Render the campaign for a contact, every variant. Nothing is sent or counted: links are as
    they are written.

    A variable that the contact lacks, or a broken template, is 422 with variant, part and line. The
    HTML is what would be sent: show it in a frame with `sandbox`.
    """
    if (body.contact_id is None) == (body.contact is None):
        raise broken(FieldError("contactId", "exactly one of contactId and contact"))
    await learn(request, campaign.tenant_id, contact=body.contact_id, campaign_id=campaign.id)

    async def work(connection: Connection) -> dict[str, Any]:
        fields = await read_fields(connection, campaign.tenant_id, body.contact_id, body.contact)
        shown, sent = [
            await content_of(request, connection, campaign, is_tracked=tracked)
            for tracked in (False, True)
        ]
        message_id = MessageIds.of(request.app.state.settings).make(TESTS, 0, campaign.tenant_id, 0)
        return {
            "campaignId": str(campaign.id),
            "contactId": str(body.contact_id) if body.contact_id else None,
            "channel": campaign.channel,
            "to": address_of(fields, campaign.channel),
            "variants": preview(shown, sent, fields, message_id),
        }

    return success(await once(request.app.state.pool, work))


async def learn(
    request: Request,
    tenant: str,
    *,
    contact: UUID | None = None,
    campaign_id: UUID | None = None,
    segments: Iterable[UUID] = (),
) -> None:
    """Mirror what services of the company's own know of these, the templates of the campaign
    included. Raises DependencyDownError.
    """
    sources, run = request.app.state.sources, partial(once, request.app.state.pool)
    templates = list[UUID]()
    if campaign_id is not None and sources.templates is not None:
        templates = await run(partial(templates_of, tenant=tenant, campaign_id=campaign_id))
    await sources.learn(
        run,
        tenant,
        segments=segments,
        templates=templates,
        contacts=[] if contact is None else [contact],
    )


async def read_fields(
    connection: Connection, tenant: str, contact_id: UUID | None, given: ContactUpdate | None
) -> Mapping[str, Any]:
    """What templates see of the contact, or of the given fields. Raises NotFoundError."""
    if contact_id is not None:
        return fields_of(await get_contact(connection, tenant, contact_id))
    assert given is not None
    return {"attributes": {}, **given.model_dump(mode="json", by_alias=True, exclude_none=True)}


async def content_of(
    request: Request, connection: Connection, campaign: Campaign, *, is_tracked: bool
) -> Content:
    """What the campaign says (connectors/messages/content.py)."""
    public_url = request.app.state.settings.public_url
    content = await load(
        connection, campaign.tenant_id, campaign.number, public_url, is_tracked=is_tracked
    )
    assert (
        content is not None
    )  # the campaign has been read in this request, and rows of campaigns stay
    return content
