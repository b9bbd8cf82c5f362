"""The failures that keep this process from NATS, each in one sentence: either waiting helps, or a
person has to change something.
"""

from __future__ import annotations

import ssl
from collections.abc import Collection, Iterable

from nats.errors import Error, SecureConnWantedError, UnexpectedEOF

from streams.errors import DependencyDownError
from streams.exactly_once.fatal import RefusedError
from streams.settings import Settings, nats_access

_IDENTITIES = " or ".join(
    (
        nats_access.CREDENTIALS_FILE,
        nats_access.NKEY_FILE,
        f"{nats_access.USER} and {nats_access.PASSWORD}",
        nats_access.TOKEN,
    )
)


_ENDED = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, UnexpectedEOF)


class CertificateWantedError(Error):
    """The server asks for a client certificate, and the settings name none."""


class NatsDownError(DependencyDownError):
    """NATS does not answer, refuses a message, or has no stream for it; publishing all of it again
    is safe.
    """


class NatsRefusedError(RefusedError):
    """NATS or its certificate is not accepted, NATS does not accept this process, or a file of the
    settings cannot be used.
    """


def explained(
    faults: Collection[Exception], settings: Settings, *, asks_for_certificate: bool
) -> NatsDownError | NatsRefusedError:
    """One error for all that went wrong while connecting to every server; a refusal counts most.

    A server that does not accept a client's certificate says so and ends the connection; on a busy
    machine only the end of every attempt may be seen.
    """
    reasons = dict[str, None]()
    for fault in faults:
        if sentence := _refusal(fault, settings):
            return NatsRefusedError(sentence)
        reasons[str(fault) or type(fault).__name__] = None
    if asks_for_certificate and all(isinstance(fault, _ENDED) for fault in faults):
        return NatsRefusedError(f"NATS does not accept {nats_access.CERTIFICATE_FILE}.")
    return NatsDownError(f"NATS does not answer: {'; '.join(reasons)}")


def lacks_permission(faults: Iterable[Exception]) -> NatsRefusedError | None:
    """The reason why a server that is connected does not answer, if it is this one."""
    for fault in faults:
        if "permissions violation" in str(fault):
            return NatsRefusedError(f"The user of NATS lacks a permission: {fault}.")
    return None


def _refusal(fault: Exception, settings: Settings) -> str:
    """The change that a connection needs before it can succeed; "" when waiting may do."""
    if isinstance(fault, ssl.SSLCertVerificationError):
        return (
            f"The certificate of NATS is not accepted: {fault.verify_message.rstrip('.')}. "
            f"{nats_access.CA_FILE} must hold who signed it, and CAMPAIGNS_NATS a host it names."
        )
    if isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLEOFError):
        return (
            f"NATS ends the TLS handshake ({fault.reason}): "
            f"it may not accept {nats_access.CERTIFICATE_FILE}."
        )
    if isinstance(fault, CertificateWantedError):
        return f"NATS asks for a client certificate: set {nats_access.CERTIFICATE_FILE}."
    if isinstance(fault, SecureConnWantedError):
        return "TLS is asked for, and the server in CAMPAIGNS_NATS offers none."
    said = str(fault).lower() if isinstance(fault, Error) else ""
    if "authentication timeout" in said or "auth" not in said:
        return ""
    if used := _identity_in_use(settings):
        return f"NATS refuses the identity in {used} ({fault})."
    return f"NATS asks for an identity: set {_IDENTITIES}."


def _identity_in_use(settings: Settings) -> str:
    in_url = nats_access.servers(settings.nats)
    ways = (
        (nats_access.CREDENTIALS_FILE, settings.nats_credentials_file),
        (nats_access.NKEY_FILE, settings.nats_nkey_file),
        (nats_access.TOKEN, settings.nats_token.get_secret_value()),
        (f"{nats_access.USER} and {nats_access.PASSWORD}", settings.nats_user),
        ("CAMPAIGNS_NATS", in_url.user or in_url.token),
    )
    return next((name for name, value in ways if value), "")
