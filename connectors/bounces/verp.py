"""Variable envelope return paths (cr.yp.to/proto/verp.txt): the address that a mail's bounces go to
names the mail's message, `b.<messageId>@<bounce domain>`.
"""

from __future__ import annotations

import re

from streams.contracts.routes import Bounces

#: A message id, in any case: some servers change that of a local part.
ID = r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_PATH = re.compile(rf"<?b\.({ID})@([a-z0-9.-]{{1,255}})>?", re.IGNORECASE | re.ASCII)


def return_path(bounces: Bounces | None, message_id: str) -> str | None:
    """The envelope sender of a message; None where the route has no domain for bounces."""
    return None if bounces is None else f"b.{message_id}@{bounces.domain}"


def parts(address: str) -> tuple[str, str] | None:
    """The message id and the domain that the address has, in lower case; None for another
    address. The id is not verified.
    """
    found = _PATH.fullmatch(address.strip())
    return None if found is None else (found[1].lower(), found[2].lower().removesuffix("."))
