"""How Kafka lets a process in: the settings of that, of which each protocol and each mechanism
needs some and uses no other.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from streams.settings.addresses import Addresses, CertificateFile, KeyFile, Password
from streams.settings.checks import confidential, is_loopback

Security = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]

SECURITY, MECHANISM = "CAMPAIGNS_KAFKA_SECURITY", "CAMPAIGNS_KAFKA_MECHANISM"
USER, PASSWORD = "CAMPAIGNS_KAFKA_USER", "CAMPAIGNS_KAFKA_PASSWORD"
CA_FILE = "CAMPAIGNS_KAFKA_CA_FILE"
CERTIFICATE_FILE = "CAMPAIGNS_KAFKA_CERTIFICATE_FILE"
KEY_FILE, KEY_PASSWORD = "CAMPAIGNS_KAFKA_KEY_FILE", "CAMPAIGNS_KAFKA_KEY_PASSWORD"
TOKEN_FILE, TOKEN_URL = "CAMPAIGNS_KAFKA_TOKEN_FILE", "CAMPAIGNS_KAFKA_TOKEN_URL"
TOKEN_CLIENT, TOKEN_SECRET = "CAMPAIGNS_KAFKA_TOKEN_CLIENT", "CAMPAIGNS_KAFKA_TOKEN_SECRET"
TOKEN_SCOPE = "CAMPAIGNS_KAFKA_TOKEN_SCOPE"


class KafkaAccess(Addresses):
    """None of these on a trusted network, which is the default."""

    kafka_security: Security = Field(
        "PLAINTEXT",
        description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL (docs/operate/connections.md)",
    )
    kafka_mechanism: Mechanism = Field(
        "", description="of SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
    )
    kafka_user: str = Field("", description="of PLAIN and SCRAM; for Confluent Cloud the API key")
    kafka_password: Password = SecretStr("")
    kafka_ca_file: str = Field(
        "",
        description="PEM file of the authority of the brokers' certificates; empty = the system's",
    )
    kafka_certificate_file: CertificateFile = ""
    kafka_key_file: KeyFile = ""
    kafka_key_password: SecretStr = Field(SecretStr(""), description="of an encrypted key file")
    kafka_token_file: str = Field(
        "", description="file with the token of OAUTHBEARER, read at every connection"
    )
    kafka_token_url: Annotated[str, AfterValidator(confidential)] = Field(
        "", description="or the token endpoint that gives it (OAuth 2.0 client credentials, https)"
    )
    kafka_token_client: str = Field("", description="client id at the token endpoint")
    kafka_token_secret: SecretStr = Field(SecretStr(""), description="of this client")
    kafka_token_scope: str = Field("", description="asked of the token endpoint; empty = none")

    def exposed(self) -> str:
        """A warning when a password or token crosses a network in clear, else empty."""
        proves = self.kafka_mechanism.startswith("SCRAM")  # and does not send
        hosts = [server.rpartition(":")[0].strip(" []") for server in self.kafka.split(",")]
        if self.kafka_security != "SASL_PLAINTEXT" or proves or all(map(is_loopback, hosts)):
            return ""
        return (
            f"{SECURITY}=SASL_PLAINTEXT with {MECHANISM}={self.kafka_mechanism} sends the secret"
            " over the network in clear: SASL_SSL and SCRAM do not"
        )

    @model_validator(mode="after")
    def _kafka_agrees(self) -> Self:
        of_kafka = {name for name in self.given() if name.startswith("CAMPAIGNS_KAFKA_")}
        of_kafka.discard(SECURITY)
        if wrong := contradiction(self.kafka_security, self.kafka_mechanism, of_kafka):
            raise ValueError(wrong)
        return self


def contradiction(security: Security, mechanism: Mechanism, given: Set[str]) -> str:
    """A sentence that names the missing variables, or those of no use; "" when all is well.

    `given` are the names of the variables above that have a value.
    """
    needed, usable = set[str](), set[str]()
    if security.startswith("SASL"):
        needed.add(MECHANISM)
        usable.add(MECHANISM)
        if mechanism == "OAUTHBEARER":
            if len(given & {TOKEN_FILE, TOKEN_URL}) != 1:
                return f"{MECHANISM}=OAUTHBEARER needs either {TOKEN_FILE} or {TOKEN_URL}"
            usable |= {TOKEN_FILE, TOKEN_URL}
            if TOKEN_URL in given:
                needed |= {TOKEN_CLIENT, TOKEN_SECRET}
                usable.add(TOKEN_SCOPE)
        elif mechanism:
            needed |= {USER, PASSWORD}
    if security.endswith("SSL"):
        usable |= {CA_FILE, CERTIFICATE_FILE, KEY_FILE, KEY_PASSWORD}
        if given & {KEY_FILE, KEY_PASSWORD}:
            needed.add(CERTIFICATE_FILE)
    chosen = f"{SECURITY}={security}"
    if MECHANISM in needed and mechanism:
        chosen += f" with {MECHANISM}={mechanism}"
    if missing := needed - given:
        return f"{chosen} needs {_listed(missing)}"
    if surplus := given - needed - usable:
        return f"{chosen} does not use {_listed(surplus)}: unset it, or choose another"
    return ""


def _listed(names: Set[str]) -> str:
    return " and ".join(sorted(names))
