"""What becomes of a campaign when PostgreSQL or Kafka was restored: decided by what is known of it,
and never so that somebody could get a message twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.contracts.fields import CampaignType, Status
from tables.commands.reconciling import Finding, KafkaSide, Loss, Remedy, judge
from tables.models import Campaign
from tables.throttle.state import CampaignSending

AT = datetime(2026, 1, 28, 9, tzinfo=UTC)
ID = UUID("0198c0de-0000-7000-8000-000000000001")
POSTGRES, KAFKA = Loss(in_kafka=False, until=AT), Loss(in_kafka=True)
OPEN = CampaignSending(campaign_id=str(ID), is_open=True, total=10, ready=10, version=3)


def _campaign(status: Status, **more: Any) -> Campaign:
    columns = {
        "id": ID,
        "number": 7,
        "tenant_id": "acme",
        "type": CampaignType.ONE_TIME,
        "version": 3,
        "total_recipients": 10,
        "updated_at": AT - timedelta(hours=2),
        "sample_sent_at": None,
        **more,
    }
    return Campaign(status=status, **columns)


def _remedy(found: Finding | None) -> Remedy | None:
    return None if found is None else found.remedy


@pytest.mark.parametrize(
    ("status", "heard", "more", "wanted"),
    [
        (Status.RUNNING, KafkaSide(OPEN), {}, None),
        (Status.PAUSED, KafkaSide(OPEN), {}, Remedy.PAUSE),
        (Status.RUNNING, KafkaSide(OPEN), {"has_rows": False}, Remedy.CANCEL),
        (Status.RUNNING, None, {}, Remedy.CANCEL),
        (Status.RUNNING, KafkaSide(sent=6, skipped=3), {}, Remedy.CANCEL),
        (Status.RUNNING, KafkaSide(sent=6, skipped=4), {}, Remedy.COMPLETE),
        (Status.DRAFT, None, {}, None),
        (Status.DRAFT, KafkaSide(sent=1), {}, Remedy.CANCEL),
        (Status.SCHEDULED, None, {}, None),
        (Status.SCHEDULED, KafkaSide(OPEN), {}, Remedy.CANCEL),
        (Status.SCHEDULED, None, {"changed_at": AT - timedelta(hours=1)}, Remedy.UNSCHEDULE),
        (Status.SCHEDULED, None, {"changed_at": AT - timedelta(hours=2)}, None),
        (Status.COMPLETED, KafkaSide(sent=10), {}, None),
        (Status.CANCELLED, KafkaSide(OPEN), {}, None),
    ],
)
def test_a_campaign_of_a_restored_postgresql(
    status: Status, heard: KafkaSide | None, more: dict[str, Any], wanted: Remedy | None
) -> None:
    assert _remedy(judge(_campaign(status), heard, POSTGRES, **more)) is wanted


@pytest.mark.parametrize(
    ("sending", "columns", "wanted"),
    [
        ({"campaign_id": "another"}, {}, Remedy.CANCEL),
        ({"total": 11}, {}, Remedy.CANCEL),
        ({}, {"total_recipients": None}, Remedy.CANCEL),
        ({"is_paused": True}, {}, Remedy.PAUSE),
        ({"version": 4}, {}, Remedy.GO_ON),
        ({"limits_version": 4}, {}, Remedy.GO_ON),
        ({"is_sample_sent": True}, {}, Remedy.GO_ON),
        ({"is_sample_sent": True}, {"sample_sent_at": AT}, None),
        ({"is_endless": True, "total": 12}, {}, Remedy.PAUSE),
        ({"is_endless": True}, {}, None),
    ],
)
def test_a_campaign_that_is_being_sent(
    sending: dict[str, Any], columns: dict[str, Any], wanted: Remedy | None
) -> None:
    heard = KafkaSide(replace(OPEN, **sending))
    assert _remedy(judge(_campaign(Status.RUNNING, **columns), heard, POSTGRES)) is wanted


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (Status.DRAFT, None),
        (Status.SCHEDULED, None),
        (Status.RUNNING, Remedy.CANCEL),
        (Status.PAUSED, Remedy.CANCEL),
        (Status.COMPLETED, None),
        (Status.CANCELLED, None),
    ],
)
@pytest.mark.parametrize("heard", [None, KafkaSide(), KafkaSide(OPEN, 5)])
def test_a_campaign_when_kafka_was_restored(
    status: Status, heard: KafkaSide | None, wanted: Remedy | None
) -> None:
    assert _remedy(judge(_campaign(status), heard, KAFKA)) is wanted


@pytest.mark.parametrize(
    ("next_at", "lost", "wanted"),
    [
        (AT - timedelta(days=1), POSTGRES, Remedy.SKIP),
        (AT + timedelta(minutes=4), POSTGRES, Remedy.SKIP),
        (AT + timedelta(minutes=6), POSTGRES, None),
        (AT - timedelta(days=1), KAFKA, None),
        (None, POSTGRES, None),
    ],
)
def test_a_series_makes_no_child_of_the_lost_time_again(
    next_at: datetime | None, lost: Loss, wanted: Remedy | None
) -> None:
    series = {"type": CampaignType.RECURRING, "next_occurrence_at": next_at}
    assert _remedy(judge(_campaign(Status.RUNNING, **series), None, lost)) is wanted


_SENDING = st.none() | st.builds(
    CampaignSending,
    campaign_id=st.sampled_from([str(ID), "another"]),
    is_open=st.just(True),
    total=st.integers(0, 12),
    ready=st.integers(0, 12),
    is_paused=st.booleans(),
    is_endless=st.booleans(),
    version=st.integers(0, 5),
)


@given(
    st.sampled_from(list(Status)),
    st.none() | st.builds(KafkaSide, _SENDING, st.integers(0, 12), st.integers(0, 12)),
    st.booleans(),
    st.booleans(),
)
def test_whatever_may_be_sent_again_is_known_to_both(
    status: Status, heard: KafkaSide | None, in_kafka: bool, has_rows: bool
) -> None:
    """A campaign that is left alone or goes on is either not heard of and not started, over, or the
    throttle sends the very one with the recipients that are there.
    """
    lost = KAFKA if in_kafka else POSTGRES
    found = judge(_campaign(status), heard, lost, has_rows=has_rows)
    if _remedy(found) not in (None, Remedy.GO_ON):
        return
    if status in (Status.RUNNING, Status.PAUSED):
        assert not in_kafka and heard is not None and heard.sending is not None
        assert heard.sending.campaign_id == str(ID) and has_rows
        assert heard.sending.total == 10
    elif status in (Status.DRAFT, Status.SCHEDULED):
        assert in_kafka or heard is None
