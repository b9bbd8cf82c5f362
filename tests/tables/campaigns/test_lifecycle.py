"""The lifecycle is one total function, and it is the table of the rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.commands import Verb
from streams.contracts.fields import Status
from streams.errors import IllegalTransitionError
from tables.campaigns.lifecycle import check_editable, transition

S, V = Status, Verb
# design: rules.md, "Lifecycle"; everything that is not here is refused
TABLE: dict[tuple[Status | None, Verb], Status] = {
    (None, V.CREATE): S.DRAFT,
    (S.DRAFT, V.SCHEDULE): S.SCHEDULED,
    (S.SCHEDULED, V.SCHEDULE): S.SCHEDULED,
    (S.DRAFT, V.START): S.RUNNING,
    (S.SCHEDULED, V.START): S.RUNNING,
    (S.RUNNING, V.PAUSE): S.PAUSED,
    (S.PAUSED, V.RESUME): S.RUNNING,
    (S.SCHEDULED, V.CANCEL): S.CANCELLED,
    (S.RUNNING, V.CANCEL): S.CANCELLED,
    (S.PAUSED, V.CANCEL): S.CANCELLED,
    (S.DRAFT, V.DELETE): S.DRAFT,
    (S.SCHEDULED, V.DELETE): S.CANCELLED,
    (S.COMPLETED, V.DELETE): S.COMPLETED,
    (S.CANCELLED, V.DELETE): S.CANCELLED,
    (S.RUNNING, V.TRIGGER): S.RUNNING,
    **{(status, V.UPDATE): status for status in S},
    **{(status, V.AB_TEST): status for status in (S.DRAFT, S.SCHEDULED)},
    **{(status, V.WINNER): status for status in (S.RUNNING, S.PAUSED, S.COMPLETED)},
}


@pytest.mark.parametrize("status", [None, *Status])
@pytest.mark.parametrize("verb", list(Verb))
def test_every_pair_of_status_and_verb_follows_the_table(status: Status | None, verb: Verb) -> None:
    if (expected := TABLE.get((status, verb))) is not None:
        assert transition(status, verb) is expected
        return
    with pytest.raises(IllegalTransitionError) as refused:
        transition(status, verb)
    if status is not None:
        assert status in refused.value.detail


@given(st.lists(st.sampled_from(list(Verb)), max_size=30))
def test_no_sequence_of_verbs_leaves_an_end_state(verbs: list[Verb]) -> None:
    status: Status | None = None
    for verb in verbs:
        before = status
        try:
            status = transition(status, verb)
        except IllegalTransitionError:
            continue
        if before is Status.CANCELLED:
            assert status is Status.CANCELLED
        assert status is not Status.COMPLETED  # only the engine completes a campaign


@given(st.sampled_from(list(Verb)))
def test_a_refusal_names_both_states(verb: Verb) -> None:
    if verb in (V.SCHEDULE, V.START, V.PAUSE, V.RESUME, V.CANCEL):
        with pytest.raises(
            IllegalTransitionError,
            match=r"completed and cannot become (scheduled|running|paused|cancelled)",
        ):
            transition(Status.COMPLETED, verb)


def test_a_running_campaign_may_change_its_name_description_and_throttle_only() -> None:
    check_editable(Status.RUNNING, frozenset({"name", "description", "throttle_config"}))
    check_editable(Status.DRAFT, frozenset({"channel", "template_id", "settings"}))
    with pytest.raises(IllegalTransitionError, match="running: templateId can no longer"):
        check_editable(Status.RUNNING, frozenset({"name", "template_id"}))
    with pytest.raises(IllegalTransitionError, match="completed"):
        check_editable(Status.COMPLETED, frozenset({"throttle_config"}))
