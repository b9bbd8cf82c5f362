"""The `settings` of a campaign, one class per channel: the sender, what is tracked, and the options
that travel with each message (docs/guide/channels.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from streams.contracts.fields import Address, Body, Duration, Label, Switch
from streams.contracts.triggers import Reentry
from streams.contracts.values.one_line import one_line

# Seconds: Firebase keeps a message for at most 28 days.
_LONGEST_TTL = 28 * 24 * 3600
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)  # ITU-T E.164: at most 15 digits
_SHORT_CODE = re.compile(r"[0-9]{3,8}", re.ASCII)
# 3GPP TS 23.040, 9.1.2.5: 11 characters of GSM-7; these are the ones that operators let through.
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+-]{1,11}", re.ASCII)
_TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:_[A-Z]{2})?", re.ASCII)


_TAG = re.compile(r"\{\{|\{%|\{#")


def _literal(value: str) -> str:
    if _TAG.search(value):
        raise ValueError(
            "must be the same for every recipient: template tags are rendered in content only"
        )
    return value


_Parameter = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(one_line),
    AfterValidator(_literal),
]


def _text_sender(value: str) -> str:
    if not (
        _E164.fullmatch(value) or _SHORT_CODE.fullmatch(value) or _ALPHANUMERIC.fullmatch(value)
    ):
        raise ValueError(
            "must be a number in E.164 such as +4930123456, a short code of 3 to 8 digits, "
            "or 1 to 11 of A-Z, a-z, 0-9, space and & _ + - with a letter among them"
        )
    return value


def _phone_number(value: str) -> str:
    if not _E164.fullmatch(value):
        raise ValueError("must be a number in E.164 such as +4930123456")
    return value


def _template_name(value: str) -> str:
    if not _TEMPLATE_NAME.fullmatch(value):
        raise ValueError("must be 1 to 512 of a-z, 0-9 and _")
    return value


def _language(value: str) -> str:
    if not _LANGUAGE.fullmatch(value):
        raise ValueError("must be a language such as en or pt_BR")
    return value


def _key(value: str) -> str:
    if len(value.encode("utf-8", "surrogatepass")) > 64:  # APNs, apns-collapse-id
        raise ValueError("must have at most 64 bytes")
    return _literal(one_line(value))


Fixed = AfterValidator(_literal)


class Utm(Body):
    """The parameters by which tracked links tell their site's analysis where a visit comes from:
    `utm_source`, `utm_medium` and so on (Google Analytics Help, answer 10917952).
    """

    source: _Parameter | None = None
    medium: _Parameter | None = None
    campaign: _Parameter | None = None
    id: _Parameter | None = None
    term: _Parameter | None = None
    content: _Parameter | None = None

    @model_validator(mode="after")
    def _given(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(f"needs one of {', '.join(type(self).model_fields)}")
        return self


class AnyChannelSettings(Body):
    """`maxLateness`: a scheduled campaign that starts later than this is cancelled instead.
    `reentry`: of triggered campaigns. `utm`: of tracked links.
    """

    reentry: Reentry | None = None
    max_lateness: Duration | None = None
    track_clicks: Switch | None = None
    utm: Utm | None = None

    @model_validator(mode="after")
    def _tracked(self) -> Self:
        if self.utm is not None and not self.track_clicks:
            raise ValueError("utm needs trackClicks: true, because it goes into tracked links")
        return self


class EmailSettings(AnyChannelSettings):
    """Without `fromEmail` the message names no sender, and the pipeline worker that delivers it
    uses the tenant's own.
    """

    from_name: Annotated[Label, Fixed] | None = None
    from_email: Annotated[Address, Fixed] | None = None
    reply_to: Annotated[Address, Fixed] | None = None
    track_opens: Switch | None = None


class SmsSettings(AnyChannelSettings):
    """`maxSegments`: a recipient with a longer text is skipped as `too-long`."""

    sender_id: Annotated[str, AfterValidator(_text_sender)] | None = None
    max_segments: Annotated[int, Field(strict=True, ge=1, le=10)] | None = None


class WhatsAppSettings(AnyChannelSettings):
    """`templateName`: the approved template at the provider that the text fills, in `language`
    (WhatsApp Business Platform).
    """

    sender_id: Annotated[str, AfterValidator(_phone_number)] | None = None
    template_name: Annotated[str, AfterValidator(_template_name)] | None = None
    language: Annotated[str, AfterValidator(_language)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.language is not None and self.template_name is None:
            raise ValueError("language belongs to a templateName")
        return self


class PushSettings(AnyChannelSettings):
    """In the words of APNs and FCM: sound, badge, expiration or ttl, and collapse id or key."""

    sound: (
        Annotated[
            str,
            StringConstraints(min_length=1, max_length=100),
            AfterValidator(one_line),
            Fixed,
        ]
        | None
    ) = None
    badge: Annotated[int, Field(strict=True, ge=0, le=99_999)] | None = None
    ttl_seconds: Annotated[int, Field(strict=True, ge=0, le=_LONGEST_TTL)] | None = None
    collapse_key: Annotated[str, StringConstraints(min_length=1), AfterValidator(_key)] | None = (
        None
    )


SETTINGS: Mapping[str, type[AnyChannelSettings]] = MappingProxyType(
    {"email": EmailSettings, "sms": SmsSettings, "whatsapp": WhatsAppSettings, "push": PushSettings}
)
