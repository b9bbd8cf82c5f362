"""The last run of each background job."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tables.models.declarative import Base


class JobRun(Base):
    """The last run of one job, replaced by its next run."""

    __tablename__ = "job_runs"
    __table_args__ = (
        CheckConstraint("outcome IN ('running', 'done', 'failed')", name="job_runs_outcome_check"),
    )

    job: Mapped[str] = mapped_column(String(60), primary_key=True)
    #: The run that may finish it.
    run_id: Mapped[UUID]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(String(10))
    #: What the run did, by kind.
    counts: Mapped[dict[str, int]] = mapped_column(server_default=text("'{}'"))
    #: The class of what it raised, without the text.
    error: Mapped[str | None] = mapped_column(String(200))
    #: When the last turn that succeeded began; a run ahead of its turn is none.
    turn_at: Mapped[datetime | None]
    succeeded_at: Mapped[datetime | None]
    #: In a row.
    failures: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[datetime | None]
