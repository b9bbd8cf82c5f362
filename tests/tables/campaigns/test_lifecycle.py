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


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(
    ("field", "editable_in"),
    [
        ("name", set(Status)),
        ("description", set(Status)),
        ("throttle_config", {S.DRAFT, S.SCHEDULED, S.RUNNING, S.PAUSED}),
        ("template_id", {S.DRAFT, S.SCHEDULED}),
        ("ab_test_config", {S.DRAFT, S.SCHEDULED}),
    ],
)
def test_each_field_can_be_changed_in_the_statuses_of_the_rules(
    status: Status, field: str, editable_in: set[Status]
) -> None:
    if status in editable_in:
        check_editable(status, frozenset({field}))
    else:
        with pytest.raises(IllegalTransitionError):
            check_editable(status, frozenset({field}))


@pytest.mark.parametrize(
    ("status", "fields", "sentence"),
    [
        (
            S.PAUSED,
            {"template_id", "segment_ids", "name"},
            "The campaign is paused: segmentIds, templateId can no longer be changed, "
            "only description, name, throttleConfig. "
            "For segmentIds, templateId it must be draft or scheduled.",
        ),
        (
            S.CANCELLED,
            {"throttle_config"},
            "The campaign is cancelled: throttleConfig can no longer be changed, "
            "only description, name. "
            "For throttleConfig it must be draft or scheduled or running or paused.",
        ),
    ],
)
def test_a_refused_change_says_what_is_fixed_what_is_not_and_when_it_was_open(
    status: Status, fields: set[str], sentence: str
) -> None:
    with pytest.raises(IllegalTransitionError) as refused:
        check_editable(status, frozenset(fields))
    assert refused.value.detail == sentence


@pytest.mark.parametrize(
    ("status", "verb", "sentence"),
    [
        (
            S.DRAFT,
            V.CANCEL,
            "The campaign is draft and cannot become cancelled by cancel. "
            "It must be scheduled or running or paused. A draft is deleted, not cancelled.",
        ),
        (
            S.COMPLETED,
            V.CANCEL,
            "The campaign is completed and cannot become cancelled by cancel. "
            "It must be scheduled or running or paused.",
        ),
        (
            S.DRAFT,
            V.PAUSE,
            "The campaign is draft and cannot become paused by pause. It must be running.",
        ),
        (
            S.PAUSED,
            V.DELETE,
            "The campaign is paused and cannot be deleted: cancel it first. "
            "It must be draft or scheduled or completed or cancelled.",
        ),
        (
            S.DRAFT,
            V.WINNER,
            "The campaign is draft, which does not allow ab-test.declare-winner. "
            "It must be running or paused or completed.",
        ),
        (None, V.START, "The campaign does not exist: start needs one."),
        (S.RUNNING, V.CREATE, "The campaign exists already: it is running."),
    ],
)
def test_a_refusal_says_which_statuses_would_do(
    status: Status | None, verb: Verb, sentence: str
) -> None:
    with pytest.raises(IllegalTransitionError) as refused:
        transition(status, verb)
    assert refused.value.detail == sentence
