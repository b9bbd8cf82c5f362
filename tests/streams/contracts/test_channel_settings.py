"""Every setting of every channel: what it takes, what it refuses, and what becomes of it in a
message.
"""

from __future__ import annotations

from typing import Any

import pytest

from streams.contracts.bodies import checked_settings
from streams.contracts.channel_settings import SETTINGS
from streams.errors import CampaignError
from tables.channels import CHANNELS

GOOD: dict[str, dict[str, Any]] = {
    "email": {
        "fromName": "Acme Corp",
        "fromEmail": "newsletter@acme.com",
        "replyTo": "support@acme.com",
        "trackOpens": True,
    },
    "sms": {"senderId": "Acme", "maxSegments": 2},
    "whatsapp": {"senderId": "+4930123456", "templateName": "spring_sale_2", "language": "pt_BR"},
    "push": {"sound": "default", "badge": 3, "ttlSeconds": 3600, "collapseKey": "news"},
}
EVERYWHERE = {
    "trackClicks": True,
    "maxLateness": "PT2H",
    "utm": {"source": "newsletter", "medium": "email", "campaign": "Jänner & Co"},
}


@pytest.mark.parametrize("channel", GOOD)
def test_what_a_channel_knows_is_kept_as_it_is(channel: str) -> None:
    given = GOOD[channel] | EVERYWHERE
    assert checked_settings(channel, given, "forbid") == given
    assert checked_settings(channel, {}, "forbid") == {}
    assert checked_settings(channel, dict.fromkeys(given), "forbid") == {}


@pytest.mark.parametrize("channel", GOOD)
def test_what_belongs_to_another_channel_is_unknown(channel: str) -> None:
    known = {field.alias for field in SETTINGS[channel].model_fields.values()}
    foreign = {
        name: value for other in GOOD.values() for name, value in other.items() if name not in known
    } | {"colour": "red"}
    with pytest.raises(CampaignError) as refused:
        checked_settings(channel, foreign, "forbid")
    assert {wrong.field for wrong in refused.value.errors} == {
        f"settings.{name}" for name in foreign
    }
    assert checked_settings(channel, foreign | EVERYWHERE, "ignore") == EVERYWHERE  # as Kafka does


@pytest.mark.parametrize("sender", ["Acme", "Acme 2000", "A-B_C+D&E", "+4930123456", "12345", "A"])
def test_an_sms_comes_from_a_name_a_number_or_a_short_code(sender: str) -> None:
    assert checked_settings("sms", {"senderId": sender}, "forbid") == {"senderId": sender}


@pytest.mark.parametrize(
    ("channel", "settings", "field"),
    [
        ("sms", {"senderId": "TwelveLetter"}, "settings.senderId"),
        ("sms", {"senderId": "Ünal"}, "settings.senderId"),
        ("sms", {"senderId": "123456789"}, "settings.senderId"),
        ("sms", {"senderId": "+0123456789"}, "settings.senderId"),
        ("sms", {"senderId": ""}, "settings.senderId"),
        ("sms", {"senderId": "Ac\nme"}, "settings.senderId"),
        ("sms", {"maxSegments": 0}, "settings.maxSegments"),
        ("sms", {"maxSegments": 11}, "settings.maxSegments"),
        ("sms", {"maxSegments": True}, "settings.maxSegments"),
        ("whatsapp", {"senderId": "Acme"}, "settings.senderId"),
        ("whatsapp", {"templateName": "Spring Sale"}, "settings.templateName"),
        ("whatsapp", {"templateName": "a", "language": "english"}, "settings.language"),
        ("whatsapp", {"language": "en"}, "settings"),
        ("push", {"badge": -1}, "settings.badge"),
        ("push", {"badge": 1.5}, "settings.badge"),
        ("push", {"ttlSeconds": 28 * 24 * 3600 + 1}, "settings.ttlSeconds"),
        ("push", {"collapseKey": "ü" * 33}, "settings.collapseKey"),
        ("push", {"sound": ""}, "settings.sound"),
        ("email", {"replyTo": "nobody"}, "settings.replyTo"),
        ("email", {"utm": {"source": "x"}}, "settings"),
        ("sms", {"utm": {"source": "x"}, "trackClicks": False}, "settings"),
        ("push", {"utm": {}, "trackClicks": True}, "settings.utm"),
        ("push", {"utm": {"source": " "}, "trackClicks": True}, "settings.utm.source"),
        ("push", {"utm": {"source": "x" * 101}, "trackClicks": True}, "settings.utm.source"),
        ("push", {"utm": {"term": "a\nb"}, "trackClicks": True}, "settings.utm.term"),
        ("push", {"utm": {"colour": "x"}, "trackClicks": True}, "settings.utm.colour"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(channel: str, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(CampaignError) as refused:
        checked_settings(channel, settings, "forbid")
    assert [wrong.field for wrong in refused.value.errors] == [field]


@pytest.mark.parametrize("channel", CHANNELS)
def test_every_setting_of_a_channel_is_used_in_a_message_or_by_the_engine(channel: str) -> None:
    known = {field.alias for field in SETTINGS[channel].model_fields.values()}
    travels = {*CHANNELS[channel].sender.values(), *CHANNELS[channel].options}
    assert travels <= known
    assert known - travels <= {"reentry", "maxLateness", "trackClicks", "trackOpens", "utm"}
