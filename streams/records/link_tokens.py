"""Tokens of the links in a message: a recipient's proof that the unsubscribe page, the pixel or a
link is their own.

A message id is no proof, because everybody who reads the ledger, Kafka or NATS knows it. A token is
24 characters of base64url (RFC 4648, section 5): 48 bits campaign number, 24 bits recipient
ordinal, 72 bits MAC. The MACs of the two purposes are the halves of one BLAKE2b (RFC 7693, keyed,
18 bytes, a `person` of its own) over number and ordinal: neither half tells anything about the
other, and no message id about either. The key is the one that signs the message id.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from hmac import compare_digest

from streams.records.message_id import InvalidMessageIdError, Recipient
from streams.settings import Settings

_EPOCHS = "89ab"  # as in a message id
_PERSON = b"recipient links"
_MAC = 9  # bytes
_HEAD = 9  # bytes: number and ordinal
_TOKEN = re.compile(r"[A-Za-z0-9_-]{24}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Purpose(Enum):
    """What a token is good for, and where its half of the MAC begins."""

    UNSUBSCRIBE = 0
    TRACKING = _MAC


class LinkTokens:
    """Makes tokens for message ids, and reads them. A key's position is its epoch."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keyed = tuple(
            blake2b(digest_size=2 * _MAC, key=key, person=_PERSON).copy for key in keys
        )  # the key is absorbed once

    @classmethod
    def of(cls, settings: Settings) -> LinkTokens:
        return cls([bytes.fromhex(key.get_secret_value()) for key in settings.message_keys])

    def make(self, message_id: str) -> tuple[str, str]:
        """The tokens to unsubscribe and for tracking, of a message id that we made. About 2 us."""
        head = bytes.fromhex(
            message_id[:8] + message_id[9:13] + message_id[15:18] + message_id[20:23]
        )
        mac = self._keyed[_EPOCHS.index(message_id[19])]()
        mac.update(head)
        digest = mac.digest()
        return _text(head + digest[:_MAC]), _text(head + digest[_MAC:])

    def read(self, token: str, purpose: Purpose) -> Recipient:
        """The recipient whose token this is. Needs no look-up, so a forged one costs nothing.

        Raises InvalidMessageIdError ("id-format" or "id-forged").
        """
        if not _TOKEN.fullmatch(token):
            raise InvalidMessageIdError("id-format")
        content = urlsafe_b64decode(token)
        head, given, start = content[:_HEAD], content[_HEAD:], purpose.value
        for keyed in reversed(self._keyed):  # mostly the newest
            mac = keyed()
            mac.update(head)
            if compare_digest(mac.digest()[start : start + _MAC], given):
                return Recipient(int.from_bytes(head[:6]), int.from_bytes(head[6:]))
        raise InvalidMessageIdError("id-forged")


def _text(content: bytes) -> str:
    return b2a_base64(content, newline=False).translate(_URL_SAFE).decode()
