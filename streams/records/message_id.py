"""Message ids: a UUIDv8 that names campaign and recipient and proves that this installation made
it.

`cccccccc-cccc-8ooo-Kooo-mmmmmmmmmmmm` (RFC 9562, section 5.8): 48 bits campaign number, 24 bits
recipient ordinal, K = variant bits `10` + the last 2 bits of the key's epoch, 48-bit MAC = BLAKE2b
(RFC 7693, keyed, 6 bytes) over the first 23 characters and the tenant id. A replay makes the same
id, and a forged or foreign one does not verify. The first eight bits of an ordinal are its shard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, NamedTuple

from streams.errors import CampaignError, Fate
from streams.settings import Settings
from streams.settings.message_keys import SLOTS, MessageKey, Use, numbered, signing

SHARD_BITS = 16
SHARD_SIZE = 1 << SHARD_BITS  # ordinals per shard
MAX_ORDINAL = (1 << 24) - 1
MAX_NUMBER = (1 << 47) - 1  # of a campaign: every language's signed number holds it
# Places in an id: of what the ids of one (campaign, shard) have in common, and of the last 16 bits
# of the ordinal.
SHARD, FIRST_DIGIT, OTHER_DIGITS = slice(17), 17, slice(20, 23)
TESTS = 0  # the campaign number of test messages; campaigns begin at 1
_EPOCHS = "89ab"


def is_test(text: str) -> bool:
    """Whether an id, which need not be checked, is a test message's."""
    return text[:13] == "00000000-0000"


class InvalidMessageIdError(ValueError):
    """The message id is malformed (`code` = "id-format") or was not made by us for this tenant
    ("id-forged").
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnknownKeyError(CampaignError):
    """CAMPAIGNS_MESSAGE_KEYS of this process lacks the key that a campaign is signed with."""

    fate, status, code = Fate.STOP, 500, "unknown-key"
    title = "The campaign's key is not known here"

    def __init__(self, epoch: int) -> None:
        super().__init__(
            f"CAMPAIGNS_MESSAGE_KEYS has no key of epoch {epoch}, which a campaign is signed with"
        )


class Recipient(NamedTuple):
    """The campaign's number and the recipient's ordinal in it."""

    number: int
    ordinal: int


class MessageIds:
    """Makes message ids with any of its keys, and verifies those of the keys that are believed."""

    def __init__(self, keys: Sequence[bytes | MessageKey]) -> None:
        """The epoch of a key without one is its position."""
        known = numbered(keys)
        # the key is absorbed once
        self._keyed: dict[int, Callable[[], Any]] = {
            key.epoch: blake2b(digest_size=6, key=key.secret).copy for key in known
        }
        self._withdrawn = {key.epoch for key in known if key.use is Use.WITHDRAWN}
        self._newest = max(self._keyed)
        #: The epoch that new campaigns sign with.
        self.signing = signing(known).epoch
        # by the two bits in an id, the newest first
        self._believed = tuple(
            tuple(
                self._keyed[key.epoch]
                for key in reversed(known)
                if key.slot == slot and key.use is not Use.WITHDRAWN
            )
            for slot in range(SLOTS)
        )

    @classmethod
    def of(cls, settings: Settings) -> MessageIds:
        return cls(settings.keys)

    def may_sign(self, epoch: int) -> bool:
        """Whether new messages may carry ids of this epoch: its key is here and has not leaked."""
        return epoch in self._keyed and epoch not in self._withdrawn

    def is_gone(self, epoch: int) -> bool:
        """Whether the key was taken off the list: its ids cannot be made again."""
        return epoch not in self._keyed and not self.is_to_come(epoch)

    def is_to_come(self, epoch: int) -> bool:
        """Whether the key is newer than all of ours: this process was started with an old list."""
        return epoch > self._newest

    def make(self, number: int, ordinal: int, tenant: str, epoch: int) -> str:
        """Deterministic: the same four arguments make the same id. Raises UnknownKeyError."""
        keyed = self._of(epoch)
        campaign, position = f"{number:012x}", f"{ordinal:06x}"
        slot = _EPOCHS[epoch % SLOTS]
        head = f"{campaign[:8]}-{campaign[8:]}-8{position[:3]}-{slot}{position[3:]}"
        mac = keyed()
        mac.update((head + tenant).encode())
        return f"{head}-{mac.hexdigest()}"

    def make_many(self, number: int, ordinals: Iterable[int], tenant: str, epoch: int) -> list[str]:
        """`make` for many recipients of one campaign: 1.0 us each instead of 1.6, because the key
        is absorbed once. Raises UnknownKeyError.
        """
        campaign = f"{number:012x}"
        before, between = f"{campaign[:8]}-{campaign[8:]}-8", f"-{_EPOCHS[epoch % SLOTS]}"
        keyed, ids = self._of(epoch), list[str]()
        for ordinal in ordinals:
            position = f"{ordinal:06x}"
            head = f"{before}{position[:3]}{between}{position[3:]}"
            mac = keyed()
            mac.update((head + tenant).encode())
            ids.append(f"{head}-{mac.hexdigest()}")
        return ids

    def verify(self, text: str, tenant: str) -> Recipient:
        """The recipient that the id names. Raises InvalidMessageIdError. About 1.2 us."""
        self.check(text, tenant)
        return recipient(text)

    def check(self, text: str, tenant: str) -> None:
        """Raises InvalidMessageIdError. Only the canonical lower-case spelling passes: the MAC is
        over the text.
        """
        slot = _EPOCHS.find(text[19]) if len(text) == 36 and text[14] == "8" else -1
        if slot < 0:
            raise InvalidMessageIdError("id-format")
        signed = (text[:23] + tenant).encode()
        for keyed in self._believed[slot]:
            mac = keyed()
            mac.update(signed)
            if "-" + mac.hexdigest() == text[23:]:
                return
        raise InvalidMessageIdError("id-forged")

    def owner(self, text: str, tenants: Iterable[str]) -> str | None:
        """The one of these tenants for whom the id was made; None when it was for none of them."""
        for tenant in tenants:
            with suppress(InvalidMessageIdError):
                self.check(text, tenant)
                return tenant
        return None

    def _of(self, epoch: int) -> Callable[[], Any]:
        if (keyed := self._keyed.get(epoch)) is None:
            raise UnknownKeyError(epoch)
        return keyed


def recipient(text: str) -> Recipient:
    """The campaign and the ordinal of a message id that was checked."""
    return Recipient(campaign_number(text), int(text[15:18] + text[OTHER_DIGITS], 16))


def campaign_number(text: str) -> int:
    """The campaign of a message id that has the right form."""
    return int(text[:8] + text[9:13], 16)
