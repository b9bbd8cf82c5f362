"""The loop of a job over its subjects, in which a bug that one of them trips over stops no
other.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import UUID

T = TypeVar("T")
_log = logging.getLogger(__name__)


async def for_each(
    subjects: Iterable[T],
    work: Callable[[T], Awaitable[None]],
    *,
    campaign_id: Callable[[T], UUID],
    failure: str,
) -> None:
    """Do the work for one subject after the other. Each exception is logged as `failure`, with the
    id of the subject's campaign; the last one is raised at the end, so that the run counts as
    failed.
    """
    bug: Exception | None = None
    for subject in subjects:
        try:
            await work(subject)
        except Exception as error:  # noqa: BLE001
            bug = error
            _log.exception(failure, extra={"campaignId": str(campaign_id(subject))})
    if bug is not None:
        raise bug
