"""The rows that the throttle's quota writes, read again from its state topic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from streams.exactly_once.tables import PartitionState, decode_entry
from streams.process.app import create_app
from streams.settings import Settings
from tables.stats.views import SendingView
from tables.throttle.quota import Quota, is_campaign_key, quota_key
from tables.throttle.state import TenantSending

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
SETTINGS = Settings(
    kafka="nowhere:1", postgres="", nats="", partitions=1, message_keys=(SecretStr("00" * 32),)
)


def test_a_campaigns_key_is_told_from_its_tenants() -> None:
    assert [is_campaign_key(key) for key in (quota_key("acme"), quota_key("acme", 7))] == [
        False,
        True,
    ]


@pytest.mark.parametrize("hour", [timedelta(hours=1), timedelta(seconds=7)])
def test_usage_is_what_the_throttle_has_counted(hour: timedelta) -> None:
    settings = SETTINGS.model_copy(update={"hour": hour, "day": 24 * hour})
    app = create_app("control", settings)
    quota, view = Quota(app, settings), SendingView(settings)
    state = PartitionState(0, app.tables.transactional, None)
    with state.current():
        for ago, sent in ((2 * hour, 400), (hour / 2, 30), (timedelta(0), 5)):
            quota.count(quota_key("acme"), sent, NOW - ago)
            quota.count(quota_key("acme", 7), sent, NOW - ago)
    for key, value in state.changes():
        assert decode_entry(key)[0] in ("minutes", "quarters")
        view.put(key, value)
    used = view.quota.used("acme", TenantSending(), (100, 1000), NOW, settings)
    assert [(one.sent, one.left) for one in used] == [(35, 65), (435, 565)]
    later = NOW + timedelta(days=30)
    assert view.quota.used("acme", TenantSending(), (None, None), later, settings)[0].sent == 0
