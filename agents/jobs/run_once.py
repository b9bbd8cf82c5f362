"""The command that runs one background job now, in the foreground: `python -m agents.jobs.run_once
NAME [--json]`.

It takes no lock: jobs are safe to run twice at once, so a worker that runs the same job at the same
time is no reason to wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from agents.jobs.job import JobContext
from agents.jobs.jobs import JOBS
from agents.jobs.turns import RunEnd, carry_out
from streams.process.start import start
from streams.settings import Settings
from tables.database import job_runs, probe
from tables.database.connection import Database
from tables.installation import installation, rounds
from tables.stats.views import StatsView


async def run(name: str, settings: Settings) -> RunEnd:
    """Run the job. Waits for PostgreSQL, and for Kafka until the live stats have been read."""
    database = Database(settings, "campaigns-job", max_size=4)
    try:
        async with StatsView(settings) as stats:
            await stats.ready.wait()
            now, _ = await database.until_up(job_runs.last_runs)
            return await carry_out(name, JOBS[name], JobContext(database, settings, stats, now))
    finally:
        await database.close()


def main() -> None:
    """Exit code 0, or 1 when the job failed; its log, on stderr, says why."""
    parser = argparse.ArgumentParser(
        prog="python -m agents.jobs.run_once", description=main.__doc__
    )
    parser.add_argument("name", choices=sorted(JOBS))
    parser.add_argument("--json", action="store_true")
    arguments, settings = (
        parser.parse_args(),
        start("job", probe.refusal, installation.refusal, rounds.refusal),
    )
    carried = asyncio.run(run(arguments.name, settings))
    print(_as_json(carried) if arguments.json else _sentence(carried))  # noqa: T201  # the result
    sys.exit(1 if carried.error else 0)


def _as_json(carried: RunEnd) -> str:
    outcome = "failed" if carried.error else "done"
    seconds = round(carried.took.total_seconds(), 3)
    return json.dumps(
        {
            "job": carried.job,
            "outcome": outcome,
            "seconds": seconds,
            "counts": dict(carried.counts),
            "error": carried.error,
        }
    )


def _sentence(carried: RunEnd) -> str:
    if carried.error:
        return f"{carried.job} failed: {carried.error}"
    did = ", ".join(f"{count:,} {name}" for name, count in carried.counts.items()) or "nothing"
    return f"{carried.job}: {did} in {carried.took.total_seconds():.1f} s"


if __name__ == "__main__":
    main()
