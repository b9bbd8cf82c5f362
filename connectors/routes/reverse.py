"""PTR: whether the relay's address has a name that leads back to it, which receivers ask for."""

from __future__ import annotations

from ipaddress import ip_address

from connectors.routes.findings import Finding, Part, Record, Verdict
from connectors.routes.names import Names

_ELSE = "If its mail leaves from other addresses, these are what receivers look at."


async def ptr(names: Names, host: str, address: str) -> Finding:
    """Raises DependencyDownError."""
    name = ip_address(address).reverse_pointer
    found = [
        one.target.to_text(omit_final_dot=True) for one in await names.records(name, "PTR") or ()
    ]
    for target in found:
        if ip_address(address) in map(ip_address, await names.addresses(target)):
            said = "The address has a name that leads back to it."
            return Finding(Part.PTR, Verdict.OK, address, said)
    said = (
        "The address has a name that does not lead back to it."
        if found
        else ("The address has no name.")
    )
    record = Record(name, "PTR", host)
    return Finding(Part.PTR, Verdict.WARNING, address, f"{said} {_ELSE}", record)


def unknown(host: str) -> Finding:
    """About a relay without a public address."""
    said = "The relay has no public address. Whoever runs it knows from which one its mail leaves."
    return Finding(Part.PTR, Verdict.UNKNOWN, host, said)
