"""TLS as the settings ask for it, and the error of a process that Kafka does not let in."""

from __future__ import annotations

import ssl
from pathlib import Path

from aiokafka.errors import KafkaError

from streams.settings import Settings
from streams.settings.kafka_access import CA_FILE, CERTIFICATE_FILE, KEY_FILE, KEY_PASSWORD


class AccessRefusedError(KafkaError):  # type: ignore[misc]  # aiokafka is untyped
    """Kafka does not let this process in, or the files to get in with are not usable. Its text is
    the sentence for the operator; it quotes no secret.
    """

    def __str__(self) -> str:
        return "".join(map(str, self.args))


def tls(settings: Settings) -> ssl.SSLContext:
    """Checks the chain and the host name of every broker. Raises AccessRefusedError when a file is
    missing or does not hold a certificate or key.
    """
    ca, certificate = settings.kafka_ca_file, settings.kafka_certificate_file
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise AccessRefusedError(_unusable(CA_FILE, ca, "certificates", error)) from error
    if not certificate:
        return context
    key = settings.kafka_key_file or certificate
    for variable, file in ((CERTIFICATE_FILE, certificate), (KEY_FILE, key)):
        if not Path(file).is_file():
            raise AccessRefusedError(f"{variable}: there is no file {file}")
    password = settings.kafka_key_password.get_secret_value()
    try:
        # a function, since for a key that is encrypted OpenSSL would ask the terminal without one
        context.load_cert_chain(certificate, key, lambda: password)
    except OSError as error:
        variables = f"{CERTIFICATE_FILE} and {KEY_FILE} ({KEY_PASSWORD})"
        files = certificate if key == certificate else f"{certificate} and {key}"
        raise AccessRefusedError(
            _unusable(variables, files, "a certificate and its private key", error)
        ) from error
    return context


def _unusable(variable: str, file: str, wanted: str, error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"{variable}: {file} does not hold {wanted} that can be used ({error.reason})"
    return f"{variable}: {file} cannot be read ({error.strerror})"
