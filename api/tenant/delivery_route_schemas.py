"""Bodies and answers of `/tenant/routes`, with the examples of the API's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, create_model

from api.http.envelope import Instant, Schema, shown_as, sometimes
from connectors.routes.findings import Part, Verdict
from streams.contracts.fields import Body, Channel
from streams.contracts.routes import (
    BounceMailbox,
    Bounces,
    OnDoubt,
    Retry,
    RouteLimits,
    RouteSettings,
    SmtpLimits,
    SmtpRoute,
    Tls,
    Warmup,
)
from streams.errors import FieldError, broken
from tables import models
from tables.tenants.routes import Credentials, is_set

_AT = "2026-01-28T08:55:12.204Z"
_MOST_SELECTORS = 5

Provider = Literal[
    "smtp",
    "webhook",
    "resend",
    "postmark",
    "sendgrid",
    "mailgun",
    "brevo",
    "ses",
    "twilio",
    "vonage",
    "whatsapp",
]
Selector = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")
]
_Credential = Annotated[
    str, StringConstraints(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f\x7f]+$")
]
_SETTINGS = {
    "channel": "email",
    "provider": "smtp",
    "host": "smtp.acme.com",
    "port": 587,
    "tls": "starttls",
    "fromDomains": ["acme.com"],
    "tags": ["marketing"],
    "limits": {"perSecond": 50, "perHour": 20000, "perDay": 200000, "connections": 8},
    "bounces": {"domain": "bounce.acme.com"},
}
_IMAP = {"host": "imap.acme.com", "username": "bounces", "password": "correct horse"}
_SECRETS = {"username", "password"}


class BounceMailboxPut(BounceMailbox):
    """`username` and `password` come together. Without them those that are stored stay, if `host`,
    `port` and `tls` are the same.
    """

    username: _Credential | None = Field(None, repr=False)
    password: _Credential | None = Field(None, repr=False)


class BouncesPut(Bounces):
    """Mails come back to addresses of `domain`, each of which names its message."""

    imap: BounceMailboxPut | None = None


class RoutePut(RouteSettings):
    """A route with its credentials, which are stored encrypted and never answered: `username` and
    `password` of a relay, if it asks for them; of other providers those that they need, where a
    key or token alone is the `password`. Without them those that are stored stay, if they go to
    the same server.
    """

    model_config = shown_as(
        {
            **_SETTINGS,
            "username": "acme",
            "password": "correct horse",
            "bounces": {"domain": "bounce.acme.com", "imap": _IMAP},
        }
    )

    username: _Credential | None = Field(None, repr=False)
    password: _Credential | None = Field(None, repr=False)

    @property
    def settings(self) -> RouteSettings:
        """All but the credentials."""
        hidden: Any = {"username": True, "password": True, "bounces": {"imap": _SECRETS}}
        shown = self.model_dump(by_alias=True, exclude=hidden)
        return RouteSettings.model_validate(shown)

    @property
    def credentials(self) -> Credentials | None:
        """Raises CampaignError for one without the other, and for one that is not asked for."""
        needs = self.needs or Credentials.__struct_fields__
        given = {"username": self.username, "password": self.password}
        for field, value in given.items():
            if value is not None and field not in needs:
                raise broken(FieldError(field, f"must not be given: {self.provider} has none"))
        return _all_of({field: given[field] for field in needs})

    @property
    def mailbox(self) -> Credentials | None:
        """Those of the mailbox that bounces come to. Raises CampaignError for one without the
        other.
        """
        return None


class SmtpRoutePut(SmtpRoute, RoutePut):
    """A relay that takes email by SMTP."""

    bounces: BouncesPut | None = None

    @property
    def mailbox(self) -> Credentials | None:
        imap = None if self.bounces is None else self.bounces.imap
        if imap is None:
            return None
        return _all_of({"username": imap.username, "password": imap.password}, "bounces.imap.")


def _all_of(given: Mapping[str, str | None], where: str = "") -> Credentials | None:
    """All of them or none. Raises CampaignError."""
    if not any(given.values()):
        return None
    for field, value in given.items():
        if value is None:
            raise broken(
                FieldError(
                    where + field, "must be given with the other one: both, or neither of them"
                )
            )
    return Credentials(given.get("username") or "", given.get("password") or "")


RoutePut.kinds = {
    provider: create_model(f"{kind.__name__}Put", __base__=(kind, RoutePut), __doc__=kind.__doc__)
    for provider, kind in RouteSettings.kinds.items()
} | {"smtp": SmtpRoutePut}


_ROUTE = {
    "name": "relay-eu",
    **_SETTINGS,
    "allowPlaintext": False,
    "priority": 1,
    "weight": 100,
    "limits": {
        "perSecond": 50,
        "perHour": 20000,
        "perDay": 200000,
        "connections": 8,
        "messagesPerConnection": 100,
    },
    "warmup": {"startsAt": "2026-12-01", "perHour": 20, "factor": 1.4, "overflow": "wait"},
    "retry": {"maxAge": "P1D"},
    "onDoubt": "resend",
    "bounces": {"domain": "bounce.acme.com", "imap": None},
    "isSet": ["username", "password"],
    "pausedAt": None,
    "createdAt": _AT,
    "updatedAt": _AT,
}


class Route(Schema):
    """`isSet`: the credentials that are stored; they are never shown, and those of a mailbox are
    always there. `pausedAt` is null while the route is not paused.
    """

    model_config = shown_as(_ROUTE)

    name: str
    channel: Channel
    provider: Provider
    host: str | None = sometimes("of a relay")
    port: int | None = sometimes("of a relay")
    tls: Tls | None = sometimes("of a relay")
    url: str | None = sometimes("of a provider over HTTP, where it is not the provider's own")
    batch: int | None = sometimes("of a webhook")
    region: str | None = sometimes("of SendGrid, Mailgun and Amazon SES")
    domain: str | None = sometimes("of Mailgun")
    message_stream: str | None = sometimes("of Postmark")
    configuration_set: str | None = sometimes("of Amazon SES")
    account_sid: str | None = sometimes("of Twilio")
    status_callback: str | None = sometimes("of Twilio")
    phone_number_id: str | None = sometimes("of WhatsApp")
    api_version: str | None = sometimes("of WhatsApp")
    allow_plaintext: bool
    from_domains: list[str] | None = sometimes("of email")
    senders: list[str] | None = sometimes("of SMS and WhatsApp")
    priority: int
    weight: int
    tags: list[str]
    limits: RouteLimits | SmtpLimits
    warmup: Warmup | None = None
    retry: Retry
    on_doubt: OnDoubt
    bounces: Bounces | None = sometimes()
    is_set: list[str]
    paused_at: Instant | None
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, row: models.Route) -> Self:
        more: dict[str, Any] = {
            "name": row.name,
            "channel": row.channel,
            "provider": row.provider,
            "isSet": is_set(row),
            "pausedAt": row.paused_at,
            "createdAt": row.created_at,
            "updatedAt": row.updated_at,
        }
        return cls.model_validate(row.settings | more)


class RouteCheck(Body):
    """The selectors under which the relay signs (DKIM); nobody can find them out by DNS."""

    model_config = shown_as({"dkimSelectors": ["s1"]})

    dkim_selectors: Annotated[list[Selector], Field(max_length=_MOST_SELECTORS)] = Field(
        default_factory=list
    )


class RecordToSet(Schema):
    """A record to set in DNS. `value` is null where only somebody else knows it, whom the
    explanation names.
    """

    name: str
    type: Literal["TXT", "MX", "PTR"]
    value: str | None


class RouteFinding(Schema):
    """`subject` is the relay, its address, or the domain that `part` was looked at for."""

    part: Part
    status: Verdict
    subject: str
    explanation: str
    record: RecordToSet | None


class CheckedRoute(Schema):
    """`status` is that of the worst finding: `error`, `unknown` (there was no answer), `warning` or
    `ok`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "relay-eu",
                    "status": "error",
                    "findings": [
                        {
                            "part": "login",
                            "status": "ok",
                            "subject": "smtp.acme.com",
                            "explanation": "smtp.acme.com took the username and the password.",
                            "record": None,
                        },
                        {
                            "part": "dmarc",
                            "status": "error",
                            "subject": "acme.com",
                            "explanation": "There is no DMARC record; the large providers refuse"
                            " bulk mail without one.",
                            "record": {
                                "name": "_dmarc.acme.com",
                                "type": "TXT",
                                "value": "v=DMARC1; p=none",
                            },
                        },
                    ],
                }
            ]
        }
    )

    name: str
    status: Verdict
    findings: list[RouteFinding]
