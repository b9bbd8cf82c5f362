"""`POST /webhooks/{provider}/{tenantId}`: what providers report, verified on the raw bytes before
anything of it is believed.

204 = every usable event is in Kafka; 400 not the provider's format; 401 the signature, or too old;
404 an unknown provider or tenant, or one that has not set the provider up; 413 over 1 MB; 503
something is down, send it again. One bad element of a batch never drops the rest.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.recipients.inbound import Inbound
from api.recipients.reports import Reports
from connectors.webhooks import whatsapp
from connectors.webhooks.delivery import MAX_WEBHOOK, Delivery
from connectors.webhooks.providers import PROVIDERS, Check
from connectors.webhooks.sns import Certificates
from streams.contracts.commands import TENANT_ID
from streams.errors import NotFoundError
from streams.settings import Settings
from tables.database.connection import Database
from tables.database.failures import translated
from tables.tenants.webhook_secrets import Seal, WebhookSecret, load

_QUIET = {"Cache-Control": "no-store"}


class Webhooks:
    """What the routes work with. `certificates` answers the signing certificates of Amazon SNS."""

    def __init__(
        self,
        settings: Settings,
        pool: Database,
        reports: Reports,
        certificates: Certificates | None = None,
    ) -> None:
        self._settings, self._pool = settings, pool
        self._seal, self._inbound = Seal(settings), Inbound(settings, pool, reports)
        self.certificates = certificates or Certificates()

    async def secret(self, tenant: str, provider: str) -> WebhookSecret:
        """Raises NotFoundError, the same for everything that is not there, and DependencyDownError."""
        if provider not in PROVIDERS or not TENANT_ID.fullmatch(tenant):
            raise NotFoundError("There is no such webhook.")
        with translated():
            async with self._pool.acquire() as connection:
                return await load(connection, self._seal, tenant, provider)

    async def receive(self, tenant: str, provider: str, delivery: Delivery) -> None:
        """Returns when everything usable is kept. Raises NotFoundError, SignatureError,
        UnparsableError, DependencyDownError.
        """
        secret, now, reader = (
            await self.secret(tenant, provider),
            datetime.now(UTC),
            PROVIDERS[provider],
        )
        check = Check(secret, now, self._settings.webhook_tolerance, self.certificates)
        verified = await reader.verify(delivery, check)
        await self._inbound.take(tenant, provider, verified, reader.read(delivery, now))

    def public_url(self, request: Request) -> str:
        """The address as the provider called it, whatever proxies made of it: Twilio signs it."""
        path = str(request.scope["raw_path"], "latin-1").partition("?")[0]
        query = str(request.scope["query_string"], "latin-1")
        return self._settings.public_url.rstrip("/") + path + (f"?{query}" if query else "")


def _of(request: Request) -> Webhooks:
    return cast("Webhooks", request.app.state.webhooks)


async def receive(request: Request) -> Response:
    """A provider reports."""
    body = await request.body()
    if len(body) > MAX_WEBHOOK:
        raise HTTPException(413, f"The body is larger than {MAX_WEBHOOK:,} bytes, the limit.")
    webhooks = _of(request)
    delivery = Delivery(request.headers, body, webhooks.public_url(request), request.query_params)
    await webhooks.receive(
        request.path_params["tenant_id"], request.path_params["provider"], delivery
    )
    return Response(status_code=204, headers=_QUIET)


async def challenge(request: Request) -> Response:
    """Meta asks whether this address expects it: the challenge comes back when the verify token is
    right, else 401.
    """
    secret = await _of(request).secret(request.path_params["tenant_id"], "whatsapp")
    return PlainTextResponse(
        whatsapp.challenge(request.query_params, secret.verify_token),
        headers={**_QUIET, "X-Content-Type-Options": "nosniff"},
    )


# Plain routes: each provider has its own format, which is described in docs/webhooks.md and not in
# our document.
routes = (
    Route("/webhooks/whatsapp/{tenant_id}", challenge, methods=["GET"]),
    Route("/webhooks/{provider}/{tenant_id}", receive, methods=["POST"]),
)
