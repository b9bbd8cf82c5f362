"""One job as a process that a test can kill: `python -m tests.agents.processes.job_process
scheduler|recurring [INSTANT]`, at an instant of the test's or now. It prints what it did.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

from agents.jobs.recurring import RECURRING
from agents.jobs.scheduler import SCHEDULER
from streams.process import logs
from streams.settings import from_environment
from tests.agents.jobs.contexts import contexts

_JOBS = {"scheduler": SCHEDULER, "recurring": RECURRING}


async def _run(name: str, at: datetime | None = None) -> None:
    async with contexts(from_environment()) as make:
        print(dict(await _JOBS[name].run(make(at))))  # noqa: T201


if __name__ == "__main__":
    logs.configure(from_environment(), "jobs")
    asyncio.run(_run(sys.argv[1], *map(datetime.fromisoformat, sys.argv[2:])))
