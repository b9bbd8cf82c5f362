"""The dependencies of routes: the services of the process, and a unit of work that ends with the
request.

`Transaction` commits after the route has returned and before its answer leaves, so an answer never
promises a change that is lost; a refusal rolls back. Event streams and downloads last too long to
hold one: they take `Provided` and open `services.database.transaction()` for each look.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends, Request

from api.http.bearer_tokens import Tokens
from api.http.limits import RateLimit
from api.limits.addresses import REFUSED_KEYS, SIGN_INS, Attempts
from api.limits.pollers import Pollers
from api.limits.slots import Slots
from connectors.sources.sources import Sources
from connectors.webhooks.sns import Certificates
from streams.process.reports import Reports
from streams.settings import Settings
from tables.database.connection import Database, Session
from tables.stats.rates import Rates
from tables.stats.views import SendingView, StatsView


@dataclass(frozen=True)
class Services:
    """Everything that the process holds open while it serves; the lifespan makes it.

    `tokens` is None without a token issuer. `slots` are what each tenant may have worked on at
    once, `pollers` look for their event streams, `sign_ins` and `refused_keys` count those that
    failed, by address. `certificates` are those that Amazon SNS signs with.
    """

    settings: Settings
    database: Database
    sources: Sources
    stats: StatsView
    sending: SendingView
    rates: Rates
    reports: Reports
    rate_limit: RateLimit
    tokens: Tokens | None = None
    slots: Slots = field(default_factory=Slots)
    pollers: Pollers = field(default_factory=Pollers)
    sign_ins: Attempts = field(default_factory=lambda: Attempts(SIGN_INS))
    refused_keys: Attempts = field(default_factory=lambda: Attempts(REFUSED_KEYS))
    certificates: Certificates = field(default_factory=Certificates)


async def services_of(request: Request) -> Services:
    """The services of the application that answers the request.

    A coroutine without a wait, as every dependency here: FastAPI would run a function on a thread.
    """
    return cast("Services", request.app.state.services)


Provided = Annotated[Services, Depends(services_of)]


async def transaction(services: Provided) -> AsyncIterator[Session]:
    async with services.database.transaction() as session:
        yield session


# scope="function": the framework would otherwise commit after the answer has been sent.
Transaction = Annotated[Session, Depends(transaction, scope="function")]
