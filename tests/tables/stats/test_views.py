"""What the views make of the records of their topics; how they read them is tested with a broker in
tests/agents.
"""

from __future__ import annotations

import asyncio

import pytest

from streams.contracts.envelope import encode
from streams.records.stats import Counts, ShardStats, encode_stats
from streams.settings import Settings
from tables.stats.totals import CampaignStats
from tables.stats.views import SendingView, StatsView
from tables.throttle.state import CampaignSending, TenantSending, Waiting, encode_tenant

SETTINGS = Settings.model_validate(
    {
        "kafka": "127.0.0.1:1",
        "postgres": "postgresql://not-needed",
        "nats": "nats://not-needed",
        "message_keys": "00" * 32,
    }
)


def put(view: StatsView, number: int, shard: int, version: int, opened: int) -> None:
    counts = Counts(sent=10, delivered=10, opened=opened)
    value = encode_stats(
        ShardStats(
            "acme",
            number,
            shard,
            version,
            counts,
            "2026-01-28T09:00:00.000Z",
            hours={"500000": (opened, 0)},
        )
    )
    view.put(b"%d:%d" % (number, shard), value)


def test_a_campaign_is_the_sum_of_its_shards_and_of_no_other() -> None:
    view = StatsView(SETTINGS)
    put(view, 1, 0, 5, 3)
    put(view, 1, 1, 7, 4)
    put(view, 11, 0, 9, 2)
    assert view.campaign(1).total == Counts(sent=20, delivered=20, opened=7)
    assert view.campaign(1).hours == {500000: (7, 0)}
    assert view.campaign(1, 11).total.opened == 9
    assert view.campaign(2) == view.campaign(2, 3) == CampaignStats()


def test_readers_replace_and_never_go_back() -> None:
    view = StatsView(SETTINGS)
    for version, opened, seen in ((5, 3, 3), (8, 4, 4), (6, 9, 4), (8, 9, 4), (9, 9, 9)):
        put(view, 1, 0, version, opened)
        assert view.campaign(1).total.opened == seen


def test_a_deleted_shard_is_gone() -> None:
    view = StatsView(SETTINGS)
    put(view, 1, 0, 5, 3)
    put(view, 1, 1, 5, 4)
    assert view.campaign(1).total.opened == 7
    view.put(b"1:1", None)
    assert view.campaign(1).total.opened == 3


async def test_several_use_one_view_and_it_reads_once_until_the_last_has_left() -> None:
    def readers() -> int:
        return sum(task.get_name() == "view of campaigns.stats.v1" for task in asyncio.all_tasks())

    view = StatsView(SETTINGS)
    async with view:
        async with view:
            assert readers() == 1
        assert readers() == 1
    assert readers() == 0


def test_a_value_that_cannot_be_read_is_a_value_error() -> None:
    for value in (b"", b"{", b"[]", b"\xff"):
        with pytest.raises(ValueError):
            StatsView(SETTINGS).put(b"1:0", value)


def tenant(**campaigns: CampaignSending) -> bytes:
    return encode_tenant(
        TenantSending(
            campaigns={int(number[1:]): campaign for number, campaign in campaigns.items()}
        )
    )


def test_the_sending_view_shows_open_campaigns_until_the_throttle_lets_them_go() -> None:
    view = SendingView(SETTINGS)
    going = CampaignSending(
        "id-1", is_open=True, total=100, granted=60, sent=40, skipped=5, waiting=Waiting("quota")
    )
    view.put(b'sending\0"acme"', tenant(n1=going, n2=CampaignSending("id-2", is_paused=True)))
    view.put(b'sending\0"globex"', tenant(n3=CampaignSending("id-3", is_open=True)))
    view.put(b'clock\0"now"', encode({"now": "2026-01-28T09:00:00Z"}))
    view.put(b"\0campaigns.sending.v1", b"17")
    assert (found := view.campaign(1)) is not None and found == going and found.in_flight == 15
    assert view.campaign(2) is None  # only remembered: it has not opened
    view.put(b'sending\0"acme"', tenant(n4=CampaignSending("id-4", is_open=True)))
    assert (
        view.campaign(1) is None and view.campaign(4) is not None and view.campaign(3) is not None
    )
    view.put(b'sending\0"acme"', None)
    assert view.campaign(4) is None and view.campaign(3) is not None
