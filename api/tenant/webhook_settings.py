"""Setting up the webhooks of a tenant's providers: what they sign with goes in and is never read
back.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.http.auth import Acting, Admin
from api.http.dependencies import Provided, Services, Transaction
from api.http.envelope import Success, answers, success
from api.http.json_bodies import JsonRoute
from api.http.preconditions.conditions import ToEdit, ToPut, ToShow
from api.http.preconditions.entity_tags import row_tag
from api.tenant.schemas import SENDGRID, PendingSubscription, WebhookSettings, WebhookSetup
from connectors.bounces.webhook import READERS
from connectors.webhooks.providers import checked, spelled
from streams.errors import NotFoundError
from tables import models
from tables.database.connection import Session
from tables.tenants import webhook_secrets
from tables.tenants.webhook_secrets import WebhookSecret

router = APIRouter(prefix="/tenant/webhooks", tags=["webhooks"], route_class=JsonRoute)

Named = Annotated[str, Path(description=f"one of {', '.join(READERS)}")]


@router.put("/{provider}", responses=answers(200, SENDGRID))
async def put(
    who: Admin,
    by: Acting,
    services: Provided,
    transaction: Transaction,
    provider: Named,
    body: WebhookSettings,
    conditions: ToPut,
) -> Success[WebhookSetup]:
    """Set a provider up, or replace its settings: they hold from the next webhook on. They are
    stored encrypted and never answered.
    """
    given = body.model_dump(exclude_none=True)
    for name in ("topic_arns", "opt_out_words"):
        given[name] = tuple(given.get(name, ()))
    secret = checked(_known(provider), WebhookSecret(**given), READERS)
    tenant = who.tenant_id
    await conditions.check(partial(webhook_secrets.lock, transaction, tenant, provider))
    seal = webhook_secrets.sealing(services.settings)
    made = await webhook_secrets.put(transaction, seal, tenant, provider, secret, by)
    conditions.tag(made)
    return await _setup(services, transaction, made)


@router.get("/{provider}")
async def one(
    who: Admin,
    services: Provided,
    transaction: Transaction,
    provider: Named,
    conditions: ToShow,
) -> Success[WebhookSetup]:
    """Which fields are set, the address to give to the provider, and the SNS subscriptions that
    wait for an admin to open their address.
    """
    found = await webhook_secrets.get(transaction, who.tenant_id, _known(provider))
    conditions.show(row_tag(found))
    return await _setup(services, transaction, found)


@router.delete("/{provider}", status_code=204, response_class=Response)
async def delete(
    who: Admin, by: Acting, transaction: Transaction, provider: Named, conditions: ToEdit
) -> None:
    """From now on the provider's webhooks are 404."""
    tenant = who.tenant_id
    known = _known(provider)
    await conditions.check(partial(webhook_secrets.lock_known, transaction, tenant, known))
    await webhook_secrets.remove(transaction, tenant, provider, by)


def _known(provider: str) -> str:
    if provider not in READERS:
        raise NotFoundError(
            f"There is no provider {provider[:40]!r}: it is one of {', '.join(READERS)}."
        )
    return provider


async def _setup(
    services: Services, session: Session, row: models.WebhookSecret
) -> Success[WebhookSetup]:
    tenant, provider = row.tenant_id, row.provider
    pending = await webhook_secrets.subscriptions(session, tenant, provider)
    return success(
        WebhookSetup(
            provider=provider,
            url=f"{services.settings.public_url.rstrip('/')}/webhooks/{provider}/{tenant}",
            is_set=spelled(row.fields),
            updated_at=row.updated_at,
            pending_subscriptions=[PendingSubscription.of_row(one) for one in pending],
        )
    )
