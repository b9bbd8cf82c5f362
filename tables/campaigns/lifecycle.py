"""The lifecycle: which verb leads from which status to which. Pure and total."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic.alias_generators import to_camel

from streams.contracts.commands import Verb
from streams.contracts.fields import ACTIVE, Status
from streams.errors import IllegalTransitionError

# What an update may change, by status; the rest of the fields is fixed once recipients depend on
# it.
_ALWAYS = frozenset({"name", "description"})
_EDITABLE: Mapping[Status, frozenset[str]] = {
    **dict.fromkeys(ACTIVE, _ALWAYS | {"throttle_config"}),
    Status.COMPLETED: _ALWAYS,
    Status.CANCELLED: _ALWAYS,
}

_MOVES: Mapping[Verb, tuple[frozenset[Status], Status]] = {
    Verb.SCHEDULE: (frozenset({Status.DRAFT, Status.SCHEDULED}), Status.SCHEDULED),
    Verb.START: (frozenset({Status.DRAFT, Status.SCHEDULED}), Status.RUNNING),
    Verb.PAUSE: (frozenset({Status.RUNNING}), Status.PAUSED),
    Verb.RESUME: (frozenset({Status.PAUSED}), Status.RUNNING),
    Verb.CANCEL: (frozenset({Status.SCHEDULED, *ACTIVE}), Status.CANCELLED),
}
# Verbs that leave the status as it is.
_STAYS: Mapping[Verb, frozenset[Status]] = {
    Verb.TRIGGER: frozenset({Status.RUNNING}),
    Verb.AB_TEST: frozenset({Status.DRAFT, Status.SCHEDULED}),
    Verb.WINNER: frozenset({*ACTIVE, Status.COMPLETED}),
}
_DELETABLE = frozenset({Status.DRAFT, Status.SCHEDULED, Status.COMPLETED, Status.CANCELLED})


def transition(status: Status | None, verb: Verb) -> Status:
    """The status after `verb`; None stands for a campaign that does not exist yet. A scheduled
    campaign that is deleted is cancelled first.

    Raises IllegalTransitionError, which names both states.
    """
    if verb is Verb.CREATE:
        if status is None:
            return Status.DRAFT
        raise IllegalTransitionError(f"The campaign exists already: it is {status}.")
    if status is None:
        raise IllegalTransitionError(f"The campaign does not exist: {verb} needs one.")
    if verb is Verb.UPDATE:
        return status
    if verb is Verb.DELETE:
        if status in _DELETABLE:
            return Status.CANCELLED if status is Status.SCHEDULED else status
        raise IllegalTransitionError(
            f"The campaign is {status} and cannot be deleted: cancel it first. {_needs(_DELETABLE)}"
        )
    if verb in _STAYS:
        if status in _STAYS[verb]:
            return status
        raise IllegalTransitionError(
            f"The campaign is {status}, which does not allow {verb}. {_needs(_STAYS[verb])}"
        )
    sources, target = _MOVES[verb]
    if status in sources:
        return target
    hint = (
        " A draft is deleted, not cancelled."
        if (status, verb) == (Status.DRAFT, Verb.CANCEL)
        else ""
    )
    raise IllegalTransitionError(
        f"The campaign is {status} and cannot become {target} by {verb}. {_needs(sources)}{hint}"
    )


def check_editable(status: Status, fields: frozenset[str]) -> None:
    """Raises IllegalTransitionError when an update may not change one of these columns in this
    status.
    """
    if fixed := fields - _EDITABLE.get(status, fields):
        wanted, allowed = (
            ", ".join(sorted(map(to_camel, names))) for names in (fixed, _EDITABLE[status])
        )
        open_in = frozenset(other for other in Status if fixed <= _EDITABLE.get(other, fixed))
        raise IllegalTransitionError(
            f"The campaign is {status}: {wanted} can no longer be changed, only {allowed}."
            f" For {wanted} {_needs(open_in).lower()}"
        )


def _needs(sources: frozenset[Status]) -> str:
    return f"It must be {' or '.join(status for status in Status if status in sources)}."
