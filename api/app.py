"""The FastAPI application: what it holds while it runs, and every router in one place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api import health
from api.campaigns import ab_tests, audience, live, preview, routes, schedules, trial_sends
from api.campaigns.rates import Rates
from api.directory import routers
from api.documents import openapi, reference
from api.http import problems
from api.http.allowed_methods import KnownMethods
from api.http.bearer_tokens import Tokens
from api.http.limits import BodyLimit, QuotaHeaders, RateLimit
from api.recipients import tracking, webhooks
from api.recipients.reports import Reports
from api.tenant import session, webhook_settings
from connectors.sources.sources import Sources
from streams.settings import Settings
from tables.database.connection import connect
from tables.stats.views import SendingView, StatsView

_DASHBOARD = Path(__file__).with_name("dashboard")


def create_app(settings: Settings) -> FastAPI:
    """The application; PostgreSQL and Kafka are waited for, not required, while it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        pool = await connect(settings, min_size=0, max_size=10, application_name="campaigns-api")
        async with (
            StatsView(settings) as stats,
            SendingView(settings) as sending,
            Rates(stats, sending) as rates,
            Reports(settings) as reports,
        ):
            app.state.tracking = tracking.Tracking(settings, pool, reports)
            app.state.webhooks = webhooks.Webhooks(settings, pool, reports)
            app.state.settings, app.state.pool, app.state.sources = (
                settings,
                pool,
                Sources(settings),
            )
            app.state.stats, app.state.sending, app.state.rates, app.state.reports = (
                stats,
                sending,
                rates,
                reports,
            )
            yield
            await app.state.sources.close()
            if app.state.tokens:
                await app.state.tokens.close()
        await pool.close()

    app = FastAPI(
        title="Campaigns",
        version=version("campaigns"),
        summary="Exactly one message per recipient.",
        lifespan=lifespan,
        generate_unique_id_function=openapi.operation_id,
        docs_url=None,
        redoc_url=None,
    )
    app.state.rate_limit, app.state.tokens = RateLimit(settings.api_rate_limit), Tokens.of(settings)
    app.state.counting = asyncio.Semaphore(
        2
    )  # audiences at once: each takes a second of PostgreSQL and up to 512 MB there
    app.add_middleware(KnownMethods, routes=app.router.routes)
    app.add_middleware(QuotaHeaders)
    app.add_middleware(BodyLimit, larger={"/api/v1/contacts/import": settings.import_max_bytes})
    problems.install(app)
    app.include_router(routes.router, prefix="/api/v1")
    app.include_router(schedules.router, prefix="/api/v1")
    app.include_router(ab_tests.router, prefix="/api/v1")
    for router in (preview.router, audience.router, trial_sends.router):
        app.include_router(router, prefix="/api/v1")
    app.include_router(live.router, prefix="/api/v1")
    app.include_router(routers.router, prefix="/api/v1")
    app.include_router(webhook_settings.router, prefix="/api/v1")
    app.include_router(session.router)
    app.include_router(health.router)
    app.router.routes.extend((*reference.routes, *tracking.routes, *webhooks.routes))
    app.mount("/dashboard", StaticFiles(directory=_DASHBOARD), name="dashboard")
    app.openapi = openapi.documented(app)  # type: ignore[method-assign]
    return app
