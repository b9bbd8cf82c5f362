"""How NATS lets a process in: the settings of that, the servers that CAMPAIGNS_NATS names, and
which of the settings belong together.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from streams.settings.addresses import Addresses, CertificateFile, KeyFile, Password

CREDENTIALS_FILE, NKEY_FILE = "CAMPAIGNS_NATS_CREDENTIALS_FILE", "CAMPAIGNS_NATS_NKEY_FILE"
USER, PASSWORD = "CAMPAIGNS_NATS_USER", "CAMPAIGNS_NATS_PASSWORD"
TOKEN = "CAMPAIGNS_NATS_TOKEN"
CA_FILE = "CAMPAIGNS_NATS_CA_FILE"
CERTIFICATE_FILE, KEY_FILE = "CAMPAIGNS_NATS_CERTIFICATE_FILE", "CAMPAIGNS_NATS_KEY_FILE"


class NatsAccess(Addresses):
    """At most one identity: a credentials file, an nkey, a user or a token."""

    nats_credentials_file: str = Field(
        "", description="`.creds` file with a user's JWT and seed (docs/operate/connections.md)"
    )
    nats_nkey_file: str = Field("", description="or a file with the seed of a user's nkey")
    nats_user: str = Field("", description="or a user, who may also stand in the URL")
    nats_password: Password = SecretStr("")
    nats_token: SecretStr = Field(SecretStr(""), description="or a token")
    nats_ca_file: str = Field(
        "",
        description="PEM file of the authority of the servers' certificates; empty = the system's",
    )
    nats_certificate_file: CertificateFile = ""
    nats_key_file: KeyFile = ""

    @field_validator("nats")
    @classmethod
    def _servers(cls, value: str) -> str:
        if value:
            servers(value)
        return value

    @model_validator(mode="after")
    def _nats_agrees(self) -> Self:
        if wrong := contradiction(self.nats, self.given()):
            raise ValueError(wrong)
        return self


@dataclass(frozen=True)
class Servers:
    """The servers of one cluster. `urls` hold no secrets; `user` and `password`, or `token`, are
    what stood before an @.
    """

    urls: tuple[str, ...]
    user: str = ""
    password: str = ""
    token: str = ""

    @property
    def ask_for_tls(self) -> bool:
        return any(url.startswith("tls://") for url in self.urls)


def servers(addresses: str) -> Servers:
    """Read `nats://` or `tls://` URLs, separated by commas. Raises ValueError without a secret."""
    urls, identities = list[str](), set[tuple[str, str | None]]()
    for address in addresses.split(","):
        try:
            url = urlsplit(address.strip())
            is_usable = url.scheme in ("nats", "tls") and url.hostname and url.port != 0
        except ValueError:  # a port or an IPv6 address that is none
            is_usable = False
        if not is_usable:
            raise ValueError(
                "every server is nats://host:port or tls://host:port, separated by commas; "
                "special characters of a password are percent-encoded"
            )
        urls.append(f"{url.scheme}://{url.netloc.rpartition('@')[2]}")
        if url.username:
            password = None if url.password is None else unquote(url.password)
            identities.add((unquote(url.username), password))
    if len(identities) > 1:
        raise ValueError("the servers of one cluster take the same user and password, or token")
    for first, second in identities:
        if second is None:
            return Servers(tuple(urls), token=first)
        return Servers(tuple(urls), user=first, password=second)
    return Servers(tuple(urls))


def contradiction(addresses: str, given: Set[str]) -> str:
    """A sentence that names what is missing or does not belong together; "" when all is well.

    `given` are the names of the variables above that have a value.
    """
    for needing, needed in ((USER, PASSWORD), (PASSWORD, USER), (KEY_FILE, CERTIFICATE_FILE)):
        if needing in given and needed not in given:
            return f"{needing} needs {needed}"
    ways = [name for name in (CREDENTIALS_FILE, NKEY_FILE, USER, TOKEN) if name in given]
    if addresses and ((found := servers(addresses)).user or found.token):
        ways.insert(0, "the user or token in CAMPAIGNS_NATS")
    if len(ways) > 1:
        return f"NATS takes one identity, not both {' and '.join(ways)}: unset all but one"
    return ""
