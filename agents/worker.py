"""The entry point of every worker: `python -m agents.worker ROLE`."""

from __future__ import annotations

import argparse
import logging
import os

from agents.topology import ROLES, build
from streams.metrics import serve
from streams.process.app import run
from streams.process.start import start
from tables.database import probe
from tables.installation import installation, rounds


def main() -> None:
    """Run one role until SIGTERM (exit code 0) or until something ends it (70)."""
    parser = argparse.ArgumentParser(prog="python -m agents.worker", description=main.__doc__)
    parser.add_argument("role", choices=sorted(ROLES))
    role = parser.parse_args().role
    os.nice(ROLES[role].niceness)
    settings = start(role, probe.refusal, installation.refusal, rounds.refusal)
    if role == "control" and (warning := settings.shortened()):
        logging.getLogger(__name__).warning(warning)
    serve(settings.metrics_port)
    app, services = build(role, settings)
    run(app, *services, loglevel=settings.log_level)


if __name__ == "__main__":
    main()
