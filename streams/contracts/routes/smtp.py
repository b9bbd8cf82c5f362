"""The settings of a relay that takes email by SMTP."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from streams.contracts.fields import Body, Switch
from streams.contracts.routes.settings import Domain, Domains, RouteLimits, RouteSettings, Tls
from streams.contracts.values.domains import covering

# As IMAP spells the name (RFC 3501, section 5.1.3); it is sent between quotation marks.
_Folder = Annotated[str, StringConstraints(pattern=r"^[ !#-\[\]-~]{1,200}$")]
_LONGEST_HOST = 253  # RFC 1035, section 2.3.4, as a text
# Some networks name their machines with an underscore.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def host_name(value: str) -> str:
    """The one spelling of the name of a server, or of its address. Raises ValueError."""
    text = value.strip().lower().removesuffix(".")
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        labels = text.split(".")
    # A number at the end would be read as an address in one of its old spellings (127.1).
    is_name = all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])
    if not is_name or len(text) > _LONGEST_HOST:
        raise ValueError(
            "must be the name of a server in ASCII, such as smtp.example.com, or its address,"
            f" without a port or a path, of at most {_LONGEST_HOST} characters"
        )
    return text


class SmtpLimits(RouteLimits):
    """The most that the relay takes; null = no limit of its own."""

    messages_per_connection: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 100


class BounceMailbox(Body):
    """A mailbox that bounces are read from by IMAP (RFC 9051). Mails that were read are marked so,
    and moved to the folder `moveTo`; null leaves them where they are. None is ever deleted.
    """

    host: Annotated[str, StringConstraints(max_length=300), AfterValidator(host_name)]
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)] = 993
    tls: Literal["tls", "none"] = "tls"
    allow_plaintext: Switch = False
    folder: _Folder = "INBOX"
    move_to: _Folder | None = None

    @property
    def server(self) -> tuple[str, int, Tls]:
        """The host and the port, and how the way there is protected."""
        return self.host, self.port, self.tls

    @property
    def is_open(self) -> bool:
        """Whether it may be at a public address without TLS."""
        return self.allow_plaintext

    @property
    def destination(self) -> tuple[object, ...]:
        """Where credentials are sent, and how they are protected on the way."""
        return (*self.server, self.is_open)


class Bounces(Body):
    """Mails come back to addresses of `domain`, each of which names its message."""

    domain: Domain
    imap: BounceMailbox | None = None


class SmtpRoute(RouteSettings):
    """A relay that takes email by SMTP."""

    channel: Literal["email"]
    provider: Literal["smtp"]
    host: Annotated[str, StringConstraints(max_length=300), AfterValidator(host_name)]
    port: Annotated[int, Field(strict=True, ge=1, le=65_535)]
    tls: Tls = "starttls"
    allow_plaintext: Switch = Field(
        False, description="tls `none` also to a public address, where anybody on the way reads it"
    )
    from_domains: Domains
    limits: SmtpLimits = SmtpLimits()
    bounces: Bounces | None = None

    @property
    def server(self) -> tuple[str, int, Tls]:
        return self.host, self.port, self.tls

    @property
    def is_open(self) -> bool:
        return self.allow_plaintext

    @property
    def domains(self) -> list[str]:
        return self.from_domains

    def takes(self, sender: str) -> bool:
        return not set(covering(sender)).isdisjoint(self.from_domains)


def bounces_of(route: RouteSettings) -> Bounces | None:
    """The place that mails of a route come back to; None: the sender, or its provider tells."""
    return route.bounces if isinstance(route, SmtpRoute) else None
