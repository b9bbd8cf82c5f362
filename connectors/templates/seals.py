"""Seals of links whose destination is rendered for one recipient: the click page follows a
destination only with the seal that we put beside it into that recipient's message.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from streams.settings import Settings
from streams.settings.message_keys import MessageKey, Use, numbered

_EPOCHS = "89ab"  # as in a message id
_PURPOSE = b"link destination"  # 16 bytes: a message id's own MAC is no seal
_SIZE = 12  # bytes


class LinkSeals:
    """Keyed MACs (BLAKE2b, RFC 7693, 96 bits) over a message id and a URL. The key is one whose
    epoch has the two bits that the message id has: any of them fits, the newest that signs seals.
    """

    def __init__(self, keys: Sequence[bytes | MessageKey]) -> None:
        """The epoch of a key without one is its position."""
        known = sorted(
            numbered(keys), key=lambda key: (key.use is Use.SIGN, key.epoch), reverse=True
        )
        self._keyed: list[list[Any]] = [[] for _ in _EPOCHS]
        for key in known:
            if key.use is not Use.WITHDRAWN:
                keyed = blake2b(key=key.secret, person=_PURPOSE, digest_size=_SIZE)
                self._keyed[key.slot].append(keyed)

    @classmethod
    def of(cls, settings: Settings) -> LinkSeals:
        return cls(settings.keys)

    def seal(self, message_id: str, url: str) -> str:
        """Returns 16 characters that can stand in a URL. The id has its canonical length of 36, so
        the two texts cannot be divided in another way.
        """
        return _sealed(self._keyed[_EPOCHS.index(message_id[19])][0], message_id, url)

    def fits(self, seal: str, message_id: str, url: str) -> bool:
        """Whether we made this seal for this message and URL."""
        return seal.isascii() and any(
            hmac.compare_digest(seal, _sealed(keyed, message_id, url))
            for keyed in self._keyed[_EPOCHS.find(message_id[19])]
        )


def _sealed(keyed: Any, message_id: str, url: str) -> str:
    mac = keyed.copy()
    mac.update((message_id + url).encode("utf-8", "surrogatepass"))
    return urlsafe_b64encode(mac.digest()).decode()
