"""Every command has its handler, for a campaign and for a series."""

from __future__ import annotations

from streams.contracts.commands import (
    COMMANDS,
    Cancel,
    Create,
    Pause,
    Resume,
    Schedule,
    Start,
    Trigger,
)
from tables.commands import series_verbs, verbs


def test_every_command_that_changes_a_campaign_has_a_handler() -> None:
    assert {*verbs.HANDLERS, Create, Trigger} == set(COMMANDS.values())


def test_a_series_has_handlers_of_its_own_for_what_acts_on_its_children() -> None:
    assert set(series_verbs.HANDLERS) == set(verbs.HANDLERS)
    own = {
        kind
        for kind, handler in series_verbs.HANDLERS.items()
        if handler is not verbs.HANDLERS[kind]
    }
    assert own == {Schedule, Start, Pause, Resume, Cancel}
