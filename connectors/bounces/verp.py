"""Variable envelope return paths (cr.yp.to/proto/verp.txt): the address that a mail's bounces go to
names the mail's message, `b.<messageId>@<bounce domain>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from streams.contracts.routes import Bounces

#: A message id, in any case: some servers change that of a local part.
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_DOMAIN = r"[a-z0-9.-]{1,255}"
_PATH = re.compile(rf"<?b\.({ID})@({_DOMAIN})>?", re.IGNORECASE | re.ASCII)
_WITHIN = re.compile(rf"(?<![\w.+-])b\.({ID})@{_DOMAIN}", re.IGNORECASE | re.ASCII)
_MOST = 10  # addresses of a text


def return_path(bounces: Bounces | None, message_id: str) -> str | None:
    """The envelope sender of a message; None where the route has no domain for bounces."""
    return None if bounces is None else f"b.{message_id}@{bounces.domain}"


def parts(address: str) -> tuple[str, str] | None:
    """The message id and the domain that the address has, in lower case; None for another
    address. The id is not verified.
    """
    found = _PATH.fullmatch(address.strip())
    return None if found is None else (found[1].lower(), found[2].lower().removesuffix("."))


def ids_in(text: str) -> Iterator[str]:
    """The message ids of such addresses in a text, the first few."""
    for place, found in enumerate(_WITHIN.finditer(text)):
        if place >= _MOST:
            return
        yield found[1].lower()
