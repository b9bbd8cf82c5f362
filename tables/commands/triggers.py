"""Triggers: contacts join a running triggered campaign, each once per re-entry period, and go out
as soon as the limits allow.

A trigger is one transaction on the locked row of the campaign: rows in the ledger under the next
ordinals, the new total, the answer under its correlationId, and `SpansAdded` and `RowsReady` in the
outbox. Triggers of one campaign so follow each other, and the throttle hears of them in that order,
after the `PlanOpened` that the start has put into the same outbox. A crash before the commit leaves
nothing; after it, a repeat finds the answer and adds nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select

from streams.contracts.commands import Trigger
from streams.contracts.triggers import Reentry
from streams.errors import IllegalTransitionError
from streams.records.sending import Limits, PlanOpened, RowsReady, Span, SpansAdded
from streams.settings import Settings
from tables.campaigns.campaign import amend_campaign
from tables.campaigns.lifecycle import transition
from tables.campaigns.senders import check_sender
from tables.channels import CHANNELS
from tables.commands import answers
from tables.commands.answers import Answer, Identity
from tables.database import outbox
from tables.database.connection import Session
from tables.directory.barring import look_ups
from tables.models import Campaign, Segment


def opened(campaign: Campaign, tenant_limits: Limits) -> PlanOpened:
    """The plan that a triggered campaign starts with: no recipients yet, and no end."""
    return PlanOpened(
        tenant_id=campaign.tenant_id,
        campaign_id=str(campaign.id),
        number=campaign.number,
        channel=campaign.channel,
        total=0,
        spans=(),
        limits=campaign.limits,
        tenant_limits=tenant_limits,
        is_endless=True,
        version=campaign.version,
        is_built_in=campaign.is_built_in,
    )


async def mirrored_segments(
    session: Session, tenant: str, segments: Collection[UUID]
) -> list[UUID]:
    """The segments among these whose members belong to another service: they are copied only when
    an audience is made, so a trigger cannot look into them.
    """
    if not segments:
        return []
    mirrored = select(Segment.id).where(
        Segment.tenant_id == tenant, Segment.id.in_(segments), Segment.is_mirrored
    )
    return list(await session.scalars(mirrored.order_by(Segment.id)))


async def trigger(
    session: Session, settings: Settings, command: Trigger, campaign: Campaign
) -> Answer:
    """Take in the contacts that may enter; the answer counts them, and the others by reason. The
    caller has locked the campaign's row.

    The first reason of these that applies: duplicate (of one in the same trigger), unknown,
    not-in-segment, excluded, no-address, suppressed, re-entry, recipient-limit. The same
    correlationId again within 7 days (`Trigger.is_once`) gets the first answer, whatever the
    campaign's status is by then. Raises IllegalTransitionError for a campaign that is not triggered
    or not running, ConflictError when the correlationId named others, and CampaignError for a
    sender's domain that is not verified.
    """
    identity = _identity(command) if command.is_once else None
    # the row's lock lets one trigger of the campaign look at a time
    if identity and (known := await answers.look_up(session, identity, command.at)) is not None:
        return known
    if not campaign.is_triggered:
        raise IllegalTransitionError(
            f"The campaign's type is {campaign.type}: only a triggered campaign can be triggered."
        )
    transition(campaign.status, command.verb)
    await check_sender(session, settings, campaign)
    outcome = await _enter(session, settings, command, campaign)
    if outcome["accepted"]:
        await _announce(session, campaign, outcome["accepted"])
    answer = Answer(202, campaign.id, campaign.number, outcome=outcome)
    if identity:
        await answers.remember(session, identity, answer, command.at)
    return answer


def _identity(command: Trigger) -> Identity:
    """A trigger is known by its correlationId within its campaign, whichever way it comes."""
    contacts = sha256(b"".join(contact.bytes for contact in command.body.contact_ids))
    key = f"{command.campaign_id}:{command.correlation_id}"
    return Identity(command.tenant_id, "trigger", key, {"contacts": contacts.hexdigest()})


async def _enter(
    session: Session, settings: Settings, command: Trigger, campaign: Campaign
) -> dict[str, Any]:
    """Judge the contacts and write a row for each that may enter, with the ordinals that follow the
    total.
    """
    contacts = command.body.contact_ids
    reentry = Reentry.model_validate(campaign.settings.get("reentry", {}))
    total = campaign.total_recipients or 0
    judged = await session.rows(
        _Judged,
        _sql(campaign.channel),
        contacts=contacts,
        tenant=campaign.tenant_id,
        segments=list(campaign.segment_ids),
        excluded=list(campaign.exclude_segment_ids),
        campaign=campaign.id,
        number=campaign.number,
        total=total,
        room=settings.max_recipients - total,
        now=command.at,
        barred_since=reentry.bars_since(command.at),
    )
    counts = {row.refusal: row.contacts for row in judged}
    accepted = counts.pop(None, 0)
    if repeated := len(contacts) - accepted - sum(counts.values()):
        counts["duplicate"] = repeated
    return {"accepted": accepted, "refused": counts}


async def _announce(session: Session, campaign: Campaign, accepted: int) -> None:
    # The version stays: it guards what people edit, and at ten triggers a second every edit would
    # be refused.
    before = campaign.total_recipients or 0
    total, number, tenant = before + accepted, campaign.number, campaign.tenant_id
    await amend_campaign(session, campaign, total_recipients=total)
    added = SpansAdded(
        tenant_id=tenant, number=number, spans=(Span(start=before, stop=total),), total=total
    )
    ready = RowsReady(tenant_id=tenant, number=number, stop=total)
    await outbox.append(
        session, [outbox.to_throttle(record, campaign.id, total) for record in (added, ready)]
    )


class _Judged(NamedTuple):
    """How many of the contacts were refused for a reason; None: accepted."""

    refusal: str | None
    contacts: int


@lru_cache
def _sql(channel: str) -> str:
    """Judge the contacts and write those that may enter.

    LATERAL with LIMIT cannot be flattened, so each contact costs six index look-ups whatever the
    statistics say.
    """
    member = (
        "SELECT true AS found FROM segment_members m"
        " WHERE m.contact_id = a.contact_id AND m.tenant_id = %(tenant)s AND m.segment_id"
    )
    address = CHANNELS[channel].column
    return f"""
        WITH asked AS (
          SELECT contact_id, min(place) AS place
            FROM unnest(%(contacts)s::uuid[]) WITH ORDINALITY AS t (contact_id, place)
           GROUP BY contact_id
        ), judged AS MATERIALIZED (
          SELECT a.contact_id, a.place, nullif(c.{address}_version, 0) AS address_version, CASE
                   WHEN c.id IS NULL THEN 'unknown'
                   WHEN cardinality(%(segments)s::uuid[]) > 0 AND within.found IS NULL
                   THEN 'not-in-segment'
                   WHEN without.found THEN 'excluded'
                   WHEN c.{address} IS NULL THEN 'no-address'
                   WHEN barred.found THEN 'suppressed'
                   WHEN e.entered_at > %(barred_since)s::timestamptz THEN 're-entry'
                 END AS refusal
            FROM asked a
            LEFT JOIN LATERAL (
                 SELECT * FROM contacts
                  WHERE id = a.contact_id AND tenant_id = %(tenant)s LIMIT 1) AS c ON true
            LEFT JOIN LATERAL ({member} = ANY(%(segments)s::uuid[]) LIMIT 1) AS within ON true
            LEFT JOIN LATERAL ({member} = ANY(%(excluded)s::uuid[]) LIMIT 1) AS without ON true
            {look_ups(channel, "c", in_sight=True)}
            LEFT JOIN LATERAL (
                 SELECT entered_at FROM campaign_entries
                  WHERE campaign_id = %(campaign)s AND contact_id = a.contact_id LIMIT 1)
                      AS e ON true
        ), taken AS MATERIALIZED (
          SELECT contact_id, address_version, row_number() OVER (ORDER BY place) - 1 AS ahead
            FROM judged WHERE refusal IS NULL
        ), written AS (
          INSERT INTO campaign_recipients
                 (id, tenant_id, campaign_id, contact_id, address_version)
          SELECT recipient_id(%(number)s, (%(total)s + ahead)::int), %(tenant)s, %(campaign)s,
                 contact_id, address_version
            FROM taken WHERE ahead < %(room)s ORDER BY ahead
        ), entered AS (
          INSERT INTO campaign_entries (campaign_id, contact_id, entered_at)
          SELECT %(campaign)s, contact_id, %(now)s FROM taken WHERE ahead < %(room)s
          ON CONFLICT (campaign_id, contact_id) DO UPDATE SET entered_at = excluded.entered_at
        )
        SELECT CASE WHEN t.ahead < %(room)s THEN NULL
                    ELSE coalesce(j.refusal, 'recipient-limit') END AS refusal,
               count(*) AS contacts
          FROM judged j LEFT JOIN taken t USING (contact_id) GROUP BY 1"""
