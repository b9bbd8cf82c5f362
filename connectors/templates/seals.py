"""Seals of links whose destination is rendered for one recipient: the click page follows a
destination only with the seal that we put beside it into that recipient's message.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b

from streams.settings import Settings

_EPOCHS = "89ab"  # as in a message id
_PURPOSE = b"link destination"  # 16 bytes: a message id's own MAC is no seal
_SIZE = 12  # bytes


class LinkSeals:
    """Keyed MACs (BLAKE2b, RFC 7693, 96 bits) over a message id and a URL. The key is that of the
    message id's epoch.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keyed = [blake2b(key=key, person=_PURPOSE, digest_size=_SIZE) for key in keys]

    @classmethod
    def of(cls, settings: Settings) -> LinkSeals:
        return cls([bytes.fromhex(key.get_secret_value()) for key in settings.message_keys])

    def seal(self, message_id: str, url: str) -> str:
        """Returns 16 characters that can stand in a URL. The id has its canonical length of 36, so
        the two texts cannot be divided in another way.
        """
        mac = self._keyed[_EPOCHS.index(message_id[19])].copy()
        mac.update((message_id + url).encode("utf-8", "surrogatepass"))
        return urlsafe_b64encode(mac.digest()).decode()

    def fits(self, seal: str, message_id: str, url: str) -> bool:
        """Whether we made this seal for this message and URL."""
        if _EPOCHS.find(message_id[19]) >= len(self._keyed):
            return False
        return seal.isascii() and hmac.compare_digest(seal, self.seal(message_id, url))
