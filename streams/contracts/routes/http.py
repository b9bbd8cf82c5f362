"""The settings of providers that take messages over HTTP."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from streams.contracts.fields import Channel, Switch
from streams.contracts.routes.settings import Domain, Domains, RouteSettings, Tls, distinct
from streams.contracts.routes.smtp import host_name
from streams.contracts.values.domains import covering
from streams.contracts.values.one_line import one_line

#: Messages of one request to a webhook.
MOST_IN_BATCH = 1_000
_MOST_SENDERS = 100
_PORTS = {"https": 443, "http": 80}
_TOKEN = ("password",)
_PAIR = ("username", "password")


def _url(value: str) -> str:
    text = value.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be an https:// URL in ASCII, without spaces")
    parts = urlsplit(text)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in _PORTS or "@" in parts.netloc or parts.fragment or port == 0:
        raise ValueError("must be an https:// URL without a username, a password or a fragment")
    name = host_name(parts.hostname or "")
    shown = f"[{name}]" if ":" in name else name
    netloc = shown if port in (None, _PORTS[parts.scheme]) else f"{shown}:{port}"
    return parts._replace(netloc=netloc).geturl()


def _base(value: str) -> str:
    if "?" in value:
        raise ValueError("must have no query: the paths of the provider's API follow it")
    return value.rstrip("/")


Url = Annotated[str, StringConstraints(max_length=1_000), AfterValidator(_url)]
_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}$")]
_Sender = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(one_line)]
_Senders = Annotated[list[_Sender], Field(max_length=_MOST_SENDERS), AfterValidator(distinct)]
_ELSEWHERE = "where the API is instead, such as a proxy of your own; null = at the provider"


class HttpRoute(RouteSettings):
    """A provider that takes messages over HTTP."""

    url: Annotated[Url, AfterValidator(_base)] | None = Field(None, description=_ELSEWHERE)
    allow_plaintext: Switch = Field(
        False, description="`http://` also to a public address, where anybody on the way reads it"
    )

    @property
    @abstractmethod
    def home(self) -> str:
        """The URL of the provider's API."""

    @property
    def base(self) -> str:
        """The URL before the paths of the API, without a slash at its end."""
        return self.url or self.home

    @property
    def server(self) -> tuple[str, int, Tls]:
        parts = urlsplit(self.base)
        tls: Tls = "tls" if parts.scheme == "https" else "none"
        return parts.hostname or "", parts.port or _PORTS[parts.scheme], tls

    @property
    def is_open(self) -> bool:
        return self.allow_plaintext


class WebhookRoute(HttpRoute):
    """An address of the tenant's own, which takes messages of any channel in signed requests.
    `batch`: the most messages of one request. Email has `fromDomains`; SMS and WhatsApp may have
    `senders`.
    """

    needs: ClassVar[tuple[str, ...]] = _TOKEN

    channel: Channel
    provider: Literal["webhook"]
    url: Url
    batch: Annotated[int, Field(strict=True, ge=1, le=MOST_IN_BATCH)] = 1
    from_domains: Domains | None = None
    senders: _Senders | None = None

    @model_validator(mode="after")
    def _has_what_its_channel_has(self) -> Self:
        if (self.channel == "email") != (self.from_domains is not None):
            is_missing = self.from_domains is None
            raise _about(
                "fromDomains",
                "must be given for email" if is_missing else "must not be given but for email",
            )
        if self.senders is not None and self.channel not in ("sms", "whatsapp"):
            raise _about("senders", "must not be given but for SMS and WhatsApp")
        return self

    @property
    def home(self) -> str:
        return self.url

    @property
    def domains(self) -> list[str]:
        return self.from_domains or []

    def takes(self, sender: str) -> bool:
        return _covers(self.domains, sender) if self.domains else _lists(self.senders, sender)


class MailRoute(HttpRoute):
    """A provider of email; `password` is its API key."""

    needs: ClassVar[tuple[str, ...]] = _TOKEN

    channel: Literal["email"]
    from_domains: Domains

    @property
    def domains(self) -> list[str]:
        return self.from_domains

    def takes(self, sender: str) -> bool:
        return _covers(self.from_domains, sender)


