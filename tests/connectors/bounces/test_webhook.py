"""Raw mails by webhook."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.bounces.webhook import READERS
from connectors.webhooks.delivery import Delivery, SignatureError
from connectors.webhooks.providers import PROVIDERS, Check, checked
from connectors.webhooks.sns import Certificates
from streams.errors import CampaignError
from tables.tenants.webhook_secrets import WebhookSecret
from tests.connectors.bounces import samples
from tests.connectors.bounces.samples import DOMAIN, ID, OTHER, complaint
from tests.connectors.webhooks import webhook_signing as signing
from tests.connectors.webhooks.reported_as import NOW

_DSN = READERS["dsn"]


def test_every_provider_is_there_beside_it() -> None:
    assert READERS.keys() == {*PROVIDERS, "dsn"}
    assert all(READERS[name] is provider for name, provider in PROVIDERS.items())


def test_a_bounce_is_reported_of_each_message_that_it_may_mean() -> None:
    raw = samples.POSTFIX.replace(b"To: ", f"To: b.{OTHER}@{DOMAIN}, ".encode(), 1)
    found = _DSN.read(Delivery({}, raw), NOW, ())
    [one] = found.reported
    assert (one.type, one.message_id, one.others) == ("bounced", OTHER, (ID,))
    assert one.details is not None and one.details.bounce_type == "hard"


def test_a_mail_without_news_is_ignored() -> None:
    for raw in (b"", b"\xff\0", samples.POSTFIX_DELAY):
        found = _DSN.read(Delivery({}, raw), NOW, ())
        assert (found.reported, found.ignored, found.unheard) == ([], 1, [])


def test_a_complaint_about_no_known_message_is_not_dropped_quietly() -> None:
    raw = complaint().replace(ID.encode(), b"x")
    found = _DSN.read(Delivery({}, raw), NOW, ())
    assert found.reported == [] and [one.code for one in found.unheard] == ["without-id"]


async def test_it_is_signed_as_standard_webhooks_are() -> None:
    secret = checked("dsn", WebhookSecret(secret=signing.STANDARD_SECRET), READERS)
    signed, body = signing.standard(samples.POSTFIX, at=NOW.timestamp())
    headers = {name.lower(): value for name, value in signed.items()}
    check = Check(secret, NOW, timedelta(minutes=5), Certificates())
    await _DSN.verify(Delivery(headers, body), check)
    with pytest.raises(SignatureError):
        await _DSN.verify(Delivery(headers, body + b"x"), check)
    with pytest.raises(CampaignError):
        checked("dsn", WebhookSecret(secret="short"), READERS)
    with pytest.raises(CampaignError):
        words = WebhookSecret(secret=signing.STANDARD_SECRET, opt_out_words=("x",))
        checked("dsn", words, READERS)
