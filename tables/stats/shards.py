"""The recipients of one (campaign, shard): a bitmap per kind, so that nothing can be counted
twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

import msgspec
from pyroaring import BitMap

from streams.errors import CampaignError, Fate
from streams.exactly_once.fatal import NewerStateError
from streams.exactly_once.state_rows import strictly
from streams.records.facts import Batch, Group, Kind, pack, unpack
from streams.records.message_id import SHARD_SIZE
from streams.records.stats import Counts, ShardStats
from tables.stats.sent_times import SentTimes

K = TypeVar("K", Kind, str)
_HOUR = 3600
_NOBODY = BitMap()
_FORMAT = 2  # 1 had no sent times
_MACHINES = {Kind.OPENED: Kind.MACHINE_OPENED, Kind.CLICKED: Kind.MACHINE_CLICKED}


class InvalidFactsError(CampaignError):
    """A batch of facts cannot be right: uneven, out of its shard, or of another tenant than the
    shard's.
    """

    fate, code = Fate.DEAD_LETTER, "invalid-facts"


class _Stored(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The row of a shard in the table of `fold`; every bitmap is serialized."""

    format: int
    tenant_id: str
    number: int
    shard: int
    campaign_id: str | None
    kinds: dict[Kind, bytes]
    variants: dict[str, bytes]
    reasons: dict[str, bytes]
    hours: dict[int, tuple[int, int]]
    sent: dict[int, bytes] = {}
    forgotten: int = -1


_encode = msgspec.msgpack.Encoder().encode
_decode = strictly(msgspec.msgpack.Decoder(_Stored).decode, "a shard of counts")


