"""The provider of a route, by the kind of its settings."""

from __future__ import annotations

from connectors.delivery.http.exchange import Provider
from connectors.delivery.providers.webhook import Webhook
from streams.contracts.routes import HttpRoute, RouteSettings, WebhookRoute
from streams.errors import FieldError, broken
from streams.settings import Settings
from tables.tenants.routes import Credentials


def provider_of(settings: Settings, route: HttpRoute, credentials: Credentials) -> Provider:
    """Raises ValueError for credentials in no form of the provider's."""
    match route:
        case WebhookRoute():
            return Webhook(route, credentials)
        case _:
            raise AssertionError(f"{route.provider} has no module")


def check_credentials(settings: Settings, route: RouteSettings, credentials: Credentials) -> None:
    """Raises CampaignError for credentials in no form of the provider's."""
    if isinstance(route, HttpRoute):
        try:
            provider_of(settings, route, credentials)
        except ValueError as error:
            raise broken(FieldError("password", f"must be {error}")) from error
