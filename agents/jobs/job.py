"""The types of a background job and its context. The table of jobs and the service that runs them
are in `agents.jobs.jobs`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.settings import Settings
from tables.database.connection import Database, Session
from tables.stats.views import StatsView


@dataclass(frozen=True)
class JobContext:
    """The context of one run. `at` is its time; `stats` has been read (`ready`) before a job runs.

    `is_early`: the run was asked for by `Job.due`, not by the job's turn or a person.
    """

    database: Database
    settings: Settings
    stats: StatsView
    at: datetime
    is_early: bool = False


@dataclass(frozen=True)
class Job:
    """`run` does the due work and returns counts of it, such as {"started": 3}; two runs at once do
    nothing twice.

    It runs every `every`, and earlier at the instant that `due` returns (None: nothing is due
    before).
    """

    every: Callable[[Settings], timedelta]
    run: Callable[[JobContext], Awaitable[Mapping[str, int]]]
    due: Callable[[Session], Awaitable[datetime | None]] | None = None