class Shard:
    """The state of up to 65,536 recipients. Laws: duplicates and disorder of batches change no
    count, and a shard that is restored equals the one that was stored.

    Only the hour of a recipient's first open and click depends on the order: the first *reported*
    one fixes it (the earliest would need a time per recipient). A recipient has one variant and one
    skip reason; of two that are reported, the first one stands. Opens and clicks within a window of
    sending become a machine's when their sent fact comes first, as it does
    (tables/stats/sent_times.py).
    """

    __slots__ = (
        "campaign_id",
        "hours",
        "kinds",
        "number",
        "reasons",
        "sent",
        "shard",
        "tenant_id",
        "variants",
    )

    def __init__(self, tenant_id: str, number: int, shard: int) -> None:
        self.tenant_id, self.number, self.shard = tenant_id, number, shard
        self.campaign_id: str | None = None
        # recipients as reported; what their kinds imply is added when counting
        self.kinds: dict[Kind, BitMap] = {}
        # variant -> recipients sent to, or skipped, under it; disjoint
        self.variants: dict[str, BitMap] = {}
        # skip reason -> recipients; disjoint
        self.reasons: dict[str, BitMap] = {}
        # Unix hour -> people who opened, and clicked, for the first time
        self.hours: dict[int, tuple[int, int]] = {}
        self.sent = SentTimes()

    @classmethod
    def restore(cls, stored: bytes) -> Shard:
        """The shard that `store` was called on, here or in an older version. Raises
        NewerStateError.
        """
        row = _decode(stored)
        if row.format > _FORMAT:
            raise NewerStateError(f"a shard of counts has format {row.format}, known is {_FORMAT}")
        shard = cls(row.tenant_id, row.number, row.shard)
        shard.campaign_id, shard.hours = row.campaign_id, row.hours
        shard.kinds = _deserialized(row.kinds)
        shard.variants = _deserialized(row.variants)
        shard.reasons = _deserialized(row.reasons)
        shard.sent = SentTimes(row.sent, row.forgotten)
        return shard

    def store(self) -> bytes:
        """At most 8 kB per kind, variant and reason (a full bitmap of 65,536 bits); runs and sparse
        ones are far smaller. Sent times add less than 1 kB to a campaign that is not throttled, at
        most about 20 kB to one that is.
        """
        bitmaps = _serialized(self.kinds), _serialized(self.variants), _serialized(self.reasons)
        identity = self.tenant_id, self.number, self.shard, self.campaign_id
        return _encode(_Stored(_FORMAT, *identity, *bitmaps, self.hours, *self.sent.stored()))

    def fold(self, batch: Batch, window: int = 0) -> Batch | None:
        """Add the facts of the batch; returns the first occurrences among them, None when nothing
        is new and the shard is unchanged.

        First occurrences are of *reported* kinds: a click before any open is one message event,
        "clicked", although it also counts as opened. They carry the recipient's variant. Opens and
        clicks at most `window` seconds from sending are a machine's; 0 takes all as reported.
        Raises InvalidFactsError, and has then changed nothing.
        """
        base, first = batch.base, list[Group]()
        for reported, recipients in zip(batch.groups, self._checked(batch), strict=True):
            for group, members in self._told_apart(reported, recipients, base, window):
                first += self._fold(group, members, base, window)
        if not first:
            return None
        self.campaign_id = self.campaign_id or batch.campaign_id
        identity = batch.tenant_id, batch.number, batch.shard
        return Batch(*identity, base, tuple(first), self.campaign_id)

    def _checked(self, batch: Batch) -> list[BitMap]:
        """The recipients of each group."""
        mine = self.tenant_id, self.number, self.shard
        if (batch.tenant_id, batch.number, batch.shard) != mine:
            where = f"facts of {batch.number}:{batch.shard} in {self.number}:{self.shard}"
            raise InvalidFactsError(f"{where}, or of another tenant")
        if not all(map(_is_even, batch.groups)):
            raise InvalidFactsError("ordinals and times are not equally many, or none")
        reported = [BitMap(unpack(group.ordinals)) for group in batch.groups]
        if any(recipients.max() >= SHARD_SIZE for recipients in reported):
            raise InvalidFactsError(f"an ordinal outside the shard's {SHARD_SIZE}")
        return reported

    def _told_apart(
        self, group: Group, recipients: BitMap, base: int, window: int
    ) -> Iterator[tuple[Group, BitMap]]:
        """The group, or its people and its machines, each with its recipients."""
        machine = _MACHINES.get(group.kind) if window and self.sent else None
        if machine is None:
            yield group, recipients
            return
        people, machines = self.sent.split(group, recipients, base, window, self._bitmap(machine))
        if people is not None:
            yield people, recipients if machines is None else BitMap(unpack(people.ordinals))
        if machines is not None:
            yield msgspec.structs.replace(machines, kind=machine), BitMap(unpack(machines.ordinals))

    def _fold(self, group: Group, recipients: BitMap, base: int, window: int) -> Iterator[Group]:
        known = self._bitmap(group.kind)
        new = recipients - known
        if not new:
            return
        first = _only(group, new)
        match group.kind:
            case Kind.OPENED:
                self._note_hours(
                    first, base, opened=new - self._bitmap(Kind.CLICKED), clicked=_NOBODY
                )
            case Kind.CLICKED:
                self._note_hours(first, base, opened=new - self._bitmap(Kind.OPENED), clicked=new)
            case Kind.SENT | Kind.SKIPPED if group.variant_id is not None:
                without = new - BitMap.union(_NOBODY, *self.variants.values())
                _add(self.variants, group.variant_id, without)
        if group.kind is Kind.SENT and window:
            self.sent.note(first, new, base)
        if group.kind is Kind.SKIPPED:
            _add(self.reasons, group.detail or "unknown", new)
        self.kinds[group.kind] = known | new
        yield from self._by_variant(first, new)

    def _bitmap(self, kind: Kind) -> BitMap:
        return self.kinds.get(kind, _NOBODY)

    def _note_hours(self, first: Group, base: int, opened: BitMap, clicked: BitMap) -> None:
        for ordinals, column in ((opened, 0), (clicked, 1)):
            if not ordinals:
                continue
            seconds = unpack(_only(first, ordinals).seconds)
            if (hour := (base + min(seconds)) // _HOUR) == (base + max(seconds)) // _HOUR:
                self._add_to_hour(hour, column, len(seconds))
            else:
                for second in seconds:
                    self._add_to_hour((base + second) // _HOUR, column, 1)

    def _add_to_hour(self, hour: int, column: int, recipients: int) -> None:
        opened, clicked = self.hours.get(hour, (0, 0))
        if column == 0:
            opened += recipients
        else:
            clicked += recipients
        self.hours[hour] = opened, clicked

    def _by_variant(self, first: Group, new: BitMap) -> Iterator[Group]:
        """The group with its variant; one group for each variant if it has none."""
        if first.variant_id is not None or not self.variants:
            yield first
            return
        rest = new
        for variant, members in self.variants.items():
            if mine := new & members:
                yield msgspec.structs.replace(_only(first, mine), variant_id=variant)
                rest = rest - mine
        if rest:
            yield _only(first, rest)

    def stats(self, version: int, updated_at: str) -> ShardStats:
        """The absolute counts of this shard, in total and per variant. `version` must grow with
        every change.
        """
        closed, variants = self._closed(), self.variants
        return ShardStats(
            tenant_id=self.tenant_id,
            number=self.number,
            shard=self.shard,
            version=version,
            total=Counts(**{name: len(recipients) for name, recipients in closed.items()}),
            updated_at=updated_at,
            campaign_id=self.campaign_id,
            variants={name: _counts_within(closed, members) for name, members in variants.items()},
            hours={str(hour): counts for hour, counts in sorted(self.hours.items())},
            skipped={reason: len(recipients) for reason, recipients in self.reasons.items()},
        )

    def _closed(self) -> dict[str, BitMap]:
        """The recipients of every kind, with those that other kinds imply: clicked -> opened ->
        delivered, a machine's activity -> delivered. A recipient with a person's activity has no
        machine's.
        """
        closed = {kind.name.lower(): self._bitmap(kind) for kind in Kind}
        machines = closed["machine_opened"] | closed["machine_clicked"]
        closed["opened"] = closed["opened"] | closed["clicked"]
        closed["delivered"] = BitMap.union(closed["delivered"], closed["opened"], machines)
        closed["machine_opened"] = closed["machine_opened"] - closed["opened"]
        closed["machine_clicked"] = closed["machine_clicked"] - closed["clicked"]
        return closed


def _is_even(group: Group) -> bool:
    size = len(group.ordinals)
    return size > 0 and size % 4 == 0 and size == len(group.seconds)


def _counts_within(kinds: Mapping[str, BitMap], members: BitMap) -> Counts:
    found = {name: each.intersection_cardinality(members) for name, each in kinds.items()}
    return Counts(**found)


def _deserialized(stored: Mapping[K, bytes]) -> dict[K, BitMap]:
    return {key: BitMap.deserialize(bitmap) for key, bitmap in stored.items()}


def _serialized(bitmaps: Mapping[K, BitMap]) -> dict[K, bytes]:
    for bitmap in bitmaps.values():
        bitmap.run_optimize()
    return {key: bitmap.serialize() for key, bitmap in bitmaps.items()}


def _add(bitmaps: dict[str, BitMap], key: str, recipients: BitMap) -> None:
    bitmaps[key] = bitmaps.get(key, _NOBODY) | recipients


def _only(group: Group, wanted: BitMap) -> Group:
    """The group with the wanted ordinals only, each once. The group itself when it has no other."""
    ordinals = unpack(group.ordinals)
    if len(ordinals) == len(wanted):
        return group
    left = set(wanted)
    chosen: list[int] = []
    for at, ordinal in enumerate(ordinals):
        if ordinal in left:
            left.remove(ordinal)
            chosen.append(at)
    seconds = unpack(group.seconds)
    return msgspec.structs.replace(
        group,
        ordinals=pack(ordinals[at] for at in chosen),
        seconds=pack(seconds[at] for at in chosen),
    )
