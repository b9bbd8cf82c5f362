"""Setting up the webhooks of a tenant's providers: what they sign with goes in and is never read
back.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from api.campaigns.answers import success
from api.http.auth import Admin
from api.http.json_bodies import JsonRoute
from connectors.webhooks.providers import PROVIDERS, checked, spelled
from streams.contracts.envelope import rfc3339
from streams.errors import NotFoundError
from tables.database.connection import Connection
from tables.database.failures import translated
from tables.tenants import webhook_secrets
from tables.tenants.webhook_secrets import Seal, Shown, WebhookSecret

router = APIRouter(prefix="/tenant/webhooks", tags=["webhooks"], route_class=JsonRoute)

Named = Annotated[str, Path(description=f"one of {', '.join(PROVIDERS)}")]
_Secret = Annotated[str, Field(min_length=1, max_length=4_000)]


class WebhookSettings(BaseModel):
    """What the provider needs of these: ses `topicArns`; sendgrid `publicKey`; mailgun, twilio and
    standard `secret`; whatsapp `secret` and `verifyToken`.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", hide_input_in_errors=True)

    secret: _Secret | None = Field(
        None, description="signing key, auth token or app secret; standard: whsec_…"
    )
    public_key: _Secret | None = Field(
        None, description="SendGrid's verification key, base64 or PEM"
    )
    verify_token: _Secret | None = Field(
        None, description="what Meta must say when it sets the address up; choose one"
    )
    topic_arns: list[Annotated[str, Field(max_length=300)]] | None = Field(
        None, description="the SNS topics that may speak for SES"
    )


@router.put("/{provider}", name="put")
async def put(
    request: Request, who: Admin, provider: Named, body: WebhookSettings
) -> dict[str, Any]:
    """Set a provider up, or replace its settings: from the next webhook on they hold. Stored
    encrypted, answered never.
    """
    state, name = request.app.state, _known(provider)
    given = body.model_dump(exclude_none=True)
    secret = checked(
        name, WebhookSecret(**{**given, "topic_arns": tuple(given.get("topic_arns", ()))})
    )
    with translated():
        async with state.pool.acquire() as connection, connection.transaction():
            shown = await webhook_secrets.put(
                connection, Seal(state.settings), who.tenant_id, name, secret
            )
            return success(await _shown(request, connection, who.tenant_id, name, shown))


@router.get("/{provider}", name="one")
async def one(request: Request, who: Admin, provider: Named) -> dict[str, Any]:
    """Which fields are set, the address to give to the provider, and the SNS subscriptions that
    wait for an admin to open their address.
    """
    name = _known(provider)
    with translated():
        async with request.app.state.pool.acquire() as connection:
            shown = await webhook_secrets.show(connection, who.tenant_id, name)
            return success(await _shown(request, connection, who.tenant_id, name, shown))


@router.delete("/{provider}", status_code=204, response_class=Response, name="delete")
async def delete(request: Request, who: Admin, provider: Named) -> None:
    """From now on the provider's webhooks are 404."""
    name = _known(provider)
    with translated():
        async with request.app.state.pool.acquire() as connection, connection.transaction():
            await webhook_secrets.remove(connection, who.tenant_id, name)


def _known(provider: str) -> str:
    if provider not in PROVIDERS:
        raise NotFoundError(
            f"There is no provider {provider[:40]!r}: it is one of {', '.join(PROVIDERS)}."
        )
    return provider


async def _shown(
    request: Request, connection: Connection, tenant: str, provider: str, shown: Shown
) -> dict[str, Any]:
    pending = await webhook_secrets.subscriptions(connection, tenant, provider)
    return {
        "provider": provider,
        "url": f"{request.app.state.settings.public_url.rstrip('/')}/webhooks/{provider}/{tenant}",
        "isSet": spelled(shown.fields),
        "updatedAt": rfc3339(shown.updated_at),
        "pendingSubscriptions": [
            {
                "topicArn": one.topic_arn,
                "subscribeUrl": one.subscribe_url,
                "askedAt": rfc3339(one.asked_at),
            }
            for one in pending
        ],
    }
