"""The key of the hashes that stand for addresses which a contact has no longer.

A hash is the first half of an HMAC-SHA-256 (RFC 2104) that the SQL function `address_hash` makes.
Its key is derived with HKDF-SHA-256 (RFC 5869), for this purpose alone, from
`CAMPAIGNS_ADDRESS_KEY` or else the oldest of `CAMPAIGNS_MESSAGE_KEYS`. It is a setting of each
session, so PostgreSQL has it only in memory, and a dump of the database does not let anybody try
addresses out.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from streams.settings import Settings

#: The setting of a session that the SQL function reads.
ADDRESS_KEY = "campaigns.address_key"
_PURPOSE = b"campaigns: hashes of addresses"
_BLOCK = 64  # bytes of a block of SHA-256
_INNER, _OUTER = 0x36, 0x5C  # RFC 2104, section 2


def address_key(settings: Settings) -> str:
    """The value of `ADDRESS_KEY`: the key as the inner and the outer block of HMAC, in
    hexadecimal.
    """
    key = HKDF(SHA256(), _BLOCK, salt=None, info=_PURPOSE).derive(settings.address_secret)
    return bytes(byte ^ pad for pad in (_INNER, _OUTER) for byte in key).hex()
