"""Bodies and answers of `/tenant/routes`, with the examples of the API's documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints

from api.http.envelope import Instant, Schema, shown_as
from connectors.routes.findings import Part, Verdict
from streams.contracts.fields import Body, Channel
from streams.contracts.routes import (
    BounceMailbox,
    Bounces,
    Retry,
    RouteLimits,
    RouteSettings,
    Tls,
    Warmup,
)
from streams.errors import FieldError, broken
from tables import models
from tables.tenants.routes import Credentials

_AT = "2026-01-28T08:55:12.204Z"
_MOST_SELECTORS = 5

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
    """A relay that takes email by SMTP. `username` and `password` come together, are stored
    encrypted and never answered. Without them those that are stored stay, if `host`, `port` and
    `tls` are the same.
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
    bounces: BouncesPut | None = None

    @property
    def settings(self) -> RouteSettings:
        """All but the credentials."""
        hidden: Any = {"username": True, "password": True, "bounces": {"imap": _SECRETS}}
        shown = self.model_dump(by_alias=True, exclude=hidden)
        return RouteSettings.model_validate(shown)

    @property
    def credentials(self) -> Credentials | None:
        """Raises CampaignError for one without the other."""
        return _both(self.username, self.password)

    @property
    def mailbox(self) -> Credentials | None:
        """Those of the mailbox that bounces come to. Raises CampaignError for one without the
        other.
        """
        imap = None if self.bounces is None else self.bounces.imap
        return None if imap is None else _both(imap.username, imap.password, "bounces.imap.")


def _both(username: str | None, password: str | None, where: str = "") -> Credentials | None:
    if username is None and password is None:
        return None
    if username is None or password is None:
        missing = where + ("username" if username is None else "password")
        raise broken(
            FieldError(missing, "must be given with the other one: both, or neither of them")
        )
    return Credentials(username, password)


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
    provider: Literal["smtp"]
    host: str
    port: int
    tls: Tls
    allow_plaintext: bool
    from_domains: list[str]
    priority: int
    weight: int
    tags: list[str]
    limits: RouteLimits
    warmup: Warmup | None = None
    retry: Retry
    on_doubt: Literal["resend", "hold", "drop"]
    bounces: Bounces | None = None
    is_set: list[str]
    paused_at: Instant | None
    created_at: Instant
    updated_at: Instant

    @classmethod
    def of(cls, row: models.Route) -> Self:
        is_set = [] if row.sealed is None else list(Credentials.__struct_fields__)
        more: dict[str, Any] = {
            "name": row.name,
            "channel": row.channel,
            "provider": row.provider,
            "isSet": is_set,
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
