"""The campaign rendered for a contact, every variant, before or after it has started."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter

from api.campaigns.routes import Existing
from api.http.dependencies import Provided
from api.http.envelope import Success, success
from api.http.json_bodies import JsonRoute
from api.limits.slots import RENDERINGS, takes
from api.previews.schemas import Preview, PreviewOf, VariantPreview
from api.previews.subjects import content_of, learn, read_fields
from connectors.messages.preview import address_of, preview
from connectors.templates.beside import beside
from streams.errors import FieldError, broken
from streams.records.message_id import TESTS, MessageIds

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)


@router.post("/{campaignId}/preview", name="preview")
@takes(RENDERINGS)
async def show(services: Provided, campaign: Existing, body: PreviewOf) -> Success[Preview]:
    """Render the campaign for a contact, every variant. Nothing is sent or counted: links are as
    they are written.

    A variable that the contact lacks, or a broken template, is 422 with variant, part and line. The
    HTML is what would be sent: show it in a frame with `sandbox`.
    """
    if (body.contact_id is None) == (body.contact is None):
        raise broken(FieldError("contactId", "exactly one of contactId and contact"))
    tenant = campaign.tenant_id
    await learn(services, tenant, contact=body.contact_id, campaign_id=campaign.id)
    async with services.database.transaction() as session:
        fields = await read_fields(session, tenant, body.contact_id, body.contact)
        shown = await content_of(services, session, campaign, is_tracked=False)
        sent = await content_of(services, session, campaign, is_tracked=True)
    ids = MessageIds.of(services.settings)
    message_id = ids.make(TESTS, 0, tenant, ids.signing)
    variants = await beside(partial(preview, shown, sent, fields, message_id))
    return success(
        Preview(
            campaign_id=campaign.id,
            contact_id=body.contact_id,
            channel=campaign.channel,
            to=address_of(fields, campaign.channel),
            variants=[VariantPreview.model_validate(one) for one in variants],
        )
    )
