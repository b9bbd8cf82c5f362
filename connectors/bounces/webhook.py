"""`POST /webhooks/dsn/{tenant}`: a raw mail that came back, handed over by whoever receives mail
for the tenant, and signed as Standard Webhooks are (`connectors.webhooks.standard`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from connectors.bounces.events import meaning
from connectors.bounces.reports import read as read_mail
from connectors.webhooks.delivery import Delivery, Read, Reported, Unheard
from connectors.webhooks.forms import Form
from connectors.webhooks.providers import PROVIDERS, Provider
from streams.contracts.envelope import rfc3339
from streams.records.reported_events import SAYING_NO


def read(delivery: Delivery, now: datetime) -> Read:
    """The event that follows from the mail. Never raises: any bytes are a mail."""
    found, report = Read(now), read_mail(delivery.body)
    meant = meaning(report)
    if meant is None or not report.ids:
        found.ignored += 1
        if meant is not None and meant.type in SAYING_NO:
            found.unheard.append(Unheard("without-id", delivery.body))
        return found
    best, *others = report.ids
    source = Form({"mail": delivery.body.decode("utf-8", "replace")})
    at = rfc3339(now)
    found.reported.append(Reported(meant.type, best, at, meant.details, source, tuple(others)))
    return found


#: Every webhook by its name in the address: those of providers, and this one.
READERS: Mapping[str, Provider] = MappingProxyType(
    {
        **PROVIDERS,
        "dsn": replace(
            PROVIDERS["standard"], read=lambda delivery, now, _: read(delivery, now), optional=()
        ),
    }
)
