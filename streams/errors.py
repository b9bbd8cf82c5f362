"""One family of errors. The docstring of a class is the sentence that an operator reads; its fate
is the treatment of the input.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Fate(Enum):
    """The treatment of the input that met the error."""

    REJECT = "reject"  # answer the caller with problem details; nothing changed
    DEAD_LETTER = "dead-letter"  # keep the bytes with the reason; the stream goes on
    RETRY = "retry"  # a dependency is down: try again in place, with back-off
    STOP = "stop"  # a bug or a lost invariant: end the process, the supervisor restarts it


class FieldError:
    """One wrong field: where, and the rule with its limit."""

    __slots__ = ("field", "message")

    def __init__(self, field: str, message: str) -> None:
        self.field, self.message = field, message


class CampaignError(Exception):
    """Something about a campaign request cannot be done."""

    fate: ClassVar[Fate] = Fate.REJECT
    status: ClassVar[int] = 422
    code: ClassVar[str] = "rule-broken"
    title: ClassVar[str] = "A rule is broken"

    def __init__(self, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.detail, self.errors = detail, errors


def broken(*errors: FieldError) -> CampaignError:
    """One refusal that lists every broken rule."""
    return CampaignError(
        "; ".join(f"{error.field}: {error.message}" for error in errors), errors=errors
    )


class NotFoundError(CampaignError):
    """There is no such thing in this tenant."""

    status, code, title = 404, "not-found", "Not found"


class IllegalTransitionError(CampaignError):
    """The campaign's status does not allow this; both states are named."""

    status, code, title = 409, "illegal-transition", "The campaign's status does not allow this"


class ConflictError(CampaignError):
    """Another change came first, or a limit of running campaigns is reached."""

    status, code, title = 409, "conflict", "Conflict"


class PreconditionFailedError(CampaignError):
    """If-Match names another version, or there is no version to compare with."""

    status, code, title = 412, "precondition-failed", "A condition does not hold"


def stale(current: str | None, why: str) -> PreconditionFailedError:
    """A refusal that says what the current ETag is; None when there is nothing yet."""
    if current is None:
        return PreconditionFailedError(f"There is nothing here yet, and {why}")
    return PreconditionFailedError(
        f"The current ETag is {current}, and {why}", errors=(FieldError("ETag", current),)
    )


class MalformedError(CampaignError):
    """The input cannot be parsed."""

    status, code, title = 400, "malformed", "Malformed request"


class UnauthorizedError(CampaignError):
    """The API key is missing, unknown, expired or revoked."""

    status, code, title = 401, "unauthorized", "Not authenticated"


class ForbiddenError(CampaignError):
    """The key's role does not allow this."""

    status, code, title = 403, "forbidden", "The role does not allow this"


class TenantSuspendedError(CampaignError):
    """The tenant is suspended: nothing of it can be read, changed or started."""

    status, code, title = 403, "tenant-suspended", "The tenant is suspended"

    def __init__(
        self,
        detail: str = "The tenant is suspended: its keys are refused and its campaigns wait."
        " Whoever runs this installation can resume it.",
        *,
        errors: tuple[FieldError, ...] = (),
    ) -> None:
        super().__init__(detail, errors=errors)


class RateLimitedError(CampaignError):
    """The caller has made as many requests as a minute allows."""

    status, code, title = 429, "rate-limited", "Too many requests"

    def __init__(
        self, detail: str, *, errors: tuple[FieldError, ...] = (), retry_after: int = 60
    ) -> None:
        """`retry_after`: seconds until a request may succeed."""
        super().__init__(detail, errors=errors)
        self.retry_after = retry_after


class BusyError(CampaignError):
    """Too much is under way here; a caller that sends by itself, such as a provider, repeats it."""

    status, code, title = 503, "busy", "Too much is under way"


class DependencyDownError(CampaignError):
    """PostgreSQL, Kafka or NATS does not answer."""

    fate, status, code, title = Fate.RETRY, 503, "dependency-down", "A dependency is down"
