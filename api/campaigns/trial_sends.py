"""Test messages over REST: what a campaign says, to addresses that somebody names."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints

from api.campaigns.answers import success
from api.campaigns.preview import content_of, learn, read_fields
from api.campaigns.routes import CampaignId, IdempotencyKey
from api.directory.schemas import ContactUpdate
from api.http.auth import Sender
from api.http.idempotency import first_answer
from api.http.json_bodies import JsonRoute
from connectors.messages.preview import fields_of, variants_of
from connectors.messages.trial_sends import NOBODY, SAMPLE, messages, spelled
from streams.contracts.bodies import broken
from streams.contracts.envelope import rfc3339
from streams.contracts.fields import Body
from streams.errors import FieldError, NotFoundError
from streams.records.message_id import MessageIds
from streams.records.messages import Message
from tables.audience.dry_run import some_of_audience
from tables.audience.trial_sends import send_tests, suppressed_among
from tables.campaigns.campaign import Campaign, get_campaign
from tables.database.connection import Connection

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)
Address = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class TestSend(Body):
    """At most one of `contactId` and `contact`; with neither, somebody of the audience, else sample
    data.
    """

    addresses: Annotated[list[Address], Field(min_length=1, max_length=10)]
    contact_id: UUID | None = None
    contact: ContactUpdate | None = None
    variant_id: Annotated[str, StringConstraints(max_length=50)] | None = None


@router.post("/{campaignId}/test-send", status_code=202, name="test_send")
async def send(
    request: Request,
    who: Sender,
    campaign_id: CampaignId,
    body: TestSend,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Send the campaign to up to 10 addresses, its subject marked `[Test]`; never counted, and not
    tracked. At most 100 per hour.

    Without `variantId` every variant is sent. A suppressed address is refused.
    """
    if body.contact_id is not None and body.contact is not None:
        raise broken(FieldError("contactId", "at most one of contactId and contact"))
    await learn(request, who.tenant_id, contact=body.contact_id, campaign_id=campaign_id)

    async def work(connection: Connection) -> dict[str, Any]:
        campaign = await get_campaign(connection, who.tenant_id, campaign_id)
        contact_id, made = await _sent(request, connection, campaign, body)
        return {
            "campaignId": str(campaign.id),
            "contactId": None if contact_id == NOBODY else str(contact_id),
            "messages": [
                {"messageId": one.message_id, "to": one.to, "variantId": one.variant_id}
                for one in made
            ],
        }

    asked = {"test": str(campaign_id), **body.model_dump(mode="json")}
    return success(await first_answer(request, who.tenant_id, idempotency_key, asked, work))


async def _sent(
    request: Request, connection: Connection, campaign: Campaign, body: TestSend
) -> tuple[UUID, Sequence[Message]]:
    """Whom the messages are rendered for, and the messages, in the outbox."""
    settings, at = request.app.state.settings, datetime.now(UTC)
    addresses = spelled(campaign.channel, body.addresses)
    if barred := await suppressed_among(
        connection, campaign.tenant_id, campaign.channel, addresses
    ):
        wrong = [place for place, address in enumerate(addresses) if address in barred]
        raise broken(
            *(
                FieldError(f"addresses.{place}", f"is suppressed on {campaign.channel}")
                for place in wrong
            )
        )
    content = await content_of(request, connection, campaign, is_tracked=False)
    variants, contact = (
        variants_of(content, body.variant_id),
        await _contact(connection, campaign, body),
    )
    options: dict[str, Any] = {
        "epoch": settings.key_epoch,
        "at": rfc3339(at),
        "draw": secrets.randbelow,
    }
    made = messages(
        content,
        variants,
        list(dict.fromkeys(addresses)),
        contact,
        ids=MessageIds.of(settings),
        **options,
    )
    await send_tests(connection, campaign.tenant_id, made, at)
    return contact[0], made


async def _contact(
    connection: Connection, campaign: Campaign, body: TestSend
) -> tuple[UUID, Mapping[str, Any]]:
    if body.contact_id is not None or body.contact is not None:
        try:
            return body.contact_id or NOBODY, await read_fields(
                connection, campaign.tenant_id, body.contact_id, body.contact
            )
        except NotFoundError as error:
            raise broken(
                FieldError("contactId", f"there is no contact {body.contact_id}")
            ) from error
    chosen = (
        campaign.tenant_id,
        campaign.channel,
        campaign.segment_ids,
        campaign.exclude_segment_ids,
    )
    if found := await some_of_audience(connection, *chosen, limit=1):
        return found[0].id, fields_of(found[0])
    return NOBODY, SAMPLE
