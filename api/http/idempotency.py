"""`Idempotency-Key` for what is created: a repeat within 24 hours gets the first answer and makes
nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fastapi import Request

from streams.errors import CampaignError, RateLimitedError
from tables.commands import answers
from tables.commands.answers import Answer, Identity, Refusal
from tables.database.connection import Connection
from tables.database.failures import translated


async def first_answer(
    request: Request,
    tenant: str,
    key: str | None,
    content: Mapping[str, Any],
    work: Callable[[Connection], Awaitable[dict[str, Any]]],
    secret: str = "",
) -> dict[str, Any]:
    """What `work` answers, or answered the first time; without a key it is just done. One
    transaction, nothing of a refusal stays.

    `content` tells a repeat from another request under the same key, which raises ConflictError.
    The member named `secret` is not kept, so a repeat does not have it. Raises the refusal, the
    first one again for a repeat.
    """
    with translated():
        async with request.app.state.pool.acquire() as connection, connection.transaction():
            if key is None:
                return await work(connection)
            answer = await _remembered(
                connection, Identity(tenant, "rest", key, dict(content)), work, secret
            )
    return answer.result() or {}


async def _remembered(
    connection: Connection,
    identity: Identity,
    work: Callable[[Connection], Awaitable[dict[str, Any]]],
    secret: str,
) -> Answer:
    at = datetime.now(UTC)
    if (known := await answers.recall(connection, identity, at)) is not None:
        return known
    try:
        async with connection.transaction():
            answer = Answer(201, campaign=await work(connection))
    except RateLimitedError:
        raise  # who comes again when there is room is to be let in
    except CampaignError as error:
        answer = Answer(error.status, refusal=Refusal.of(error))
    kept = {name: value for name, value in (answer.campaign or {}).items() if name != secret}
    await answers.remember(connection, identity, replace(answer, campaign=kept or None), at)
    return answer
