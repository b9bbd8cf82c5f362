"""The examples of the webhook settings in the API's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_KEY = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
_SET: Mapping[str, Any] = MappingProxyType(
    {
        "provider": "sendgrid",
        "url": "https://campaigns.example.com/webhooks/sendgrid/acme",
        "isSet": ["publicKey"],
        "updatedAt": "2026-01-28T08:55:12.204Z",
        "pendingSubscriptions": [],
    }
)
_TOPIC = "arn:aws:sns:eu-central-1:123456789012:ses-events"
_CONFIRM = f"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={_TOPIC}&Token=2336412f37"
_ASKED: Mapping[str, Any] = MappingProxyType(
    {
        **_SET,
        "provider": "ses",
        "url": "https://campaigns.example.com/webhooks/ses/acme",
        "isSet": ["topicArns"],
        "pendingSubscriptions": [
            {"topicArn": _TOPIC, "subscribeUrl": _CONFIRM, "askedAt": "2026-01-28T08:57:40.001Z"}
        ],
    }
)

# Operation -> (example of the body, example of the answer)
OPERATIONS: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]] = (
    MappingProxyType(
        {
            "webhooks.put": ({"publicKey": _KEY}, {"success": True, "data": dict(_SET)}),
            "webhooks.one": (None, {"success": True, "data": dict(_ASKED)}),
            "webhooks.delete": (None, None),
        }
    )
)
