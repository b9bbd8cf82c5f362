"""Triggers: contacts join a running triggered campaign, each once per re-entry period, and go out
as soon as the limits allow.

A trigger is one transaction on the locked row of the campaign: rows in the ledger under the next
ordinals, the new total, the answer under its correlationId, and `SpansAdded` and `RowsReady` in the
outbox. Triggers of one campaign so follow each other, and the throttle hears of them in that order,
after the `Opened` that the start has put into the same outbox. A crash before the commit leaves
nothing; after it, a repeat finds the answer and adds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID

from streams.contracts.commands import Command, Verb
from streams.contracts.triggers import CampaignTrigger, Reentry
from streams.errors import ConflictError, IllegalTransitionError
from streams.records.sending import Limits, Opened, RowsReady, Span, SpansAdded
from streams.settings import Settings
from tables.campaigns.campaign import Campaign
from tables.campaigns.lifecycle import transition
from tables.channels import CHANNELS
from tables.commands.answers import KEPT, Answer
from tables.database import outbox
from tables.database.connection import Connection

TRIGGERED = "triggered"


def opened(campaign: Campaign, tenant_limits: Limits) -> Opened:
    """The plan that a triggered campaign starts with: nobody yet, and no end."""
    return Opened(
        tenant_id=campaign.tenant_id,
        campaign_id=str(campaign.id),
        number=campaign.number,
        channel=campaign.channel,
        total=0,
        spans=(),
        limits=campaign.limits,
        tenant_limits=tenant_limits,
        is_endless=True,
    )


async def mirrored_segments(
    connection: Connection, tenant: str, segments: Collection[UUID]
) -> list[UUID]:
    """Those that are copied from another service when an audience is made, so that nobody knows
    their members when a trigger comes.
    """
    statement = "SELECT id FROM segments WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND is_mirrored ORDER BY id"
    return (
        [row["id"] for row in await connection.fetch(statement, tenant, list(segments))]
        if segments
        else []
    )


async def trigger(
    connection: Connection, settings: Settings, command: Command, campaign: Campaign
) -> Answer:
    """Take in the contacts that may enter; the answer counts them, and the others by reason. The
    caller has locked the campaign's row.

    The first reason of these that applies: duplicate (of one in the same trigger), unknown,
    not-in-segment, excluded, no-address, suppressed, re-entry, recipient-limit. The same
    correlationId again within 7 days gets the first answer, whatever the campaign's status is by
    then. Raises IllegalTransitionError for a campaign that is not triggered or not running, ConflictError when
    the correlationId named others.
    """
    body = command.body
    assert isinstance(body, CampaignTrigger)
    digest = sha256(b"".join(contact.bytes for contact in body.contact_ids)).digest()
    if (known := await _recall(connection, campaign.id, command, digest)) is not None:
        return _answer(campaign, known)
    if campaign.type != TRIGGERED:
        raise IllegalTransitionError(
            f"The campaign's type is {campaign.type}: only a {TRIGGERED} campaign can be triggered."
        )
    transition(campaign.status, Verb.TRIGGER)
    outcome = await _enter(connection, settings, command, campaign, body.contact_ids)
    if outcome["accepted"]:
        await _announce(connection, campaign, outcome["accepted"])
    await connection.execute(
        "INSERT INTO campaign_triggers"
        " (campaign_id, correlation_id, request_sha256, answer, triggered_at)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (campaign_id, correlation_id) DO UPDATE"
        " SET request_sha256 = excluded.request_sha256, answer = excluded.answer,"
        " triggered_at = excluded.triggered_at",  # only an expired one is still there
        *(campaign.id, command.correlation_id, digest, outcome, command.at),
    )
    return _answer(campaign, outcome)


def _answer(campaign: Campaign, outcome: Mapping[str, Any]) -> Answer:
    return Answer(202, campaign.id, campaign.number, outcome=dict(outcome))


async def forget_expired(connection: Connection, at: datetime, limit: int = 10_000) -> int:
    """Remove the answers of triggers that are over 7 days old; answers how many went."""
    return await connection.run(
        "DELETE FROM campaign_triggers WHERE ctid IN"
        " (SELECT ctid FROM campaign_triggers WHERE triggered_at <= %(before)s LIMIT %(limit)s)",
        before=at - KEPT["command"],
        limit=limit,
    )


async def _recall(
    connection: Connection, campaign_id: UUID, command: Command, digest: bytes
) -> Mapping[str, Any] | None:
    row = await connection.fetchrow(
        "SELECT request_sha256, answer FROM campaign_triggers"
        " WHERE campaign_id = $1 AND correlation_id = $2 AND triggered_at > $3",
        *(campaign_id, command.correlation_id, command.at - KEPT["command"]),
    )
    if row is None:
        return None
    if row["request_sha256"] != digest:
        raise ConflictError(
            "This correlationId was used for a trigger with other contacts; a new trigger needs a new one."
        )
    found: Mapping[str, Any] = row["answer"]
    return found


async def _enter(
    connection: Connection,
    settings: Settings,
    command: Command,
    campaign: Campaign,
    contacts: list[UUID],
) -> dict[str, Any]:
    """Judge the contacts and write the rows of those who may enter, with the ordinals that follow
    the total.
    """
    reentry = Reentry.model_validate(campaign.settings.get("reentry", {}))
    total = campaign.total_recipients or 0
    rows = await connection.fetch(
        _sql(campaign.channel),
        *(
            contacts,
            campaign.tenant_id,
            campaign.segment_ids,
            campaign.exclude_segment_ids,
            campaign.id,
            campaign.number,
        ),
        *(total, settings.max_recipients - total, command.at, reentry.bars_since(command.at)),
    )
    counts = {row["refusal"]: row["count"] for row in rows}
    accepted = counts.pop(None, 0)
    if repeated := len(contacts) - accepted - sum(counts.values()):
        counts["duplicate"] = repeated
    return {"accepted": accepted, "refused": counts}


async def _announce(connection: Connection, campaign: Campaign, accepted: int) -> None:
    # The version stays: it guards what people edit, and at ten triggers a second nobody could edit
    # anything.
    before = campaign.total_recipients or 0
    total, number, tenant = before + accepted, campaign.number, campaign.tenant_id
    await connection.execute(
        "UPDATE campaigns SET total_recipients = $2 WHERE id = $1", campaign.id, total
    )
    added = SpansAdded(
        tenant_id=tenant, number=number, spans=(Span(start=before, stop=total),), total=total
    )
    ready = RowsReady(tenant_id=tenant, number=number, stop=total)
    await outbox.append(
        connection, [outbox.to_throttle(record, campaign.id, total) for record in (added, ready)]
    )


@lru_cache
def _sql(channel: str) -> str:
    """$1 contacts, $2 tenant, $3 segments, $4 excluded ones, $5 campaign, $6 its number, $7 its
    total, $8 room, $9 now, $10 re-entry.

    LATERAL with LIMIT cannot be flattened, so each contact costs six index look-ups whatever the
    statistics say.
    """
    member = "SELECT true AS found FROM segment_members m WHERE m.contact_id = a.contact_id AND m.tenant_id = $2 AND m.segment_id"
    suppressed = f"SELECT true AS found FROM suppressions s WHERE s.tenant_id = $2 AND s.channel = '{channel}'"
    return f"""
        WITH asked AS (
          SELECT contact_id, min(place) AS place FROM unnest($1::uuid[]) WITH ORDINALITY AS t (contact_id, place) GROUP BY contact_id
        ), judged AS MATERIALIZED (
          SELECT a.contact_id, a.place, CASE
                   WHEN c.id IS NULL THEN 'unknown'
                   WHEN cardinality($3::uuid[]) > 0 AND within.found IS NULL THEN 'not-in-segment'
                   WHEN without.found THEN 'excluded'
                   WHEN c.address IS NULL THEN 'no-address'
                   WHEN by_contact.found OR by_address.found THEN 'suppressed'
                   WHEN e.entered_at > $10 THEN 're-entry'
                 END AS refusal
            FROM asked a
            LEFT JOIN LATERAL (SELECT id, {CHANNELS[channel].column} AS address FROM contacts
                                WHERE id = a.contact_id AND tenant_id = $2 LIMIT 1) AS c ON true
            LEFT JOIN LATERAL ({member} = ANY($3::uuid[]) LIMIT 1) AS within ON true
            LEFT JOIN LATERAL ({member} = ANY($4::uuid[]) LIMIT 1) AS without ON true
            LEFT JOIN LATERAL ({suppressed} AND s.contact_id = a.contact_id LIMIT 1) AS by_contact ON true
            LEFT JOIN LATERAL ({suppressed} AND s.address = c.address LIMIT 1) AS by_address ON true
            LEFT JOIN LATERAL (SELECT entered_at FROM campaign_entries
                                WHERE campaign_id = $5 AND contact_id = a.contact_id LIMIT 1) AS e ON true
        ), taken AS MATERIALIZED (
          SELECT contact_id, row_number() OVER (ORDER BY place) - 1 AS ahead FROM judged WHERE refusal IS NULL
        ), written AS (
          INSERT INTO campaign_recipients (id, tenant_id, campaign_id, contact_id)
          SELECT recipient_id($6, ($7 + ahead)::int), $2, $5, contact_id FROM taken WHERE ahead < $8 ORDER BY ahead
        ), entered AS (
          INSERT INTO campaign_entries (campaign_id, contact_id, entered_at) SELECT $5, contact_id, $9 FROM taken WHERE ahead < $8
          ON CONFLICT (campaign_id, contact_id) DO UPDATE SET entered_at = excluded.entered_at
        )
        SELECT CASE WHEN t.ahead < $8 THEN NULL ELSE coalesce(j.refusal, 'recipient-limit') END AS refusal, count(*)
          FROM judged j LEFT JOIN taken t USING (contact_id) GROUP BY 1"""
