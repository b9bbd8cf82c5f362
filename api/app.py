"""The FastAPI application: what it holds while it runs, and every router in one place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api import campaigns, health, live, openapi, problems, session, tracking
from api.limits import BodyLimit
from api.rates import Rates
from api.reports import Reports
from streams.settings import Settings
from tables.sql.database import connect
from tables.views import SendingView, StatsView

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
            app.state.settings, app.state.pool = settings, pool
            app.state.stats, app.state.sending, app.state.rates, app.state.reports = stats, sending, rates, reports
            yield
        pool.terminate()

    app = FastAPI(
        title="Campaigns",
        version=version("campaigns"),
        summary="Exactly one message per recipient.",
        lifespan=lifespan,
        generate_unique_id_function=openapi.operation_id,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit)
    problems.install(app)
    app.include_router(campaigns.router, prefix="/api/v1")
    app.include_router(live.router, prefix="/api/v1")
    app.include_router(session.router)
    app.include_router(health.router)
    app.router.routes.extend(tracking.routes)
    app.mount("/dashboard", StaticFiles(directory=_DASHBOARD), name="dashboard")
    app.openapi = openapi.documented(app)  # type: ignore[method-assign]
    return app
