"""The API process: `python -m api.server`."""

from __future__ import annotations

import logging
import os
import resource
import sys

import uvicorn
from starlette.types import ASGIApp

from api import closed
from api.app import create_app
from api.limits.connections import limited
from streams.metrics import serve
from streams.process.start import start
from streams.settings import Settings
from tables.database import probe
from tables.installation import installation, rounds

_OTHER_FILES = 200  # connections to PostgreSQL and Kafka, files that are served
_log = logging.getLogger(__name__)


def main() -> None:
    """Serve until SIGTERM. While PostgreSQL and Kafka do not fit, only what `api.closed` does."""
    settings = start("api", probe.refusal, installation.refusal)
    serve(settings.metrics_port)
    _allow_files(settings.api_connections + _OTHER_FILES)
    if sentence := rounds.refusal(settings):
        _log.critical("api takes nothing: %s", sentence)
        _wait(settings)
        os.execv(sys.executable, [sys.executable, "-m", "api.server"])  # all is looked at again
    uvicorn.Server(_config(settings, create_app(settings))).run()


def _wait(settings: Settings) -> None:
    """Return when PostgreSQL and Kafka fit. SIGTERM ends the process."""

    def reopen() -> None:
        server.should_exit = True

    server = uvicorn.Server(_config(settings, closed.create_app(settings, rounds.refusal, reopen)))
    server.run()


def _config(settings: Settings, app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        http=limited(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        # else every local process could claim any address; see CAMPAIGNS_TRUSTED_PROXIES
        proxy_headers=False,
        timeout_graceful_shutdown=3,  # open event streams never end by themselves
    )


def _allow_files(wanted: int) -> None:
    """Raises the soft limit of open files, often 1,024, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


if __name__ == "__main__":
    main()
