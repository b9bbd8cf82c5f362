"""The reasons why Kafka does not let this process in, each in one sentence.

aiokafka logs a refused password or certificate and goes on trying, for ever where a view or a relay
waits for Kafka, and its last error says only that it could not connect. So every process asks once
when it starts, and again when it has to wait.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.errors import DependencyDownError
from streams.kafka.access import AccessRefusedError
from streams.kafka.clients import access
from streams.settings import Settings
from streams.settings.kafka_access import (
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    MECHANISM,
    PASSWORD,
    SECURITY,
    USER,
)

_PATIENCE = 5.0  # seconds for a server that does not answer
_WRONG_NAME = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
# A client that speaks TLS to a listener that does not gets the first, or its connection is closed.
_NO_TLS = ("WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE")


@dataclass(frozen=True)
class Refusal:
    """`is_certain`: trying again is of no use until somebody changes something. A connection that
    the server closes can also be a server that is just stopping.
    """

    sentence: str
    is_certain: bool = True


async def check(settings: Settings) -> None:
    """Raises AccessRefusedError when Kafka is there and certainly does not let this process in.
    Takes milliseconds, or up to five seconds when a server does not answer.
    """
    found = await refusal(settings)
    if found is not None and found.is_certain:
        raise AccessRefusedError(found.sentence)


async def reason(settings: Settings, error: BaseException) -> str:
    """Why a client that failed with `error` does not reach Kafka, or what it needs beside it, for a
    log or a person.
    """
    if isinstance(error, (AccessRefusedError, DependencyDownError)):
        return str(error)
    found = await refusal(settings) if isinstance(error, KafkaConnectionError) else None
    return type(error).__name__ if found is None else found.sentence


async def refusal(settings: Settings) -> Refusal | None:
    """None when one of the servers lets us in, and when none of them answers."""
    try:
        arguments = access(settings)
    except AccessRefusedError as error:
        return Refusal(str(error))
    failures = await _failures(settings, arguments)
    if None in failures.values():
        return None
    found = [
        refused
        for server, error in failures.items()
        if error is not None and (refused := _told(server, error, settings))
    ]
    return next((it for it in found if it.is_certain), found[0] if found else None)


async def answers(settings: Settings) -> bool:
    """Whether one of the servers answers and lets us in; takes five seconds at most."""
    try:
        return None in (await _failures(settings, access(settings))).values()
    except AccessRefusedError:
        return False


async def _failures(
    settings: Settings, arguments: Mapping[str, Any]
) -> dict[str, Exception | None]:
    """By server; None for one that lets us in."""
    hosts = collect_hosts(settings.kafka, randomize=False)
    found = await asyncio.gather(*(_failure(host, port, arguments) for host, port, _ in hosts))
    return {f"{host}:{port}": it for (host, port, _), it in zip(hosts, found, strict=True)}


async def _failure(host: str, port: int, arguments: Mapping[str, Any]) -> Exception | None:
    """None when the server lets us in."""
    try:
        await _ask(host, port, arguments)
    except (OSError, KafkaError, TimeoutError) as error:
        return error
    return None


async def _ask(host: str, port: int, arguments: Mapping[str, Any]) -> None:
    """Signs in and asks one question, since a listener that wants SASL still answers the first
    request of a client without it. Raises the failure as it is.
    """
    async with asyncio.timeout(_PATIENCE):
        patience = round(_PATIENCE * 1000)
        connection = await create_conn(host, port, request_timeout_ms=patience, **arguments)
        try:
            await connection.send(MetadataRequest([]))
        finally:
            await connection.close()


def _told(server: str, error: Exception, settings: Settings) -> Refusal | None:
    """None when the server does not answer at all."""
    kafka, security = f"Kafka at {server}", f"{SECURITY}={settings.kafka_security}"
    for cause in _causes(error):
        match cause:
            case AccessRefusedError():
                return Refusal(str(cause))
            case SaslAuthenticationFailed():
                return Refusal(f"{kafka} refuses {_who(settings)}: {_broker_says(cause)}")
            case UnsupportedSaslMechanismError():
                return Refusal(f"{kafka} does not offer {MECHANISM}={settings.kafka_mechanism}")
            case IllegalSaslStateError():
                return Refusal(f"{kafka} does not offer SASL, which {security} asks for")
            case ssl.SSLCertVerificationError():
                return Refusal(_distrusted(kafka, cause))
            case ssl.SSLError() if cause.reason in _NO_TLS:
                return Refusal(f"{kafka} does not answer in TLS, as {security} asks", False)
            case ssl.SSLError():
                return Refusal(_certificate_refused(kafka, cause, settings))
    is_closed = isinstance(error, KafkaConnectionError | ConnectionResetError)
    sentence = f"{kafka} closes the connection: is {security} what this listener speaks?"
    return Refusal(sentence, False) if is_closed else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _who(settings: Settings) -> str:
    if settings.kafka_mechanism == "OAUTHBEARER":
        return "the token"
    return f"{USER}={settings.kafka_user} with its {PASSWORD} ({settings.kafka_mechanism})"


def _broker_says(error: KafkaError) -> str:
    return str(error.args[0]) if error.args and error.args[0] else "authentication failed"


def _distrusted(kafka: str, error: ssl.SSLCertVerificationError) -> str:
    said = error.verify_message.rstrip(".")
    remedy = (
        "CAMPAIGNS_KAFKA has to name the host as the certificate does"
        if error.verify_code in _WRONG_NAME
        else f"{CA_FILE} has to hold the certificate of the authority that signed it"
    )
    return f"the certificate of {kafka} is not trusted: {said}; {remedy}"


def _certificate_refused(kafka: str, error: ssl.SSLError, settings: Settings) -> str:
    """The alert is all that a client learns; in TLS 1.3 it comes after the handshake."""
    if not settings.kafka_certificate_file:
        return (
            f"{kafka} wants a client's certificate ({error.reason}): "
            f"set {CERTIFICATE_FILE} and {KEY_FILE}"
        )
    return (
        f"{kafka} refuses this client's certificate ({error.reason}): "
        f"{CERTIFICATE_FILE} has to be signed by an authority that it trusts"
    )
