"""The API process: `python -m api.server`."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from streams.metrics import serve
from streams.process.start import start
from tables.database import installation, probe


def main() -> None:
    """Serve until SIGTERM."""
    settings = start("api", probe.refusal, installation.refusal)
    serve(settings.metrics_port)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        server_header=False,
        # else every local process could claim any address; see CAMPAIGNS_TRUSTED_PROXIES
        proxy_headers=False,
        timeout_graceful_shutdown=3,  # open event streams never end by themselves
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
