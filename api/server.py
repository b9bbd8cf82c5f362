"""The API process: `python -m api.server`."""

from __future__ import annotations

import resource

import uvicorn

from api.app import create_app
from api.limits.connections import limited
from streams.metrics import serve
from streams.process.start import start
from tables.database import probe
from tables.installation import installation, rounds

_OTHER_FILES = 200  # connections to PostgreSQL and Kafka, files that are served


def main() -> None:
    """Serve until SIGTERM."""
    settings = start("api", probe.refusal, installation.refusal, rounds.refusal)
    serve(settings.metrics_port)
    _allow_files(settings.api_connections + _OTHER_FILES)
    config = uvicorn.Config(
        create_app(settings),
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
    uvicorn.Server(config).run()


def _allow_files(wanted: int) -> None:
    """Raises the soft limit of open files, often 1,024, as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and allowed > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


if __name__ == "__main__":
    main()
