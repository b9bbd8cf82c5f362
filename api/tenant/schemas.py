"""Bodies and answers of the tenant's routes, with the examples of the API's documentation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from api.http.envelope import Instant, Schema, shown_as
from streams.contracts.fields import Body, Limit, Time
from streams.contracts.values.one_line import one_line

Role = Literal["viewer", "editor", "sender", "admin"]
_LONGEST_GRACE = timedelta(days=30)
_AT = "2026-01-28T08:55:12.204Z"
_KEY_ID = "9f31c05be7a4d2c8"


def _future(value: datetime) -> datetime:
    if value.tzinfo is None or value <= datetime.now(UTC):
        raise ValueError("must be in the future, with an offset, such as 2030-01-28T09:00:00Z")
    return value


def _duration(value: object) -> object:
    if not isinstance(value, str | timedelta):
        # pydantic would take a number as seconds
        raise ValueError("must be an ISO 8601 duration such as PT1H")
    return value


def _grace(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= _LONGEST_GRACE:
        raise ValueError("must be a duration from PT0S to P30D")
    return value


_KeyName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(one_line),
]


class LimitsUpdate(Body):
    """At most so many messages of the tenant in any sliding hour and day; null = no limit, absent =
    as it was.
    """

    model_config = shown_as({"messagesPerHour": 20000})

    messages_per_hour: Limit | None = None
    messages_per_day: Limit | None = None


class Period(Schema):
    """`used` was sent in it, `inFlight` is about to be; `left` is null without a limit.

    `until`: when the oldest of it leaves the period.
    """

    used: int
    in_flight: int
    limit: int | None
    left: int | None
    until: Instant | None


class Usage(Schema):
    """The used part of the limits."""

    hour: Period
    day: Period


_HOUR = {"used": 9800, "inFlight": 120, "limit": 20000, "left": 10080, "until": None}
_DAY = {"used": 41000, "inFlight": 120, "limit": None, "left": None, "until": None}


class Limits(Schema):
    """Messages in any sliding hour and day; null = no limit. `usage` is null while it has not been
    read from Kafka.
    """

    model_config = shown_as(
        {
            "tenantId": "acme",
            "messagesPerHour": 20000,
            "messagesPerDay": None,
            "createdAt": _AT,
            "usage": {"hour": _HOUR, "day": _DAY},
        }
    )

    tenant_id: str
    messages_per_hour: int | None
    messages_per_day: int | None
    created_at: Instant
    usage: Usage | None


class KeyCreate(Body):
    """`userId` is the `createdBy` of what the key creates; a new user when it is absent."""

    model_config = shown_as(
        {"role": "editor", "name": "nightly import", "expiresAt": "2036-01-28T09:00:00Z"}
    )

    role: Role
    name: _KeyName | None = None
    expires_at: Annotated[Time, AfterValidator(_future)] | None = None
    user_id: UUID | None = None


class KeyRotate(Body):
    """How long the old secret is still good, as an ISO 8601 duration."""

    model_config = shown_as({"gracePeriod": "PT1H"})

    grace_period: Annotated[timedelta, BeforeValidator(_duration), AfterValidator(_grace)] = (
        timedelta(days=1)
    )


_KEY = {
    "id": _KEY_ID,
    "role": "editor",
    "userId": "550e8400-e29b-41d4-a716-446655440004",
    "createdAt": _AT,
    "name": "nightly import",
    "expiresAt": "2036-01-28T09:00:00.000Z",
    "revokedAt": None,
    "previousExpiresAt": None,
    "isCurrent": False,
}


class ListedKey(Schema):
    """A key without its secret. Until `previousExpiresAt` the secret before the last rotation is
    good, too. `isCurrent`: the key of this request.
    """

    model_config = shown_as(_KEY)

    id: str
    role: str
    user_id: UUID
    created_at: Instant
    name: str | None
    expires_at: Instant | None
    revoked_at: Instant | None
    previous_expires_at: Instant | None
    is_current: bool


class NewKey(ListedKey):
    """`apiKey` is shown this once."""

    model_config = shown_as({**_KEY, "apiKey": f"ce_live_{_KEY_ID}_" + "0" * 64})

    api_key: str = Field(repr=False)


_Secret = Annotated[str, Field(min_length=1, max_length=4_000)]
_SENDGRID_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1"
    "flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)


class WebhookSettings(Body):
    """Each provider needs some of these: ses `topicArns`; sendgrid `publicKey`; mailgun, twilio and
    standard `secret`; whatsapp `secret` and `verifyToken`. twilio, whatsapp and standard, through
    which recipients answer, take `optOutWords`, too.
    """

    model_config = shown_as({"publicKey": _SENDGRID_KEY})

    secret: _Secret | None = Field(
        None, description="signing key, auth token or app secret; standard: whsec_…"
    )
    public_key: _Secret | None = Field(
        None, description="SendGrid's verification key, base64 or PEM"
    )
    verify_token: _Secret | None = Field(
        None, description="what Meta must say when it sets the address up; choose one"
    )
    topic_arns: list[Annotated[str, Field(max_length=300)]] | None = Field(
        None, description="the SNS topics that may speak for SES"
    )
    opt_out_words: list[Annotated[str, Field(max_length=200)]] | None = Field(
        None,
        description="words that mean STOP, beside those of carriers and of many languages; case,"
        " accents, spaces and signs do not matter",
    )


class PendingSubscription(Schema):
    """An SNS topic that asks to be confirmed, and the address that does it."""

    topic_arn: str
    subscribe_url: str
    asked_at: Instant


_TOPIC = "arn:aws:sns:eu-central-1:123456789012:ses-events"
_CONFIRM = (
    "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"
    f"&TopicArn={_TOPIC}&Token=2336412f37"
)


SENDGRID = {
    "provider": "sendgrid",
    "url": "https://campaigns.example.com/webhooks/sendgrid/acme",
    "isSet": ["publicKey"],
    "updatedAt": _AT,
    "pendingSubscriptions": [],
}


class WebhookSetup(Schema):
    """`isSet`: the fields that have a value; the values are never shown."""

    model_config = shown_as(
        {
            "provider": "ses",
            "url": "https://campaigns.example.com/webhooks/ses/acme",
            "isSet": ["topicArns"],
            "updatedAt": _AT,
            "pendingSubscriptions": [
                {
                    "topicArn": _TOPIC,
                    "subscribeUrl": _CONFIRM,
                    "askedAt": "2026-01-28T08:57:40.001Z",
                }
            ],
        }
    )

    provider: str
    url: str
    is_set: list[str]
    updated_at: Instant
    pending_subscriptions: list[PendingSubscription]


class AuditEntry(Schema):
    """`actor` is a user's id, `engine`, or `command-line` for a person with access to the database;
    `subject` an id or a keyed hash. `details` are the settings that were set.
    """

    model_config = shown_as(
        {
            "id": "0193a7c0-5b1e-7c4d-9a3e-2f6d8b1c4e5f",
            "at": _AT,
            "actor": "550e8400-e29b-41d4-a716-446655440004",
            "keyId": _KEY_ID,
            "action": "suppression.lifted",
            "subject": "email address 5f0c1a9be27d4c3388a1f2c4d5e6b7a8",
            "reason": "asked by phone",
            "correlationId": "0b3f6c1e-0c5a-4c1b-9a53-0f6c2e1d7a44",
            "details": {},
        }
    )

    id: UUID
    at: Instant
    actor: str
    key_id: str | None
    action: str
    subject: str
    reason: str
    correlation_id: str | None
    details: dict[str, Any]


class SignIn(Body):
    """The credential of the dashboard: an API key that was pasted, or the code of a link."""

    model_config = ConfigDict(hide_input_in_errors=True)

    api_key: str | None = Field(None, max_length=200)
    code: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.api_key is None) is (self.code is None):
            raise ValueError("send either apiKey or code")
        return self


class SignedIn(Schema):
    """The tenant and the role of the key that the dashboard signed in with."""

    tenant_id: str
    role: str


class NewCode(Schema):
    """A code that signs one browser in, once, until `expiresAt`."""

    code: str = Field(repr=False)
    expires_at: Instant
