"""`POST /webhooks/{provider}/{tenantId}`: what providers report, verified on the raw bytes before
anything of it is believed.

204 = every usable event is in Kafka; 400 not the provider's format; 401 the signature, or too old;
404 an unknown provider or tenant, or one that has not set the provider up; 413 over 1 MB or 10,000
elements; 503 something is down, too many at once, or too many refused from this address: send it
again. One bad element of a batch never drops the rest. A failure that no retry can mend is 406 to
Mailgun, which repeats everything else for hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.http.dependencies import Services, services_of
from api.limits.addresses import FORGERIES, Addresses, Attempts, subscriber
from api.limits.slots import WEBHOOKS
from api.recipients.inbound import Inbound
from connectors.bounces.webhook import READERS
from connectors.webhooks import whatsapp
from connectors.webhooks.delivery import (
    MAX_WEBHOOK,
    Delivery,
    ReusedTokenError,
    SignatureError,
    TooOldError,
)
from connectors.webhooks.forms import UnparsableError
from connectors.webhooks.providers import Check
from streams.contracts.commands import TENANT_ID
from streams.errors import BusyError, NotFoundError, RateLimitedError
from streams.settings import Settings
from tables.tenancy.acting import act_for
from tables.tenants.webhook_secrets import WebhookSecret, load, sealing

_MOST_KNOWN = 10_000


class Webhooks:
    """The routes that providers and Meta's set-up call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seal, self._inbound = sealing(settings), Inbound(settings)
        self._addresses, self._forgeries = Addresses(settings), Attempts(FORGERIES)
        self._known = set[str]()  # webhooks that exist, as far as they have been called

    def routes(self) -> tuple[Route, ...]:
        """Plain routes: each provider has its own format, which the documentation describes and
        the OpenAPI document does not.
        """
        return (
            Route("/webhooks/whatsapp/{tenant_id}", self.challenge, methods=["GET"]),
            Route("/webhooks/{provider}/{tenant_id}", self.receive, methods=["POST"]),
        )

    async def receive(self, request: Request) -> Response:
        """Answers 204 when everything usable of a provider's report is kept.

        Raises NotFoundError, SignatureError, UnparsableError, DependencyDownError.
        """
        services = await services_of(request)
        tenant, provider = request.path_params["tenant_id"], request.path_params["provider"]
        try:
            await self._take(request, services, tenant, provider)
        except (UnparsableError, TooOldError, ReusedTokenError) as error:
            if (status := READERS[provider].unmendable) is None:
                raise
            raise HTTPException(status, error.detail) from error
        return Response(status_code=204)

    async def _take(self, request: Request, services: Services, tenant: str, provider: str) -> None:
        with self._few_forgeries(request, tenant, provider):
            secret = await self._secret(services, tenant, provider)
            self._know(f"{tenant} {provider}")
            body = await request.body()  # not before it is known that somebody waits for it
            if len(body) > MAX_WEBHOOK:
                too_large = f"The body is larger than {MAX_WEBHOOK:,} bytes, the limit."
                raise HTTPException(413, too_large)
            url, query = self._public_url(request), request.query_params
            delivery = Delivery(request.headers, body, url, query)
            now, reader = datetime.now(UTC), READERS[provider]
            check = Check(secret, now, self._settings.webhook_tolerance, services.certificates)
            verified = await reader.verify(delivery, check)
        with _busy():
            async with services.slots.slot(WEBHOOKS, tenant):
                try:
                    read = reader.read(delivery, now, secret.opt_out_words)
                except UnparsableError:
                    await self._inbound.refuse(services, tenant, provider, delivery.body, now)
                    raise
                await self._inbound.take(services, tenant, provider, verified, read)

    @contextmanager
    def _few_forgeries(self, request: Request, tenant: str, provider: str) -> Iterator[None]:
        """Counts what is refused inside, by address. Raises BusyError after too many."""
        peer = request.client.host if request.client else None
        address = subscriber(self._addresses.of(request.headers, peer))
        webhook = f"{tenant} {provider}"
        signed = f"{address} {webhook}"  # another tenant's webhooks may come from there, too
        with _busy():
            self._forgeries.check(signed)
            if webhook not in self._known:
                self._forgeries.check(address)
        try:
            yield
        except TooOldError:  # its signature was right: the provider repeats what met an outage
            raise
        except SignatureError:
            self._forgeries.count(signed)
            raise
        except NotFoundError:
            self._known.discard(webhook)
            self._forgeries.count(address)
            raise

    def _know(self, webhook: str) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add(webhook)

    async def challenge(self, request: Request) -> Response:
        """Answers Meta's challenge when the verify token is right, else 401."""
        tenant = request.path_params["tenant_id"]
        with self._few_forgeries(request, tenant, "whatsapp"):
            secret = await self._secret(await services_of(request), tenant, "whatsapp")
            self._know(f"{tenant} whatsapp")
            answer = whatsapp.challenge(request.query_params, secret.verify_token)
        return PlainTextResponse(answer)

    async def _secret(self, services: Services, tenant: str, provider: str) -> WebhookSecret:
        """The secret of the path's tenant, for whom the request acts from here on. Raises
        NotFoundError, the same for everything that is not there, and DependencyDownError.
        """
        if provider not in READERS or not TENANT_ID.fullmatch(tenant):
            raise NotFoundError("There is no such webhook.")
        act_for(tenant)
        async with services.database.transaction(services.settings.caller_patience) as session:
            return await load(session, self._seal, tenant, provider)

    def _public_url(self, request: Request) -> str:
        """The address as the provider called it, whatever proxies made of it: Twilio signs it."""
        path = str(request.scope["raw_path"], "latin-1").partition("?")[0]
        query = str(request.scope["query_string"], "latin-1")
        return self._settings.public_url.rstrip("/") + path + (f"?{query}" if query else "")


@contextmanager
def _busy() -> Iterator[None]:
    """Makes RateLimitedError a BusyError: SNS repeats only after errors of the server, which 429 is
    not (docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html).
    """
    try:
        yield
    except RateLimitedError as error:
        raise BusyError(error.detail) from error
