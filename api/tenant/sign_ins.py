"""Signing in without a credential that is good: an address may do so a few times a minute."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request

from api.http.dependencies import Provided
from api.limits.addresses import subscriber_of
from streams.errors import UnauthorizedError


async def few_failures(request: Request, services: Provided) -> AsyncIterator[None]:
    """A dependency of what signs in. Raises RateLimitedError for an address with too many
    failures.
    """
    address = subscriber_of(request, services.settings)
    services.sign_ins.check(address)
    try:
        yield
    except UnauthorizedError:
        services.sign_ins.count(address)
        raise
