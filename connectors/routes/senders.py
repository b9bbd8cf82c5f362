"""DNS about a domain that mail is sent from: DKIM (RFC 6376), DMARC (RFC 7489) and MX."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from connectors.routes.findings import Finding, Part, Record, Verdict
from connectors.routes.names import Names
from streams.contracts.values.domains import covering

_TAG = re.compile(r"[ \t]*([A-Za-z][A-Za-z0-9_]*)[ \t]*=([^;]*)")
_SHORTEST, _SHORT = 1_024, 2_048  # bits of RSA: RFC 8301, section 3.2
_ED25519 = 32  # bytes (RFC 8463)


async def dkim(names: Names, domain: str, selector: str) -> Finding:
    """Whether receivers find a key that they take. Raises DependencyDownError."""
    name = f"{selector}._domainkey.{domain}"
    tags = [_tags(value) for value in await names.texts(name)]
    keys = [one for one in tags if "p" in one and one.get("v", "DKIM1") == "DKIM1"]
    if len(keys) != 1:
        said = "There is no DKIM key" if not keys else "There are several DKIM keys"
        said += f" of the selector {selector}. Whoever signs, the relay or its provider, names it."
        return Finding(Part.DKIM, Verdict.ERROR, domain, said, Record(name, "TXT", None))
    status, said = _judged(keys[0])
    record = None if status is Verdict.OK else Record(name, "TXT", None)
    return Finding(Part.DKIM, status, domain, f"The DKIM key of {selector} {said}.", record)


async def dmarc(names: Names, domain: str) -> Finding:
    """The policy of the domain, or of the first one above it that has one. Raises
    DependencyDownError.
    """
    for place in covering(domain):
        found = [
            tags
            for value in await names.texts(f"_dmarc.{place}")
            if (tags := _tags(value)).get("v") == "DMARC1" and next(iter(tags)) == "v"
        ]
        if not found:
            continue
        if len(found) > 1:
            said = f"{place} has several DMARC records: receivers then follow none."
            return Finding(Part.DMARC, Verdict.ERROR, domain, said)
        policy = found[0].get("p", "").lower()
        if policy in ("none", "quarantine", "reject"):
            said = f"{place} has the DMARC policy `{policy}`."
            return Finding(Part.DMARC, Verdict.OK, domain, said)
        said = f"The DMARC record of {place} has no policy: p is none, quarantine or reject."
        record = Record(f"_dmarc.{place}", "TXT", "v=DMARC1; p=none")
        return Finding(Part.DMARC, Verdict.ERROR, domain, said, record)
    said = "There is no DMARC record; the large providers refuse bulk mail without one."
    record = Record(f"_dmarc.{domain}", "TXT", "v=DMARC1; p=none")
    return Finding(Part.DMARC, Verdict.ERROR, domain, said, record)


async def mx(names: Names, domain: str, server: str | None = None) -> Finding:
    """Whether answers and bounces find a server, which is to be `server` where that is known.
    Raises DependencyDownError.
    """
    found = await names.records(domain, "MX") or []
    wanted = Record(domain, "MX", None if server is None else f"10 {server}.")
    if any(one.exchange.to_text() == "." for one in found):
        said = (
            "The domain says that it takes no mail (RFC 7505), and then receivers take none from"
            " it. Name the server that takes its mail."
        )
        return Finding(Part.MX, Verdict.ERROR, domain, said, wanted)
    exchangers = {one.exchange.to_text(omit_final_dot=True).lower() for one in found}
    if found and server is not None and server.lower() not in exchangers:
        said = (
            f"The domain's mail goes to other servers than {server}, which takes bounces here. That"
            " is right where they pass them on."
        )
        return Finding(Part.MX, Verdict.WARNING, domain, said, wanted)
    if found:
        return Finding(Part.MX, Verdict.OK, domain, "The domain has a server for its mail.")
    if await names.addresses(domain):
        said = (
            "The domain has no MX record, so its mail goes to its own address (RFC 5321, section"
            " 5.1). Name the server that takes it."
        )
        return Finding(Part.MX, Verdict.WARNING, domain, said, wanted)
    said = (
        "The domain has no server for its mail: answers and bounces are lost, and some receivers"
        " refuse such a sender. Name the server that takes it."
    )
    return Finding(Part.MX, Verdict.ERROR, domain, said, wanted)


def _judged(key: dict[str, str]) -> tuple[Verdict, str]:
    kind, text = key.get("k", "rsa").lower(), re.sub(r"[ \t]", "", key["p"])
    if not text:
        return Verdict.ERROR, "is revoked: its record has no key any more"
    try:
        data = b64decode(text, validate=True)
        if kind == "ed25519":
            if len(data) != _ED25519:
                raise ValueError(kind)
            return Verdict.WARNING, "is one of Ed25519, which many receivers do not verify"
        found = load_der_public_key(data)
        if kind != "rsa" or not isinstance(found, RSAPublicKey):
            raise ValueError(kind)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return Verdict.ERROR, "cannot be read: its record was cut or changed on the way"
    if found.key_size < _SHORTEST:
        return Verdict.ERROR, f"has {found.key_size} bits: receivers take {_SHORTEST} at least"
    if found.key_size < _SHORT:
        return Verdict.WARNING, f"has {found.key_size} bits: {_SHORT} are better"
    return Verdict.OK, f"has {found.key_size} bits"


def _tags(value: bytes) -> dict[str, str]:
    """The tags of a record (RFC 6376, section 3.2), in their order; empty for another record."""
    found = dict[str, str]()
    for part in value.decode("latin-1").split(";"):
        if match := _TAG.fullmatch(part):
            found.setdefault(match[1], match[2].strip())
        elif part.strip():
            return {}
    return found
