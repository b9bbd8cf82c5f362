"""The settings that must be the same in every process of an installation, and the sentences about
those that differ. Pure.

`campaigns prepare` writes them into PostgreSQL; every process compares its own with them. Of a key
only its fingerprint is kept, and how far its life has gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum

from streams.settings.message_keys import MessageKey, Use, fingerprint
from streams.settings.settings import Settings

_KEYS = "CAMPAIGNS_MESSAGE_KEYS"
_PREPARE = "run `campaigns prepare` with it first, then restart the processes"


class Standing(IntEnum):
    """How far the life of a key has gone; there is no way back."""

    IN_USE = 0  # it signs, or is believed
    WITHDRAWN = 1  # it has leaked
    GONE = 2  # it was taken off the list; its epoch is never used again


_ENDS = {Standing.WITHDRAWN: "was withdrawn", Standing.GONE: "was taken off the list"}


@dataclass(frozen=True)
class AgreedKey:
    """One message key: a digest of it, its standing, and whether it may sign."""

    fingerprint: str
    standing: Standing = Standing.IN_USE
    signs: bool = True

    @classmethod
    def of(cls, key: MessageKey) -> AgreedKey:
        is_withdrawn = key.use is Use.WITHDRAWN
        standing = Standing.WITHDRAWN if is_withdrawn else Standing.IN_USE
        return cls(key.fingerprint, standing, key.use is Use.SIGN)


@dataclass(frozen=True)
class Agreement:
    """The settings that all processes share: those of one process, or those of the installation.
    `keys` are by epoch.
    """

    topic_prefix: str
    partitions: int
    hour: timedelta
    day: timedelta
    address_key: str  # its fingerprint
    keys: Mapping[int, AgreedKey]

    @classmethod
    def of(cls, settings: Settings) -> Agreement:
        return cls(
            settings.topic_prefix,
            settings.partitions,
            settings.hour,
            settings.day,
            fingerprint(settings.address_secret),
            {key.epoch: AgreedKey.of(key) for key in settings.keys},
        )

    @property
    def signing(self) -> int:
        """The epoch that new campaigns are signed with; -1 without any."""
        return max((epoch for epoch, key in self.keys.items() if key.signs), default=-1)

    def after(self, before: Agreement) -> Agreement:
        """This one with the keys that are not on its list any more."""
        gone = {
            epoch: replace(key, standing=Standing.GONE, signs=False)
            for epoch, key in before.keys.items()
            if epoch not in self.keys
        }
        return replace(self, keys={**gone, **self.keys})


def refusals(own: Agreement, agreed: Agreement) -> list[str]:
    """Why a process with its `own` settings must not start in an installation that has `agreed`; a
    sentence for each setting.

    A new key is announced before it signs, and signs before an old one goes, so a process may still
    lack a key that signs nothing yet, hold an old one, and not yet sign with the newest.
    """
    return [
        *_different(own, agreed, "this process"),
        *lacking(own, agreed),
        *_not_as_agreed(own, agreed),
    ]


def lacking(own: Agreement, agreed: Agreement) -> list[str]:
    """The keys without which a process that is running already would do harm: it would take what
    they have signed for forged.
    """
    return [
        f"{_KEYS} lacks the key of epoch {epoch}"
        for epoch, key in agreed.keys.items()
        if epoch not in own.keys
        and key.standing is not Standing.GONE
        and (key.signs or epoch < agreed.signing)
    ]


def _different(own: Agreement, agreed: Agreement, ours: str) -> Iterator[str]:
    pairs: list[tuple[str, object, object]] = [
        ("CAMPAIGNS_TOPIC_PREFIX", repr(own.topic_prefix), repr(agreed.topic_prefix)),
        ("CAMPAIGNS_PARTITIONS", own.partitions, agreed.partitions),
        ("CAMPAIGNS_HOUR", own.hour, agreed.hour),
        ("CAMPAIGNS_DAY", own.day, agreed.day),
    ]
    for name, one, other in pairs:
        if one != other:
            yield f"{name} is {one} in {ours} and {other} in the installation"
    if own.address_key != agreed.address_key:
        yield (
            "CAMPAIGNS_ADDRESS_KEY (without it: the oldest of CAMPAIGNS_MESSAGE_KEYS) is another"
            f" in {ours} than in the installation"
        )


def _not_as_agreed(own: Agreement, agreed: Agreement) -> Iterator[str]:
    for epoch, key in own.keys.items():
        known = agreed.keys.get(epoch)
        if known is None:
            yield f"{_KEYS} has a key of epoch {epoch}, which is not known here: {_PREPARE}"
        elif known.fingerprint != key.fingerprint:
            yield f"{_KEYS} has another key of epoch {epoch} than the installation"
        elif key.standing < known.standing:
            yield f"{_KEYS} believes the key of epoch {epoch}, which {_ENDS[known.standing]}"
    if own.signing > agreed.signing and own.signing in agreed.keys:
        yield f"{_KEYS} signs with epoch {own.signing}, which may only verify yet: {_PREPARE}"


def objections(new: Agreement, agreed: Agreement, in_use: Collection[int]) -> list[str]:
    """Why `campaigns prepare` must not put `new` in the place of what the installation has;
    `in_use` are the epochs of campaigns that are being sent.

    Hour and day may change, and so may keys: by new epochs above all that ever were, by other uses,
    and by the end of those that sign nothing.
    """
    found = list(
        _different(replace(new, hour=agreed.hour, day=agreed.day), agreed, "these settings")
    )
    following = max(agreed.keys, default=-1) + 1
    for epoch, key in new.keys.items():
        known = agreed.keys.get(epoch)
        if known is None and epoch < following:
            found.append(f"{_KEYS}: epoch {epoch} is not new, the next is {following}")
        elif known is not None and known.fingerprint != key.fingerprint:
            found.append(
                f"{_KEYS} has another key of epoch {epoch} than the installation;"
                f" a new key takes a new epoch, and the next is {following}"
            )
        elif known is not None and key.standing < known.standing:
            found.append(f"{_KEYS}: the key of epoch {epoch} {_ENDS[known.standing]}, for good")
    found += (
        f"{_KEYS} lacks the key of epoch {epoch}, which campaigns are being sent with"
        for epoch in sorted(set(in_use) - set(new.keys))
    )
    return found
