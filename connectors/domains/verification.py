"""Whether a tenant controls a domain that it wants to send from: DNS has the TXT record that was
asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.domains.name_servers import txt_values
from streams.settings import Settings
from tables.models import SenderDomain
from tables.tenants.sender_domains import Finding


async def look_up(settings: Settings, domain: SenderDomain) -> Finding:
    """Ask DNS for the domain's record now. Raises DependencyDownError.

    Waits for name servers, CAMPAIGNS_DNS_TIMEOUT at most: hold no connection meanwhile.
    """
    return judged(await txt_values(settings, domain.record_name), domain.record_value)


def judged(values: Sequence[bytes] | None, wanted: str) -> Finding:
    """The meaning of a name's TXT records, given by their values; None for a name that is not
    there.

    The value may stand among others, and have spaces or the quotation marks of a form around it.
    The other values are not shown: behind a CNAME they may be those of a network that the caller
    cannot look into.
    """
    if values is None:
        return Finding.NO_SUCH_NAME
    found = [value.strip().removeprefix(b'"').removesuffix(b'"').strip() for value in values]
    if wanted.encode() in found:
        return Finding.VERIFIED
    purpose, _, _ = wanted.partition("=")
    if any(value.startswith(f"{purpose}=".encode()) for value in found):
        return Finding.OTHER_TOKEN
    return Finding.OTHER_VALUES if found else Finding.NO_TXT