class ResendRoute(MailRoute):
    """Resend, with an API key that may send."""

    provider: Literal["resend"]

    @property
    def home(self) -> str:
        return "https://api.resend.com"


class PostmarkRoute(MailRoute):
    """Postmark, with a server's API token. `messageStream`: the id of one of its streams."""

    provider: Literal["postmark"]
    message_stream: _Word = "broadcast"

    @property
    def home(self) -> str:
        return "https://api.postmarkapp.com"


class SendGridRoute(MailRoute):
    """SendGrid, with an API key that may send mail."""

    provider: Literal["sendgrid"]
    region: Literal["global", "eu"] = "global"

    @property
    def home(self) -> str:
        return "https://api.eu.sendgrid.com" if self.region == "eu" else "https://api.sendgrid.com"


class MailgunRoute(MailRoute):
    """Mailgun, with an API key; `domain` is the sending domain there."""

    provider: Literal["mailgun"]
    domain: Domain
    region: Literal["us", "eu"] = "us"

    @property
    def home(self) -> str:
        return "https://api.eu.mailgun.net" if self.region == "eu" else "https://api.mailgun.net"


class BrevoRoute(MailRoute):
    """Brevo, with an API key."""

    provider: Literal["brevo"]

    @property
    def home(self) -> str:
        return "https://api.brevo.com"


class SesRoute(MailRoute):
    """Amazon SES: `username` is the id of an access key that may send email, `password` its secret.
    `configurationSet` names the one whose events are published.
    """

    needs: ClassVar[tuple[str, ...]] = _PAIR

    provider: Literal["ses"]
    region: _Region
    configuration_set: _Word | None = None

    @property
    def home(self) -> str:
        return f"https://email.{self.region}.amazonaws.com"


class _TextRoute(HttpRoute):
    needs: ClassVar[tuple[str, ...]] = _PAIR

    channel: Literal["sms"]
    senders: Annotated[_Senders, Field(min_length=1)]

    def takes(self, sender: str) -> bool:
        return _lists(self.senders, sender)


class TwilioRoute(_TextRoute):
    """SMS by Twilio: `username` is the SID of the account or of an API key of it, `password` the
    token or secret. `senders`: numbers, names, or SIDs of messaging services (MG…), of which the
    first sends what names none. `statusCallback`: where Twilio reports, with `?messageId=…` added.
    """

    provider: Literal["twilio"]
    account_sid: Annotated[str, StringConstraints(pattern=r"^AC[0-9a-f]{32}$")]
    status_callback: Annotated[Url, AfterValidator(_base)] | None = None

    @property
    def home(self) -> str:
        return "https://api.twilio.com"


class VonageRoute(_TextRoute):
    """SMS by Vonage: `username` is the API key, `password` its secret. `senders`: numbers or names,
    of which the first sends what names none.
    """

    provider: Literal["vonage"]

    @property
    def home(self) -> str:
        return "https://rest.nexmo.com"


class WhatsAppRoute(HttpRoute):
    """The WhatsApp Cloud API: `password` is a token that may send by the number of `phoneNumberId`.
    `senders`: the numbers that campaigns may name; null = all.
    """

    needs: ClassVar[tuple[str, ...]] = _TOKEN

    channel: Literal["whatsapp"]
    provider: Literal["whatsapp"]
    phone_number_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{5,30}$")]
    api_version: Annotated[str, StringConstraints(pattern=r"^v[0-9]{1,2}\.[0-9]$")] = "v23.0"
    senders: _Senders | None = None

    @property
    def home(self) -> str:
        return "https://graph.facebook.com"

    def takes(self, sender: str) -> bool:
        return _lists(self.senders, sender)


def _covers(domains: list[str], sender: str) -> bool:
    return not set(covering(sender)).isdisjoint(domains)


def _lists(senders: list[str] | None, sender: str) -> bool:
    """Whether the sender id is one of these; all are where none is listed, and a message without
    one goes out under the first.
    """
    return not senders or not sender or sender in senders


def _about(field: str, rule: str) -> ValidationError:
    """A broken rule between fields, under the name of one of them."""
    detail = InitErrorDetails(type=PydanticCustomError("rule", rule), loc=(field,), input=None)
    return ValidationError.from_exception_data("route", [detail], hide_input=True)
