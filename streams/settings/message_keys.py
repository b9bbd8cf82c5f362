"""The keys of `CAMPAIGNS_MESSAGE_KEYS`: their epochs, their uses, and the one that signs.

A list with commas, one key each: `epoch:hex`, `epoch:hex:verify` or `epoch:hex:withdrawn`. Keys
without epochs (`hex,hex`) have their positions as epochs, as all keys had once. Epochs are 0 to
255 and never used twice; a message id has room for two bits of them, so keys whose epochs differ
by a multiple of four are told apart by their MACs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

from pydantic import SecretStr

SLOTS = 4  # two bits of the message id
_MOST_KEYS = 32
_HIGHEST_EPOCH = 255  # one byte of a sealed webhook secret
_PURPOSE = b"campaigns key id"  # 16 bytes


class Use(StrEnum):
    """The use that a process may make of a key. All of them make the ids of campaigns that the key
    has signed again, which the ledger and NATS need.
    """

    SIGN = "sign"  # new campaigns, when it is the newest of these; its ids are believed
    VERIFY = "verify"  # its ids are believed; no new campaign is signed with it
    WITHDRAWN = "withdrawn"  # it has leaked: no id that it has signed is believed


@dataclass(frozen=True)
class MessageKey:
    """One key; its representation shows no secret."""

    epoch: int
    secret: bytes
    use: Use = Use.SIGN

    def __repr__(self) -> str:
        return f"MessageKey({self.epoch}, {self.use})"

    @property
    def slot(self) -> int:
        """The two bits of the epoch that a message id has."""
        return self.epoch % SLOTS

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits, from which the secret (128 bits at least) cannot be found."""
        return fingerprint(self.secret)


def fingerprint(secret: bytes) -> str:
    """A digest that tells secrets apart and does not let them be found."""
    return blake2b(secret, digest_size=16, person=_PURPOSE).hexdigest()


def message_keys(texts: tuple[SecretStr, ...]) -> tuple[MessageKey, ...]:
    """The keys by epoch, the oldest first. Raises ValueError, whose text holds no part of a key."""
    if not 1 <= len(texts) <= _MOST_KEYS:
        raise ValueError(f"1 to {_MOST_KEYS} keys, got {len(texts)}")
    values = [text.get_secret_value().strip() for text in texts]
    if len({":" in value for value in values}) != 1:
        raise ValueError("either every key has its epoch (epoch:hex) or none has")
    keys = [_key(value, position) for position, value in enumerate(values)]
    if len({key.epoch for key in keys}) != len(keys):
        raise ValueError("two keys have the same epoch")
    if all(key.use is not Use.SIGN for key in keys):
        raise ValueError("one key has to sign: each is marked verify or withdrawn")
    return tuple(sorted(keys, key=lambda key: key.epoch))


def _key(value: str, position: int) -> MessageKey:
    number, secret, use = str(position), value, "sign"
    if ":" in value:
        parts = value.split(":")
        if len(parts) not in (2, 3):
            raise ValueError("a key is epoch:hex, epoch:hex:verify or epoch:hex:withdrawn")
        number, secret, use = parts[0], parts[1], parts[2] if len(parts) == 3 else "sign"
    elif position >= SLOTS:
        raise ValueError(f"more than {SLOTS} keys need their epochs (epoch:hex)")
    is_epoch = number.isascii() and number.isdigit() and len(number) <= 3
    if not is_epoch or int(number) > _HIGHEST_EPOCH:
        raise ValueError(f"an epoch is 0 to {_HIGHEST_EPOCH}")
    if use not in list(Use):
        raise ValueError(f"the use of key {number} is one of {', '.join(Use)}")
    try:
        found = bytes.fromhex(secret)
    except ValueError:
        raise ValueError("each key is 16 to 64 bytes in hexadecimal") from None
    if not 16 <= len(found) <= 64:
        raise ValueError("each key is 16 to 64 bytes in hexadecimal")
    return MessageKey(int(number), found, Use(use))


def numbered(keys: Sequence[bytes | MessageKey]) -> tuple[MessageKey, ...]:
    """Keys by epoch, the oldest first; that of a secret alone is its position."""
    known = (
        key if isinstance(key, MessageKey) else MessageKey(position, key)
        for position, key in enumerate(keys)
    )
    return tuple(sorted(known, key=lambda key: key.epoch))


def signing(keys: tuple[MessageKey, ...]) -> MessageKey:
    """The key that new campaigns are signed with: the newest that may sign."""
    return max((key for key in keys if key.use is Use.SIGN), key=lambda key: key.epoch)
