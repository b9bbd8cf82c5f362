"""What is taken while Kafka is away, and what needs no Kafka at all."""

from __future__ import annotations

import pytest

from agents.bounces.taking import Taking
from streams.errors import DependencyDownError
from streams.process.reports import Reports
from streams.records.message_id import MessageIds
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import ID, TENANT, complaint
from tests.connectors.routes.given import settings

_HERE = settings()
_MINE = MessageIds.of(_HERE).make(42, 7, TENANT, _HERE.key_epoch)


def taking() -> Taking:
    return Taking(_HERE, Reports(_HERE), "mailbox")


def mine(raw: bytes) -> bytes:
    return raw.replace(ID.encode(), _MINE.encode())


@pytest.mark.parametrize("raw", [samples.POSTFIX, samples.QMAIL, complaint()])
async def test_news_that_kafka_does_not_take_are_not_taken(raw: bytes) -> None:
    with pytest.raises(DependencyDownError):
        await taking().take(mine(raw), [TENANT])


async def test_what_says_nothing_or_is_about_no_message_of_the_tenants_is_done_with() -> None:
    for raw, tenants in (
        (mine(samples.POSTFIX_DELAY), [TENANT]),
        (b"", [TENANT]),
        (samples.POSTFIX, [TENANT]),  # the id was made with another key
        (mine(samples.POSTFIX), ["globex"]),
    ):
        assert await taking().take(raw, tenants)


async def test_a_complaint_that_cannot_be_used_is_left_to_be_looked_at_and_names_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert not await taking().take(complaint(), [TENANT])
    [record] = caplog.records
    assert record.levelname == "ERROR" and "ana@" not in str(vars(record))
