"""The FastAPI application: what it holds while it runs, and every router in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from api import health, page
from api.campaigns import ab_tests, doubts, figures, live, routes, schedules
from api.directory import (
    contact_imports,
    contacts,
    segment_members,
    segments,
    suppression_imports,
    suppressions,
    templates,
)
from api.documents import openapi, reference
from api.http import problems
from api.http.acting import ForNobodyYet
from api.http.allowed_methods import KnownMethods
from api.http.auth import counted
from api.http.bearer_tokens import Tokens
from api.http.browsers.cookies import is_https
from api.http.browsers.headers import AnswerHeaders
from api.http.dependencies import Services
from api.http.limits import BodyLimit, QuotaHeaders, RateLimit
from api.http.preconditions import conditions
from api.previews import audience, preview, starting, trial_sends
from api.recipients.tracking import Tracking
from api.recipients.webhooks import Webhooks
from api.tenant import (
    api_keys,
    audit,
    delivery_routes,
    limits,
    sender_domains,
    session,
    webhook_settings,
)
from connectors.sources.sources import Sources
from streams.process.reports import Reports
from streams.settings import Settings
from tables.database.connection import Database
from tables.installation.settings_watch import SettingsWatch
from tables.stats.rates import Rates
from tables.stats.views import SendingView, StatsView

# Connections to PostgreSQL: the rooms of api/limits/slots.py without READS take 19 of them at most.
# The rest is for reads, for finding out who calls, and for recipients.
CONNECTIONS = 24
# for a row or a name that another request has locked
LOCK_TIMEOUT = timedelta(seconds=10)
_DASHBOARD = Path(__file__).with_name("dashboard")
_API = (
    routes,
    figures,
    doubts,
    schedules,
    ab_tests,
    preview,
    starting,
    audience,
    trial_sends,
    live,
    templates,
    segments,
    segment_members,
    contact_imports,  # before contacts: `/contacts/import` is no id
    contacts,
    suppression_imports,  # before suppressions, likewise
    suppressions,
    limits,
    api_keys,
    webhook_settings,
    sender_domains,
    delivery_routes,
    audit,
)


def create_app(settings: Settings) -> FastAPI:
    """The application; PostgreSQL and Kafka are waited for, not required, while it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _services(settings) as app.state.services:
            yield

    app = FastAPI(
        title="Campaigns",
        version=version("campaigns"),
        summary="Exactly one message per recipient.",
        lifespan=lifespan,
        generate_unique_id_function=openapi.operation_id,
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(ForNobodyYet)
    app.add_middleware(KnownMethods, routes=app.router.routes)
    app.add_middleware(QuotaHeaders)
    imports = ("/api/v1/contacts/import", "/api/v1/suppressions/import")
    app.add_middleware(BodyLimit, larger=dict.fromkeys(imports, settings.import_max_bytes))
    problems.install(app)
    conditions.install(app)
    # the caller first: what a key may not see is 401 before it is 412
    rules = [Depends(counted), Depends(conditions.unconditional)]
    for module in _API:
        app.include_router(module.router, prefix="/api/v1", dependencies=rules)
    app.include_router(session.router, dependencies=rules[1:])
    app.include_router(page.router)
    app.include_router(health.router)
    app.router.routes.extend(reference.routes)
    app.router.routes.extend(Tracking(settings).routes())
    app.router.routes.extend(Webhooks(settings).routes())
    app.mount("/dashboard", StaticFiles(directory=_DASHBOARD), name="dashboard")
    app.openapi = openapi.documented(app)  # type: ignore[method-assign]
    _complete_headers(app, settings)
    return app


def _complete_headers(app: FastAPI, settings: Settings) -> None:
    """Puts the headers of every answer around the whole application. A middleware that is added
    stands inside of the one that answers a bug.
    """
    build = app.build_middleware_stack

    def built() -> ASGIApp:
        return AnswerHeaders(build(), is_https=is_https(settings))

    app.build_middleware_stack = built  # type: ignore[method-assign]


@asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[Services]:
    sources, tokens = Sources(settings), Tokens.of(settings)
    async with (
        Database(
            settings,
            "campaigns-api",
            max_size=CONNECTIONS,
            lock_timeout=LOCK_TIMEOUT,
            by_tenant=True,
        ) as database,
        StatsView(settings) as stats,
        SendingView(settings) as sending,
        Rates(stats, sending) as rates,
        Reports(settings) as reports,
        SettingsWatch(None, settings),
    ):
        yield Services(
            settings=settings,
            database=database,
            sources=sources,
            stats=stats,
            sending=sending,
            rates=rates,
            reports=reports,
            rate_limit=RateLimit(settings.api_rate_limit, settings.api_tenant_rate_limit),
            tokens=tokens,
        )
        await sources.close()
        if tokens:
            await tokens.close()
