"""Routes and settings of the tests here."""

from __future__ import annotations

from typing import Any

from streams.contracts.routes import SmtpRoute
from streams.settings import Settings
from tests.dns_server import DnsServer

DOMAIN = "acme.example"


def route(**changes: Any) -> SmtpRoute:
    """A relay on loopback, unless something else is said."""
    given = {
        "channel": "email",
        "provider": "smtp",
        "host": "127.0.0.1",
        "port": 25,
        "tls": "none",
        "fromDomains": [DOMAIN],
    }
    return SmtpRoute.model_validate(given | changes)


def settings(names: DnsServer | None = None, **changes: Any) -> Settings:
    """However slow this machine is, everything is waited for."""
    return Settings.model_validate(
        {
            "kafka": "",
            "nats": "",
            "postgres": "",
            "message_keys": "00" * 32,
            "dns_servers": "" if names is None else names.address,
            "dns_timeout": "PT5M",
            "routes": "any",
            "route_timeout": "PT5M",
        }
        | changes
    )
