"""A tenant whose providers are set up, a message it sent to one person, and what becomes of
webhooks about it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from connectors.webhooks.sns import Certificates
from streams.records.link_tokens import LinkTokens
from streams.records.message_id import MessageIds
from tests.api.recipients.reported import reported
from tests.api.world import Rest
from tests.connectors.webhooks import webhook_signing as signing
from tests.postgres import sql

ADDRESS, PHONE = "canary.ana@example.com", "+4915112345678"
SETTINGS: dict[str, dict[str, Any]] = {
    "ses": {"topicArns": [signing.TOPIC]},
    "sendgrid": {"publicKey": signing.sendgrid_key()},
    "mailgun": {"secret": signing.SECRET},
    "twilio": {"secret": signing.SECRET},
    "whatsapp": {"secret": signing.SECRET, "verifyToken": "chosen by us"},
    "standard": {"secret": signing.STANDARD_SECRET},
}
#: Of a campaign whose messages have gone out.
STARTED = """
UPDATE campaigns SET started_at = now(), has_link_tokens = true WHERE id = $1 RETURNING number
"""
_MESSAGE = """
INSERT INTO campaign_recipients
       (id, tenant_id, campaign_id, contact_id, status, sent_at, address_version)
SELECT recipient_id(c.number, 7), c.tenant_id, c.id, $2, 'sent', now() - $3 * interval '1 hour',
       (SELECT CASE c.channel WHEN 'email' THEN email_version ELSE phone_version END
          FROM contacts WHERE id = $2)
  FROM campaigns c WHERE c.id = $1 RETURNING id
"""


@dataclass
class Hooks:
    """`post` as a provider would. `contact` has an address and a phone number."""

    rest: Rest
    provider: httpx.AsyncClient
    contact: UUID

    async def message(self, channel: str = "email", hours_ago: float = 1) -> str:
        """The id of a message that went to recipient 7 of a new campaign, who is the contact."""
        world = self.rest.world
        template = None if channel != "email" else str(world.template)
        campaign = UUID((await self.rest.draft(channel=channel, templateId=template))["id"])
        await sql(world.pool).execute(_MESSAGE, campaign, self.contact, hours_ago)
        number = await sql(world.pool).fetchval(STARTED, campaign)
        return MessageIds.of(world.settings).make(number, 7, world.tenant, 0)

    def unsubscribe(self, message_id: str) -> str:
        """The path of the message's unsubscribe page."""
        return f"/u/{LinkTokens.of(self.rest.world.settings).make(message_id)[0]}"

    async def post(
        self, name: str, signed: signing.Signed, tenant: str = "acme", **params: str
    ) -> int:
        headers, body = signed
        return (
            await self.provider.post(
                f"/webhooks/{name}/{tenant}", content=body, headers=headers, params=params
            )
        ).status_code

    def twilio(self, form: dict[str, str], **params: str) -> signing.Signed:
        """Signed for the address that `post` calls with these parameters."""
        query = f"?{httpx.QueryParams(params)}" if params else ""
        return signing.twilio(
            f"{self.rest.world.settings.public_url}/webhooks/twilio/acme{query}", form
        )

    def about(self, name: str, message_id: str, kind: str = "delivered") -> signing.Signed:
        """A provider's report of one event, delivered or unsubscribed, about a message."""
        now, is_delivered = int(time.time()), kind == "delivered"
        match name:
            case "sendgrid":
                event = {
                    "event": "delivered" if is_delivered else "unsubscribe",
                    "email": ADDRESS,
                    "timestamp": now,
                    "messageId": message_id,
                }
                return signing.sendgrid([event])
            case "mailgun":
                data = {
                    "event": kind,
                    "recipient": ADDRESS,
                    "timestamp": now,
                    "user-variables": {"messageId": message_id},
                }
                return signing.mailgun(data, token=uuid4().hex)
            case "ses":
                mail = {
                    "timestamp": "2026-01-28T09:00:00.000Z",
                    "tags": {"messageId": [message_id]},
                    "destination": [ADDRESS],
                }
                preferences = {"newTopicPreferences": {"unsubscribeAll": True}}
                return signing.sns(
                    {
                        "eventType": "Delivery" if is_delivered else "Subscription",
                        "mail": mail,
                        "subscription": preferences,
                    }
                )
            case "twilio":
                form = (
                    {"MessageStatus": "delivered"}
                    if is_delivered
                    else {"MessageStatus": "failed", "ErrorCode": "21610"}
                )
                return self.twilio({"To": PHONE, **form}, messageId=message_id)
            case "whatsapp":
                failed = {"status": "failed", "errors": [{"code": 131050}]}
                status = {"status": "delivered"} if is_delivered else failed
                return signing.whatsapp(
                    {
                        "statuses": [
                            {
                                "timestamp": now,
                                "recipient_id": PHONE,
                                "biz_opaque_callback_data": message_id,
                                **status,
                            }
                        ]
                    }
                )
            case _:
                return signing.standard(
                    [{"type": kind, "messageId": message_id, "timestamp": "2026-01-28T09:00:00Z"}]
                )

    async def reported(self, name: str, message_id: str, kind: str = "delivered") -> int:
        """The status that answers `about`."""
        params = {"messageId": message_id} if name == "twilio" else {}
        return await self.post(name, self.about(name, message_id, kind), **params)

    async def events(self) -> list[tuple[str, str]]:
        """(type, message id) of everything in `pipeline.events.v1`, sorted."""
        found = await reported(self.rest.world.settings)
        assert all(event["tenantId"] == "acme" for event in found)
        return sorted((event["type"], event["messageId"]) for event in found)

    async def suppressed(self) -> set[tuple[str, str | None, str]]:
        """(channel, address, reason)."""
        rows = await sql(self.rest.world.pool).fetch(
            "SELECT channel::text, address, reason FROM suppressions WHERE address IS NOT NULL"
        )
        return {(row["channel"], row["address"], row["reason"]) for row in rows}


async def make_hooks(rest: Rest, provider: httpx.AsyncClient) -> Hooks:
    """Every provider is set up, and the certificate of Amazon SNS is the one that `webhook_signing`
    signs with.
    """
    contact = uuid4()
    await sql(rest.world.pool).execute(
        "INSERT INTO contacts (id, tenant_id, email, phone) VALUES ($1, 'acme', $2, $3)",
        contact,
        ADDRESS,
        PHONE,
    )
    for name, body in SETTINGS.items():
        answer = await rest.admin.put(f"/tenant/webhooks/{name}", json=body)
        assert answer.status_code == 200, answer.text
    certificate = signing.sns_certificate()

    async def fetch(url: str) -> bytes:
        assert url == signing.CERTIFICATE_URL
        return certificate

    rest.use(certificates=Certificates(fetch))
    return Hooks(rest, provider, contact)
