"""Connects to a relay as a worker would, and logs in; no mail is sent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import aiosmtplib
from aiosmtplib import SMTP

from connectors.routes.destinations import Destination, NoWayError
from connectors.routes.findings import Finding, Part, Verdict
from streams.contracts.routes import SmtpRoute
from streams.settings import Settings
from tables.tenants.routes import Credentials

_LONGEST_REPLY = 200  # characters of what a server says
_GOODBYE = 1.0  # seconds
_PASSWORDS = frozenset({"cram-md5", "plain", "login"})  # ways to say a username and a password


async def log_in(
    settings: Settings,
    route: SmtpRoute,
    credentials: Credentials | None,
    to: list[Destination],
) -> list[Finding]:
    """The findings on the way to these addresses of the relay, up to the first error. Takes
    CAMPAIGNS_ROUTE_TIMEOUT at most.
    """
    findings = list[Finding]()
    patience = settings.route_timeout.total_seconds()
    try:
        async with asyncio.timeout(patience):
            await _session(settings, route, credentials, to, findings)
    except TimeoutError:
        findings.append(_stuck(route, findings, f"did not answer within {patience:g} s."))
    except NoWayError as error:
        findings.append(no_way(route, str(error)))
    return findings


def no_way(route: SmtpRoute, why: str) -> Finding:
    """There is no address to go to, or none takes a connection."""
    return _error(Part.CONNECTION, route, why)


async def _session(
    settings: Settings,
    route: SmtpRoute,
    credentials: Credentials | None,
    to: list[Destination],
    findings: list[Finding],
) -> None:
    context = None if route.tls == "none" else tls_context(settings)
    connection = await _connected(to)
    client = SMTP(
        hostname=route.host,
        sock=connection,
        use_tls=route.tls == "tls",
        start_tls=False,
        tls_context=context,
        local_hostname=own_name(settings),
        timeout=None,
    )
    try:
        await _steps(client, route, credentials, findings)
    except ssl.SSLError as error:
        findings.append(_error(Part.TLS, route, _of_tls(route, error)))
    except (aiosmtplib.SMTPException, OSError) as error:
        if isinstance(wrong := error.__cause__ or error.__context__, ssl.SSLError):
            findings.append(_error(Part.TLS, route, _of_tls(route, wrong)))
        else:
            findings.append(_stuck(route, findings, "ended the conversation, or speaks no SMTP."))
    finally:
        client.close()  # and with it the connection, which is the client's now


async def _steps(
    client: SMTP,
    route: SmtpRoute,
    credentials: Credentials | None,
    findings: list[Finding],
) -> None:
    """Raises ssl.SSLError, SMTPException and OSError for what no reply explains."""
    try:
        await client.connect()
        await client.ehlo()
    except aiosmtplib.SMTPResponseException as error:
        said = f"refused the connection: {_reply(error)}"
        findings.append(_error(Part.CONNECTION, route, said))
        return
    findings.append(_ok(Part.CONNECTION, route, "answered."))
    if not await _is_secured(client, route, findings):
        return
    if credentials is not None and not await _is_let_in(client, route, credentials, findings):
        return
    with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        async with asyncio.timeout(_GOODBYE):
            await client.quit()


async def _is_secured(client: SMTP, route: SmtpRoute, findings: list[Finding]) -> bool:
    if route.tls == "starttls":
        if not client.supports_extension("starttls"):
            said = "offers no STARTTLS: choose tls `tls`, or another port."
            findings.append(_error(Part.TLS, route, said))
            return False
        try:
            await client.starttls()
        except aiosmtplib.SMTPResponseException as error:
            findings.append(_error(Part.TLS, route, f"refused STARTTLS: {_reply(error)}"))
            return False
        await client.ehlo()
    if route.tls != "none":
        using = client.get_transport_info("ssl_object")
        version = using.version() if using is not None else "TLS"
        findings.append(_ok(Part.TLS, route, f"has a valid certificate, and speaks {version}."))
        return True
    said = "is reached without TLS: whoever is on the way reads the mail, and the password."
    findings.append(Finding(Part.TLS, Verdict.WARNING, route.host, f"{route.host} {said}"))
    return True


async def _is_let_in(
    client: SMTP, route: SmtpRoute, credentials: Credentials, findings: list[Finding]
) -> bool:
    if not _PASSWORDS.intersection(client.server_auth_methods):
        said = "asks for no username and password on this way; some do so only with TLS."
        findings.append(_error(Part.LOGIN, route, said))
        return False
    try:
        await client.login(credentials.username, credentials.password)
    except aiosmtplib.SMTPResponseException as error:
        said = f"refused the username and the password: {_reply(error)}"
        findings.append(_error(Part.LOGIN, route, said))
        return False
    findings.append(_ok(Part.LOGIN, route, "took the username and the password."))
    return True


async def _connected(to: list[Destination]) -> socket.socket:
    """A connection to the first address that takes one. Raises NoWayError."""
    loop, refused = asyncio.get_running_loop(), ""
    for one in to:
        family = socket.AF_INET6 if ":" in one.address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, (one.address, one.port))
        except OSError as error:
            connection.close()
            refused = error.strerror or type(error).__name__
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise NoWayError(f"takes no connection ({refused}): are host and port right?")


def tls_context(settings: Settings) -> ssl.SSLContext:
    """The authorities that a relay's certificate may come from. Raises NoWayError for a file of
    them that cannot be used.
    """
    context = ssl.create_default_context()
    if settings.routes_ca_file:
        try:
            context.load_verify_locations(settings.routes_ca_file)
        except OSError as error:
            raise NoWayError(
                "cannot be reached with TLS before whoever runs this installation has mended"
                " CAMPAIGNS_ROUTES_CA_FILE."
            ) from error
    return context


def host_name(settings: Settings) -> str:
    """The name or address under which the installation is known."""
    return urlsplit(settings.public_url).hostname or "localhost"


def own_name(settings: Settings) -> str:
    """The name that EHLO says; an address stands in brackets (RFC 5321, section 4.1.3)."""
    name = host_name(settings)
    try:
        address = ip_address(name)
    except ValueError:
        return name if name.isascii() else "localhost"
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


def _reply(error: aiosmtplib.SMTPResponseException) -> str:
    """The server's words, on one line, of printable characters. Raises the error again when that
    was no reply of SMTP.
    """
    if error.code < 0:
        raise error
    text = "".join(sign if sign.isprintable() else " " for sign in error.message)
    return f"{error.code} {text[:_LONGEST_REPLY]}".strip()


def _of_tls(route: SmtpRoute, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has no certificate that is valid for this name: {error.verify_message}."
    other = "`tls`" if route.tls == "starttls" else "`starttls`"
    return f"does not speak TLS like this; perhaps tls {other} is what this port wants."


def _stuck(route: SmtpRoute, so_far: list[Finding], said: str) -> Finding:
    """About the part after those that were found."""
    done = {finding.part for finding in so_far}
    part = next((one for one in (Part.CONNECTION, Part.TLS) if one not in done), Part.LOGIN)
    return _error(part, route, said)


def _error(part: Part, route: SmtpRoute, said: str) -> Finding:
    return Finding(part, Verdict.ERROR, route.host, f"{route.host} {said}")


def _ok(part: Part, route: SmtpRoute, said: str) -> Finding:
    return Finding(part, Verdict.OK, route.host, f"{route.host} {said}")
