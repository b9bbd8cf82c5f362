"""Of every documented sample every member is left out, set to null and to another type: null is
absence, and what a reader does not need never loses an event.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.webhooks.delivery import Read
from streams.records.reported_events import SAYING_NO
from tests.connectors.webhooks.reported_as import ID, NOW
from tests.connectors.webhooks.samples import SAMPLES, Sample

Path = tuple[str | int, ...]
_OTHER_TYPES = [0, 1.5, True, "\0", [], {}, [[]], "Ω" * 50]


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict | list):
        named = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in named:
            yield (*path, name)
            yield from _paths(inner, (*path, name))


def _changed(document: Any, path: Path, value: Any = None, *, is_left_out: bool = False) -> Any:
    made = copy.deepcopy(document)
    place = made
    for name in path[:-1]:
        place = place[name]
    if is_left_out:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def _outcome(found: Read) -> object:
    """What a webhook comes to. Elements that are null count as unusable, missing ones cannot."""
    return (
        [(one.type, one.message_id, one.timestamp, one.details) for one in found.reported],
        [(s.channel, s.address, s.at, s.identity, s.wish, s.is_reply) for s in found.said],
        [(one.message_id, one.at) for one in found.resumed],
        [one.code for one in found.unheard],
        found.ignored,
    )


def _no(found: Read) -> list[str]:
    """Everything in it that says no."""
    reported = [one.type for one in found.reported if one.type in SAYING_NO]
    return reported + [said.wish.name for said in found.said if said.wish is not None]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_null_is_absent_in_every_member_of_every_documented_sample(sample: Sample) -> None:
    for path in _paths(sample.document):
        if path[0] == "entry" and len(path) == 1:
            continue  # without it the body is none of WhatsApp's
        null = sample.read(_changed(sample.document, path), NOW)
        absent = sample.read(_changed(sample.document, path, is_left_out=True), NOW)
        assert _outcome(null) == _outcome(absent), path


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_only_kind_and_message_id_are_needed(sample: Sample) -> None:
    whole = sample.read(sample.document, NOW)
    kept = {one.message_id for one in whole.reported}
    assert kept <= {ID} and (kept or whole.said)
    for path in _paths(sample.document):
        if any(one[: len(path)] == path for one in sample.needed):
            continue
        values = [None, *_OTHER_TYPES]
        others = [_changed(sample.document, path, value) for value in values]
        for other in [*others, _changed(sample.document, path, is_left_out=True)]:
            found = sample.read(other, NOW)
            assert {one.message_id for one in found.reported} == kept, path
            assert len(found.said) >= bool(whole.said), path
            if not _decides(path):
                assert _no(found)[:1] == _no(whole)[:1], path


def _decides(path: Path) -> bool:
    """Whether this member says what an event means."""
    deciding = {
        "complaintFeedbackType",
        "complaintSubType",
        "newTopicPreferences",
        "unsubscribeAll",
        "errors",
        "code",
    }
    return any(name in deciding for name in path)
