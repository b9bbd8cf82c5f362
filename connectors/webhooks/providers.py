"""The table of providers: the settings that each needs, and how its webhooks are
verified and read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType

from connectors.webhooks import mailgun, sendgrid, ses, sns, standard, twilio, whatsapp
from connectors.webhooks.delivery import Delivery, Read
from connectors.webhooks.opt_words import letters
from streams.errors import CampaignError, FieldError
from tables.tenants.webhook_secrets import WebhookSecret

_LONGEST = 4_000  # characters of a field
_MOST_TOPICS = 20
_MOST_WORDS, _LONGEST_WORD = 100, 100
_LISTS = {"topic_arns", "opt_out_words"}


@dataclass(frozen=True)
class Check:
    """The values that a webhook is verified with."""

    secret: WebhookSecret
    now: datetime
    tolerance: timedelta
    certificates: sns.Certificates


@dataclass(frozen=True)
class Verified:
    """A token that counts for `meaning` alone, of a provider whose signature does not cover the
    body.
    """

    token: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Provider:
    """One row. All of `fields` are required in its settings, those of `optional` may be.

    `verify` raises SignatureError, UnparsableError, DependencyDownError; `read`, which is given
    the time of arrival and the tenant's own words for stop, UnparsableError; `check` ValueError for
    a field that cannot be right.

    `unmendable`: the status that ends the provider's retries of what no retry can mend; None: as
    any other refusal.
    """

    fields: tuple[str, ...]
    verify: Callable[[Delivery, Check], Awaitable[Verified]]
    read: Callable[[Delivery, datetime, Collection[str]], Read]
    check: Callable[[WebhookSecret], object] = bool
    optional: tuple[str, ...] = ()
    unmendable: int | None = None


async def _ses(delivery: Delivery, check: Check) -> Verified:
    await sns.verify(ses.envelope(delivery), check.secret.topic_arns, check.certificates)
    return Verified()


async def _sendgrid(delivery: Delivery, check: Check) -> Verified:
    sendgrid.verify(delivery, check.secret.public_key, check.now, check.tolerance)
    return Verified()


async def _mailgun(delivery: Delivery, check: Check) -> Verified:
    return Verified(*mailgun.verify(delivery, check.secret.secret, check.now, check.tolerance))


async def _twilio(delivery: Delivery, check: Check) -> Verified:
    twilio.verify(delivery, check.secret.secret)
    return Verified()


async def _whatsapp(delivery: Delivery, check: Check) -> Verified:
    whatsapp.verify(delivery, check.secret.secret)
    return Verified()


async def _standard(delivery: Delivery, check: Check) -> Verified:
    standard.verify(delivery, check.secret.secret, check.now, check.tolerance)
    return Verified()


def _topics(secret: WebhookSecret) -> None:
    if len(secret.topic_arns) > _MOST_TOPICS or not all(
        map(sns.TOPIC_ARN.fullmatch, secret.topic_arns)
    ):
        raise ValueError(
            f"topicArns: 1 to {_MOST_TOPICS} of arn:aws:sns:<region>:<account>:<topic>"
        )


def _public_key(secret: WebhookSecret) -> None:
    try:
        sendgrid.public_key(secret.public_key)
    except ValueError as error:
        raise ValueError(f"publicKey: {error}") from error


def _standard_key(secret: WebhookSecret) -> None:
    try:
        standard.key(secret.secret)
    except ValueError as error:
        raise ValueError(f"secret: {error}") from error


_OWN_WORDS = ("opt_out_words",)
PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "ses": Provider(
            ("topic_arns",), _ses, lambda delivery, now, _: ses.read(delivery, now), _topics
        ),
        "sendgrid": Provider(
            ("public_key",),
            _sendgrid,
            lambda delivery, now, _: sendgrid.read(delivery, now),
            _public_key,
        ),
        "mailgun": Provider(
            ("secret",),
            _mailgun,
            lambda delivery, now, _: mailgun.read(delivery, now),
            unmendable=406,
        ),
        "twilio": Provider(("secret",), _twilio, twilio.read, optional=_OWN_WORDS),
        "whatsapp": Provider(
            ("secret", "verify_token"), _whatsapp, whatsapp.read, optional=_OWN_WORDS
        ),
        "standard": Provider(
            ("secret",), _standard, standard.read, _standard_key, optional=_OWN_WORDS
        ),
    }
)
_SPELLED = {
    "secret": "secret",
    "public_key": "publicKey",
    "verify_token": "verifyToken",
    "topic_arns": "topicArns",
    "opt_out_words": "optOutWords",
}


def spelled(fields: Iterable[str]) -> list[str]:
    """Converts field names to the API's spelling."""
    return [_SPELLED[name] for name in fields]


def checked(
    name: str, secret: WebhookSecret, known: Mapping[str, Provider] = PROVIDERS
) -> WebhookSecret:
    """Returns the settings if they are those that the provider needs. Raises CampaignError."""
    provider, wrong = known[name], list[FieldError]()
    for missing in set(provider.fields) - set(secret.fields):
        wrong.append(FieldError(_SPELLED[missing], f"{name} needs it"))
    for extra in set(secret.fields) - set(provider.fields) - set(provider.optional):
        wrong.append(FieldError(_SPELLED[extra], f"{name} does not use it"))
    for field in set(secret.fields) - _LISTS:
        if len(value := getattr(secret, field)) > _LONGEST or "\0" in value:
            wrong.append(
                FieldError(_SPELLED[field], f"at most {_LONGEST:,} characters, without NUL")
            )
    if bad := sum(not 0 < len(letters(word)) <= _LONGEST_WORD for word in secret.opt_out_words):
        rule = f"{bad} of them without letters, or with more than {_LONGEST_WORD}"
        wrong.append(FieldError("optOutWords", rule))
    if len(secret.opt_out_words) > _MOST_WORDS:
        wrong.append(FieldError("optOutWords", f"at most {_MOST_WORDS}"))
    if not wrong:
        try:
            provider.check(secret)
        except ValueError as error:
            field, _, rule = str(error).partition(": ")
            wrong.append(FieldError(field, rule))
    if wrong:
        wrong.sort(key=lambda one: one.field)
        raise CampaignError(
            "; ".join(f"{one.field}: {one.message}" for one in wrong), errors=tuple(wrong)
        )
    return secret
