"""Rows and records that 2d63369 wrote are read here and written back as they were; what is written
here 2d63369 can read; and what neither knows is refused instead of dropped.

`state_of_2d63369.json` was recorded by running that commit.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from streams.contracts.envelope import encode
from streams.exactly_once.fatal import NewerStateError
from streams.records.facts import Batch, Group, Kind, pack
from streams.records.sending import Limits, Paused, PlanOpened, Span, decode_sending
from streams.records.stats import Counts, decode_stats
from tables.stats.shards import Shard
from tables.throttle.clock import decode_clock, encode_clock
from tables.throttle.fold import apply
from tables.throttle.progress import decode_progress, encode_progress
from tables.throttle.state import TenantSending, decode_tenant, encode_tenant

BEFORE: dict[str, Any] = json.loads(Path(__file__).with_name("state_of_2d63369.json").read_text())
NOW = datetime(2026, 1, 28, 9, tzinfo=UTC)
# Every member that 2d63369 knows of a campaign in the row of its tenant; it drops others.
KNOWN = {"campaignId", "isOpen", "total", "ready", "spans", "granted", "sent", "skipped", "limits"}
KNOWN |= {"isPaused", "isCancelled", "isSampleSent", "waiting", "tag", "since"}
KNOWN |= {"isEndless", "released"}
ADDED = {"version", "limitsVersion"}  # since 2d63369; without them a row means what it meant there

ROWS: list[tuple[str, Callable[[bytes], Any], Callable[[Any], bytes]]] = [
    ("tenant", decode_tenant, encode_tenant),
    ("clock", decode_clock, encode_clock),
    ("progress", decode_progress, encode_progress),
]


@pytest.mark.parametrize(("name", "decode", "write"), ROWS, ids=lambda it: str(it)[:9])
def test_a_row_of_the_version_before_is_read_and_written_back_as_it_was(
    name: str, decode: Callable[[bytes], Any], write: Callable[[Any], bytes]
) -> None:
    row = BEFORE[name].encode()
    assert write(decode(row)) == row


def test_a_shard_of_the_version_before_goes_on_counting() -> None:
    stored = b64decode(BEFORE["shard"])
    shard = Shard.restore(stored)
    assert shard.store() == stored
    before = shard.stats(1, "").total
    assert (before.sent, before.delivered, before.skipped) == (4, 4, 1)
    again = Batch(
        "acme",
        7,
        0,
        1_769_590_800,
        (Group(Kind.DELIVERED, pack([1, 9]), pack([0, 0]), None, None),),
        "c7",
    )
    assert shard.fold(again) is not None
    assert shard.stats(2, "").total.delivered == 5


def test_a_shard_of_the_version_before_counts_what_providers_took() -> None:
    shard = Shard.restore(b64decode(BEFORE["shard"]))
    before = shard.stats(1, "").total
    group = Group(Kind.ACCEPTED, pack([1, 9]), pack([0, 0]))
    for _ in range(2):
        shard.fold(Batch("acme", 7, 0, 1_769_590_800, (group,)))
        shard = Shard.restore(shard.store())
    assert before.accepted == 0
    assert shard.stats(2, "").total == replace(before, accepted=2)


def test_a_shard_with_a_kind_that_is_not_known_here_is_refused() -> None:
    """So does the version before with accepted ones: dropping them would undo the newer one's
    work.
    """
    row = msgspec.msgpack.decode(b64decode(BEFORE["shard"]))
    kinds = row[5]
    kinds[max(Kind) + 1] = kinds[Kind.SENT]
    with pytest.raises(NewerStateError):
        Shard.restore(msgspec.msgpack.encode(row))


def test_counts_of_the_version_before_are_read_without_those_that_providers_took() -> None:
    total = {name: 3 for name in Counts.__struct_encode_fields__ if name != "accepted"}
    record = {"tenantId": "acme", "number": 7, "shard": 0, "version": 1, "updatedAt": ""}
    found = decode_stats(encode(record | {"total": total, "variants": {"A": total}}))
    assert found.total == found.variants["A"]
    assert (found.total.accepted, found.total.sent, found.total.skipped) == (0, 3, 3)


def test_records_of_the_version_before_are_read_and_mean_the_same() -> None:
    tenant = TenantSending()
    for text in BEFORE["wire"]:
        record = decode_sending(text.encode())
        assert encode(record) == text.encode()
        tenant = apply(tenant, record, NOW)
    campaign = tenant.campaigns[7]
    assert (campaign.is_open, campaign.is_cancelled, campaign.limits) == (
        True,
        True,
        Limits(per_hour=5),
    )
    assert campaign.version == 0


def test_the_version_before_reads_what_is_written_here() -> None:
    plan = PlanOpened(
        tenant_id="acme",
        campaign_id="c9",
        number=9,
        channel="email",
        total=10,
        spans=(Span(start=0, stop=10),),
        is_paused=True,
        winner="B",
        version=4,
    )
    tenant = apply(TenantSending(), plan, NOW)
    tenant = apply(tenant, Paused("acme", "c9", 9, 5), NOW)
    row = json.loads(encode_tenant(tenant))
    assert set(row["campaigns"]["9"]) - KNOWN == ADDED
    # as that version reads it, and as it writes it back
    for name in ADDED:
        row["campaigns"]["9"].pop(name)
    back = decode_tenant(json.dumps(row).encode())
    assert back.campaigns[9] == replace(tenant.campaigns[9], version=0, limits_version=0)
    assert back.campaigns[9].is_paused


@pytest.mark.parametrize(
    ("name", "decode", "newer"),
    [
        ("tenant", decode_tenant, lambda row: row | {"shape": 3}),
        ("tenant", decode_tenant, lambda row: _deeper(row, lambda it: it | {"priority": 1})),
        (
            "tenant",
            decode_tenant,
            lambda row: _deeper(row, lambda it: it | {"waiting": {"reason": "weather"}}),
        ),
        ("clock", decode_clock, lambda row: row | {"drift": 1}),
        ("progress", decode_progress, lambda row: [*row, 1, 2]),
    ],
)
def test_a_row_of_a_newer_version_is_refused_with_a_sentence(
    name: str, decode: Callable[[bytes], Any], newer: Callable[[Any], Any]
) -> None:
    row = json.dumps(newer(json.loads(BEFORE[name]))).encode()
    with pytest.raises(NewerStateError) as refused:
        decode(row)
    assert refused.value.detail and "written by a newer version" in str(NewerStateError.__doc__)


def _deeper(row: Any, change: Callable[[Any], Any]) -> Any:
    return row | {"campaigns": {number: change(it) for number, it in row["campaigns"].items()}}


@pytest.mark.parametrize("form", [3, 99])
@pytest.mark.parametrize("more", [[], ["new"]])
def test_a_shard_of_a_newer_format_is_refused(form: int, more: list[str]) -> None:
    row = msgspec.msgpack.decode(b64decode(BEFORE["shard"]))
    with pytest.raises(NewerStateError):
        Shard.restore(msgspec.msgpack.encode([form, *row[1:], *more]))


@pytest.mark.parametrize("form", [1, 2])
def test_a_shard_of_an_older_format_is_read(form: int) -> None:
    row = msgspec.msgpack.decode(b64decode(BEFORE["shard"]))
    kept = row[1:9] if form == 1 else row[1:]  # format 1 had no sent times
    assert Shard.restore(msgspec.msgpack.encode([form, *kept])).stats(1, "").total.sent == 4


def test_a_view_goes_on_past_a_row_of_a_newer_version(caplog: pytest.LogCaptureFixture) -> None:
    from streams.settings import Settings
    from tables.stats.views import SendingView

    nowhere = {"kafka": "", "postgres": "", "nats": "", "message_keys": "00" * 32}
    view = SendingView(Settings.model_validate(nowhere))
    view._put(b'sending\0"acme"', b'{"shape":1}')
    view._put(b'sending\0"acme"', BEFORE["tenant"].encode())
    assert view.numbers() == [7, 10] and "cannot be read" in caplog.text
