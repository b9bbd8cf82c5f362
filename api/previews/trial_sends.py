"""Test messages over REST: a campaign's content, sent to given addresses."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from api.campaigns.commands import CampaignId
from api.http.auth import Sender
from api.http.dependencies import Provided, Services
from api.http.envelope import Success, success
from api.http.idempotency import Once
from api.http.json_bodies import JsonRoute
from api.limits.slots import RENDERINGS, takes
from api.previews.schemas import TestMessage, TestSend, TestSent
from api.previews.subjects import content_of, learn, read_fields
from connectors.messages.preview import fields_of, variants_of
from connectors.messages.trial_sends import NOBODY, SAMPLE, messages, spelled
from connectors.templates.beside import beside
from streams.contracts.envelope import rfc3339
from streams.errors import FieldError, NotFoundError, broken
from streams.records.message_id import MessageIds
from streams.records.messages import Message
from tables.audience.dry_run import some_of_audience
from tables.audience.trial_sends import send_tests, suppressed_among
from tables.campaigns.campaign import get_campaign
from tables.campaigns.senders import check_sender
from tables.database.connection import Session
from tables.models import Campaign
from tables.tenants.routes import has_any

router = APIRouter(prefix="/campaigns", tags=["campaigns"], route_class=JsonRoute)


@router.post("/{campaignId}/test-send", status_code=202, name="test_send")
@takes(RENDERINGS)
async def send(
    services: Provided, who: Sender, campaign_id: CampaignId, body: TestSend, once: Once
) -> Success[TestSent]:
    """Send the campaign to up to 10 addresses, its subject marked `[Test]`; never counted, and not
    tracked. At most 100 per hour.

    Without `variantId` every variant is sent. A suppressed address is refused.
    """
    if body.contact_id is not None and body.contact is not None:
        raise broken(FieldError("contactId", "at most one of contactId and contact"))
    await learn(services, who.tenant_id, contact=body.contact_id, campaign_id=campaign_id)

    async def work(session: Session) -> _Made:
        campaign = await get_campaign(session, who.tenant_id, campaign_id)
        contact_id, made = await _sent(services, session, campaign, body)
        return _Made(
            campaign_id=campaign.id,
            contact_id=None if contact_id == NOBODY else contact_id,
            messages=[TestMessage.of_row(message) for message in made],
            channel=campaign.channel,
        )

    asked = {"test": str(campaign_id), **body.model_dump(mode="json")}
    repeat, keep = partial(_repeated, body), partial(_kept, body)
    return success(await once.answer(who.tenant_id, asked, work, repeat, keep))


class _Made(TestSent):
    """The answer, and the channel that spells its addresses, which is not shown."""

    channel: str = Field(exclude=True)


def _kept(body: TestSend, made: _Made) -> dict[str, Any]:
    """The answer with the place of each address in the request, which a repeat names again."""
    kept = made.model_dump(mode="json", by_alias=True)
    addresses = spelled(made.channel, body.addresses)
    for message in kept["messages"]:
        message["place"] = addresses.index(message.pop("to"))
    return kept | {"channel": made.channel}


def _repeated(body: TestSend, kept: dict[str, Any]) -> _Made:
    if channel := kept.get("channel", ""):  # else an earlier version kept the addresses
        addresses = spelled(channel, body.addresses)
        for message in kept["messages"]:
            message["to"] = addresses[message.pop("place")]
    return _Made.model_validate({**kept, "channel": channel})


async def _sent(
    services: Services, session: Session, campaign: Campaign, body: TestSend
) -> tuple[UUID, Sequence[Message]]:
    """The contact that the messages are rendered for, and the messages, in the outbox."""
    settings, at = services.settings, datetime.now(UTC)
    await check_sender(session, settings, campaign)
    addresses = spelled(campaign.channel, body.addresses)
    await _check_not_suppressed(session, campaign, addresses)
    content = await content_of(services, session, campaign, is_tracked=False)
    variants = variants_of(content, body.variant_id)
    contact = await _contact(session, campaign, body)
    work = partial(
        messages,
        content,
        variants,
        list(dict.fromkeys(addresses)),
        contact,
        ids=MessageIds.of(settings),
        epoch=settings.key_epoch,
        at=rfc3339(at),
        draw=secrets.randbelow,
    )
    made = await beside(work)
    # as the campaign's own messages go, or would if it started now
    is_built_in = (
        campaign.is_built_in
        if campaign.started_at
        else await has_any(session, settings, campaign.tenant_id, campaign.channel)
    )
    await send_tests(session, campaign.tenant_id, made, at, is_built_in=is_built_in)
    return contact[0], made


async def _check_not_suppressed(
    session: Session, campaign: Campaign, addresses: Sequence[str]
) -> None:
    channel = campaign.channel
    barred = await suppressed_among(session, campaign.tenant_id, channel, addresses)
    if barred:
        wrong = [place for place, address in enumerate(addresses) if address in barred]
        reason = f"is suppressed on {channel}"
        raise broken(*(FieldError(f"addresses.{place}", reason) for place in wrong))


async def _contact(
    session: Session, campaign: Campaign, body: TestSend
) -> tuple[UUID, Mapping[str, Any]]:
    """The id and the fields of the contact that the body names, else of one in the audience."""
    tenant = campaign.tenant_id
    if body.contact_id is not None or body.contact is not None:
        try:
            fields = await read_fields(session, tenant, body.contact_id, body.contact)
        except NotFoundError as error:
            reason = f"there is no contact {body.contact_id}"
            raise broken(FieldError("contactId", reason)) from error
        return body.contact_id or NOBODY, fields
    found = await some_of_audience(
        session,
        tenant,
        campaign.channel,
        campaign.segment_ids,
        campaign.exclude_segment_ids,
        limit=1,
    )
    return (found[0].id, fields_of(found[0])) if found else (NOBODY, SAMPLE)
