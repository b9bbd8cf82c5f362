"""The provider of a route, by the kind of its settings."""

from __future__ import annotations

from connectors.delivery.http.exchange import OneByOne, Provider, Single
from connectors.delivery.providers.brevo import Brevo
from connectors.delivery.providers.mailgun import Mailgun
from connectors.delivery.providers.postmark import Postmark
from connectors.delivery.providers.resend import Resend
from connectors.delivery.providers.sendgrid import SendGrid
from connectors.delivery.providers.ses import Ses
from connectors.delivery.providers.twilio import Twilio
from connectors.delivery.providers.vonage import Vonage
from connectors.delivery.providers.webhook import Webhook
from connectors.delivery.providers.whatsapp import WhatsApp
from streams.contracts.routes import (
    BrevoRoute,
    HttpRoute,
    MailgunRoute,
    PostmarkRoute,
    ResendRoute,
    RouteSettings,
    SendGridRoute,
    SesRoute,
    TwilioRoute,
    VonageRoute,
    WebhookRoute,
    WhatsAppRoute,
)
from streams.errors import FieldError, broken
from tables.tenants.routes import Credentials


def provider_of(route: HttpRoute, credentials: Credentials) -> Provider:
    """Raises ValueError for credentials in no form of the provider's."""
    if isinstance(route, WebhookRoute):
        return Webhook(route, credentials)
    return Single(_one_by_one(route, credentials))


def _one_by_one(route: HttpRoute, credentials: Credentials) -> OneByOne:
    match route:
        case ResendRoute():
            return Resend(route, credentials)
        case PostmarkRoute():
            return Postmark(route, credentials)
        case SendGridRoute():
            return SendGrid(route, credentials)
        case MailgunRoute():
            return Mailgun(route, credentials)
        case BrevoRoute():
            return Brevo(route, credentials)
        case SesRoute():
            return Ses(route, credentials)
        case TwilioRoute():
            return Twilio(route, credentials)
        case VonageRoute():
            return Vonage(route, credentials)
        case WhatsAppRoute():
            return WhatsApp(route, credentials)
        case _:
            raise AssertionError(f"{route.provider} has no module")


def check_credentials(route: RouteSettings, credentials: Credentials) -> None:
    """Raises CampaignError for credentials in no form of the provider's."""
    if isinstance(route, HttpRoute):
        try:
            provider_of(route, credentials)
        except ValueError as error:
            raise broken(FieldError("password", f"must be {error}")) from error
