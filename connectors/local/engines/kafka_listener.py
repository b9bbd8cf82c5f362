"""The listeners of a local broker that ask for credentials: by SASL alone on a machine that the
broker shares, by TLS and SASL as a cluster elsewhere does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.metadata import MetadataRequest

from connectors.local.engines.engine import Account
from connectors.local.engines.kafka_probe import names_a_broker
from streams.settings.kafka_access import Mechanism, Security

_MODULES: Mapping[str, str] = {
    "PLAIN": "plain.PlainLoginModule",
    "SCRAM-SHA-256": "scram.ScramLoginModule",
    "SCRAM-SHA-512": "scram.ScramLoginModule",
    "OAUTHBEARER": "oauthbearer.OAuthBearerLoginModule",
}
_PACKAGE = "org.apache.kafka.common.security"
# Takes tokens that nobody has signed (RFC 7515, appendix A.5): for tests.
_UNSIGNED = (
    f"{_PACKAGE}.oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
)
_AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
_PROBE = 2.0  # seconds


@dataclass(frozen=True)
class SecuredListener:
    """The demands on every client, and so on the broker, which is its own client.

    `users` are names and passwords of letters and digits: the broker is the first of them, by the
    first of `mechanisms`. It alone may sign in at its controller, by PLAIN. `certificate` is a PEM
    file with a key in PKCS #8 and its chain, `authority` one with the certificate that signed it
    and those of the clients; both only with TLS. `has_rules`: users may do what the cluster's ACLs
    allow them, and the broker everything.
    """

    security: Security
    certificate: Path | None = None
    authority: Path | None = None
    mechanisms: tuple[Mechanism, ...] = ()
    users: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    wants_certificates: bool = False
    has_rules: bool = False

    @property
    def of_controllers(self) -> Security:
        """How the broker speaks to its controller. Without users, certificates guard the clients'
        port alone.
        """
        return "SASL_PLAINTEXT" if self.users else "PLAINTEXT"

    def properties(self, clients: str, controllers: str) -> dict[str, str]:
        """Of the broker's configuration, for listeners of these names."""
        found = self._of_tls() if self.security.endswith("SSL") else {}
        if not self.mechanisms:
            return found
        if self.has_rules:
            found["authorizer.class.name"] = _AUTHORIZER
            found["super.users"] = f"User:{self._broker.user}"
        found["sasl.enabled.mechanisms"] = ",".join(self.mechanisms)
        found["sasl.mechanism.inter.broker.protocol"] = self.mechanisms[0]
        for mechanism in self.mechanisms:
            prefix = f"listener.name.{clients.lower()}.{mechanism.lower()}.sasl"
            found[f"{prefix}.jaas.config"] = self._jaas(mechanism, self.users)
            if mechanism == "OAUTHBEARER":
                found[f"{prefix}.server.callback.handler.class"] = _UNSIGNED
        of_controllers, broker = f"listener.name.{controllers.lower()}", self._broker
        found["sasl.mechanism.controller.protocol"] = "PLAIN"
        found[f"{of_controllers}.sasl.enabled.mechanisms"] = "PLAIN"
        found[f"{of_controllers}.plain.sasl.jaas.config"] = self._jaas(
            "PLAIN", {broker.user: broker.password}
        )
        return found

    def _of_tls(self) -> dict[str, str]:
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.certificate),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority),
            "ssl.client.auth": "required" if self.wants_certificates else "none",
        }

    def format_options(self) -> list[str]:
        """Return the options of the tool that formats the folder: SCRAM's passwords are part of the
        metadata that it writes.
        """
        return [
            option
            for mechanism in self.mechanisms
            if mechanism.startswith("SCRAM")
            for name, password in self.users.items()
            for option in ("--add-scram", f"{mechanism}=[name={name},password={password}]")
        ]

    def is_ready(self, port: int) -> bool:
        """Whether a client that signs in is told of a live broker. Blocks for seconds at most, also
        where an event loop runs.
        """
        if self.security == "SASL_PLAINTEXT" and self.mechanisms[0] == "PLAIN":
            return names_a_broker(port, self._broker)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, self._answers(port)).result()

    async def _answers(self, port: int) -> bool:
        try:
            async with asyncio.timeout(_PROBE):
                connection = await create_conn("127.0.0.1", port, **self._arguments())
                try:
                    metadata = await connection.send(MetadataRequest([]))
                finally:
                    await connection.close()
        except (OSError, KafkaError, TimeoutError):
            return False
        return bool(metadata.brokers)

    def _arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {"security_protocol": self.security}
        if self.security.endswith("SSL"):
            own = self.certificate if self.wants_certificates else None
            arguments["ssl_context"] = create_ssl_context(cafile=self.authority, certfile=own)
        if self.mechanisms:
            broker = self._broker
            arguments["sasl_mechanism"] = self.mechanisms[0]
            arguments["sasl_plain_username"] = broker.user
            arguments["sasl_plain_password"] = broker.password
        return arguments

    @property
    def _broker(self) -> Account:
        return Account(*next(iter(self.users.items())))

    def _jaas(self, mechanism: Mechanism, users: Mapping[str, str]) -> str:
        broker = self._broker
        options = {"username": broker.user, "password": broker.password}
        if mechanism == "PLAIN":
            options |= {f"user_{user}": secret for user, secret in users.items()}
        elif mechanism == "OAUTHBEARER":
            options = {"unsecuredLoginStringClaim_sub": broker.user}
        spelt = " ".join(f'{option}="{value}"' for option, value in options.items())
        return f"{_PACKAGE}.{_MODULES[mechanism]} required {spelt};"
