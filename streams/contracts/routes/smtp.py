"""The settings of a relay that takes email by SMTP."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from streams.contracts.fields import Switch
from streams.contracts.routes.settings import Domains, RouteLimits, RouteSettings, Tls
from streams.contracts.values.domains import covering

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
