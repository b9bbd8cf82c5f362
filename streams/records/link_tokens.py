"""Tokens of the links in a message: a recipient's proof that the unsubscribe page, the pixel or a
link is their own.

A message id is no proof, because everybody who reads the ledger, Kafka or NATS knows it. A token is
24 characters of base64url (RFC 4648, section 5): 48 bits campaign number, 24 bits recipient
ordinal, 72 bits MAC. The MACs of the two purposes are the halves of one BLAKE2b (RFC 7693, keyed,
18 bytes, a `person` of its own) over number and ordinal: neither half tells anything about the
other, and no message id about either. The key of a campaign's tokens is the one that signs its
message ids.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b
from hmac import compare_digest

from streams.records.message_id import InvalidMessageIdError, Recipient, recipient
from streams.settings import Settings
from streams.settings.message_keys import MessageKey, Use, numbered, signing

_PERSON = b"recipient links"
_MAC = 9  # bytes
_HEAD, _NUMBER = 9, 6  # bytes: number and ordinal, number alone
_TOKEN = re.compile(r"[A-Za-z0-9_-]{24}")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Purpose(Enum):
    """The purpose of a token, and where its half of the MAC begins."""

    UNSUBSCRIBE = 0
    TRACKING = _MAC


class LinkTokens:
    """Makes tokens for the recipients of campaigns, and reads those of keys that are believed."""

    def __init__(self, keys: Sequence[bytes | MessageKey]) -> None:
        """The epoch of a key without one is its position."""
        known = numbered(keys)
        # the key is absorbed once
        self._keyed = {
            key.epoch: blake2b(digest_size=2 * _MAC, key=key.secret, person=_PERSON).copy
            for key in known
        }
        believed = [key.epoch for key in reversed(known) if key.use is not Use.WITHDRAWN]
        self._believed = [self._keyed[epoch] for epoch in believed]  # the newest first
        self._signing = signing(known).epoch

    @classmethod
    def of(cls, settings: Settings) -> LinkTokens:
        return cls(settings.keys)

    def make(self, message_id: str) -> tuple[str, str]:
        """The tokens to unsubscribe and for tracking, of a message id that we made; the key that
        new campaigns sign with makes them.
        """
        [made] = self.make_many(*recipient(message_id), epoch=self._signing)
        return made

    def make_many(self, number: int, *ordinals: int, epoch: int) -> list[tuple[str, str]]:
        """`make` for many recipients of one campaign. 1.2 us each: what they have in common is
        hashed and spelled once, and both tokens of a recipient are spelled in one go.
        """
        campaign = number.to_bytes(_NUMBER)
        begun, begins = self._keyed[epoch](), b2a_base64(campaign, newline=False)
        begun.update(campaign)
        start, copied = begins.translate(_URL_SAFE).decode(), begun.copy
        made = []
        for ordinal in ordinals:
            place, mac = ordinal.to_bytes(_HEAD - _NUMBER), copied()
            mac.update(place)
            digest = mac.digest()
            both = b2a_base64(place + digest[:_MAC] + place + digest[_MAC:], newline=False)
            text = both.translate(_URL_SAFE).decode()
            made.append((start + text[:16], start + text[16:]))
        return made

    def read(self, token: str, purpose: Purpose) -> Recipient:
        """The recipient whose token this is. Needs no look-up, so a forged one costs nothing.

        Raises InvalidMessageIdError ("id-format" or "id-forged").
        """
        if not _TOKEN.fullmatch(token):
            raise InvalidMessageIdError("id-format")
        content = urlsafe_b64decode(token)
        head, given, start = content[:_HEAD], content[_HEAD:], purpose.value
        for keyed in self._believed:
            mac = keyed()
            mac.update(head)
            if compare_digest(mac.digest()[start : start + _MAC], given):
                return Recipient(int.from_bytes(head[:_NUMBER]), int.from_bytes(head[_NUMBER:]))
        raise InvalidMessageIdError("id-forged")
