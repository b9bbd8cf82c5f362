"""A job that does nothing but note when it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from agents.jobs.job import Job, JobContext


@dataclass
class Fake:
    """A job that takes a while and notes when it runs; it raises while `is_broken`."""

    is_broken: bool = False
    due_at: datetime | None = None
    is_due_broken: bool = False
    runs: list[bool] = field(default_factory=list)  # whether it was early
    at_once: int = 0
    most_at_once: int = 0

    async def run(self, context: JobContext) -> Mapping[str, int]:
        assert context.stats.ready.is_set()
        self.runs.append(context.is_early)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.05)
        self.at_once -= 1
        if self.is_broken:
            raise RuntimeError("no")
        return {"runs": len(self.runs)}

    async def due(self, connection: Any) -> datetime | None:
        if self.is_due_broken:
            await connection.execute("SELECT 1/0")
        return self.due_at

    def job(self, every: timedelta = timedelta(hours=1)) -> Job:
        return Job(lambda _: every, self.run, self.due)
