"""The background jobs alone in a process, to be killed or frozen by a test:
`python -m tests.agents.processes.jobs_process NAME`."""

from __future__ import annotations

import sys

from agents.jobs.jobs import Jobs
from streams.process import logs
from streams.process.app import run
from streams.settings import from_environment


def main() -> None:
    settings = from_environment()
    logs.configure(settings, sys.argv[1])
    run(None, Jobs(None, settings))


if __name__ == "__main__":
    main()
