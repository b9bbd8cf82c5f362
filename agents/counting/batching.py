"""Reported events, sorted into piles, one per (campaign, shard), and made into batches of facts; an
event that cannot be used is refused with a reason. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, NoReturn, get_args

import msgspec
from aiokafka.structs import ConsumerRecord

from connectors.webhooks.delivery import reason
from streams import metrics
from streams.records.facts import Batch, Group, Kind, pack
from streams.records.message_id import (
    FIRST_DIGIT,
    OTHER_DIGITS,
    SHARD,
    SHARD_BITS,
    TESTS,
    InvalidMessageIdError,
    MessageIds,
    recipient,
)
from streams.records.reported_events import (
    SAYING_NO,
    Details,
    Incoming,
    IncomingType,
    decode_incoming,
    decode_needed,
    says_no,
)

MAX_BYTES = 64 << 10  # of one event
# of one fact record; a batch of producer or transaction takes 900 kB
_BATCH_EVENTS, _BATCH_BYTES = 5_000, 400_000
_EARLIEST = 1_577_836_800  # 2020-01-01, before the first campaign: an unset clock
# characters of a timestamp: 2026-11-24T12:00:00.123456789+00:00 has 35, and texts are remembered
_LONGEST_TIME = 40
# how far the clock of a reporter may be ahead of ours
_SKEW = timedelta(minutes=15).total_seconds()
_PEOPLE = {name: Kind[name.upper()] for name in get_args(IncomingType)}
_PLAIN = {name: (kind, None) for name, kind in _PEOPLE.items()}
_MACHINES = {"opened": Kind.MACHINE_OPENED, "clicked": Kind.MACHINE_CLICKED}
_SENTENCES = {
    "id-format": "the message id is malformed",
    "id-forged": "no message of this tenant has this id",
}
_LONGEST_SCRUBBED = 4_001  # characters; `reason` leaves a cut word out
_REASONED = frozenset({"failed", "unsubscribed", "complained"})
# kind and detail -> ordinals in the shard, and their Unix seconds
_Groups = dict[tuple[Kind, str | None], tuple[list[int], list[int]]]


class RefusedError(ValueError):
    """An event that cannot be used; `code` is for machines, the text for people."""

    def __init__(self, reason: str, code: str) -> None:
        super().__init__(reason)
        self.code = code


class Refused(NamedTuple):
    """A record that becomes a dead letter, and why."""

    record: ConsumerRecord[bytes, bytes]
    reason: str
    code: str


class Pile:
    """The reports about one (campaign, shard)."""

    __slots__ = ("groups", "number", "shard", "tenant_id")

    def __init__(self, tenant_id: str, number: int, shard: int) -> None:
        self.tenant_id, self.number, self.shard = tenant_id, number, shard
        self.groups: _Groups = {}


class UnixSeconds(dict[str, int]):
    """RFC 3339 text -> Unix seconds, fractions dropped. Texts are remembered: under load, many
    events share a millisecond.

    A look-up raises RefusedError ("timestamp") for a text that is not RFC 3339 with a time zone,
    or has more than 40 characters.
    """

    def __missing__(self, text: str) -> int:
        if len(text) > _LONGEST_TIME:
            raise RefusedError(
                f"the timestamp has {len(text)} characters, the limit is {_LONGEST_TIME}",
                "timestamp",
            )
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise RefusedError("the timestamp is not RFC 3339", "timestamp") from None
        if instant.tzinfo is None or len(text) < len("2026-11-24T12:00:00Z"):
            raise RefusedError("the timestamp is not RFC 3339 with a time zone", "timestamp")
        if len(self) > 100_000:
            self.clear()
        self[text] = second = int(instant.timestamp())
        return second


_unix_seconds = UnixSeconds()
_UNUSABLE = (RefusedError, InvalidMessageIdError, msgspec.DecodeError, UnicodeError, RecursionError)


def sort(
    records: Iterable[ConsumerRecord[bytes, bytes]],
    ids: MessageIds,
    now: float,
    piles: dict[str, Pile],
) -> list[Refused]:
    """Put every event on the pile of its (campaign, shard); returns the refused ones. About 3 us an
    event.

    An event before 2020 or more than 15 minutes ahead of `now` (Unix seconds) happened all the
    same: it counts as happening now. Events of test messages are dropped. Of a person's no only
    kind, id and tenant are needed: with another member that cannot be read it counts as happening
    when its record was written.
    """
    refused = []
    check, latest = ids.check, now + _SKEW
    for record in records:
        try:
            event = (
                decode_incoming(record.value)
                if 0 < len(record.value or b"") <= MAX_BYTES
                else _refuse_size(record.value)
            )
            text = event.message_id
            check(text, event.tenant_id)
            second = _unix_seconds[event.timestamp]
        except _UNUSABLE as error:
            no = _no_of(record, ids)
            if no is None:
                refused.append(_refused(record, error))
                continue
            event, text, second = no, no.message_id, record.timestamp // 1000
        if not _EARLIEST <= second <= latest:
            second = int(now)
        # no functions of their own: two calls cost 3 % of an event's 1.9 us
        key = text[SHARD]
        pile = piles.get(key)
        if pile is None:
            number, ordinal = recipient(text)
            if number == TESTS:
                metrics.OF_TESTS.inc()
                continue
            pile = piles[key] = Pile(event.tenant_id, number, ordinal >> SHARD_BITS)
        kind = _PLAIN[event.type] if event.data is None else _kind(event)
        group = pile.groups.get(kind)
        if group is None:
            group = pile.groups[kind] = ([], [])
        group[0].append(int(text[FIRST_DIGIT] + text[OTHER_DIGITS], 16))
        group[1].append(second)
    return refused


def _no_of(record: ConsumerRecord[bytes, bytes], ids: MessageIds) -> Incoming | None:
    """The usable part of an event that cannot be used: a person wants no more messages."""
    try:
        found = decode_needed(record.value or b"")
        ids.check(found.message_id, found.tenant_id)
    except _UNUSABLE:
        return None
    if found.type not in SAYING_NO:
        return None
    return Incoming(found.type, found.message_id, found.tenant_id, "")


def unheard(refused: Iterable[Refused]) -> list[Refused]:
    """Those that may hold a person's no."""
    return [one for one in refused if says_no(one.record.value or b"")]


def _refuse_size(value: bytes | None) -> NoReturn:
    if not value:
        raise RefusedError("the record is empty", "empty")
    raise RefusedError(f"{len(value)} bytes, the limit is {MAX_BYTES}", "oversize")


def _refused(record: ConsumerRecord[bytes, bytes], error: Exception) -> Refused:
    match error:
        case RefusedError():
            return Refused(record, str(error), error.code)
        case InvalidMessageIdError():
            return Refused(record, _SENTENCES[error.code], error.code)
        case msgspec.ValidationError():
            return Refused(record, str(error), "schema")
        case _:
            return Refused(record, f"not JSON: {error}", "json")


def _kind(event: Incoming) -> tuple[Kind, str | None]:
    """The kind and the detail of an event with data: url of a click, `hard:reason` of a bounce
    (either may be empty), or the reason.
    """
    details, name = event.data, event.type
    assert details is not None
    kind = _MACHINES.get(name, _PEOPLE[name]) if details.is_machine else _PEOPLE[name]
    if name == "clicked":
        return kind, _tidy(details.url, 2_000)
    if name == "bounced":
        detail = f"{details.bounce_type or ''}:{_reason(details) or ''}"
        return kind, None if detail == ":" else detail
    return kind, _reason(details) if name in _REASONED else None


def _reason(details: Details) -> str | None:
    """The reason without addresses, as those of webhooks are: it is kept after an erasure."""
    return _scrubbed(details.reason[:_LONGEST_SCRUBBED]) if details.reason else None


@lru_cache(maxsize=4_096)
def _scrubbed(text: str) -> str | None:
    """Remembered, because many messages fail for one reason, and a search takes 10 us."""
    return reason(text.replace("\0", ""))


def _tidy(text: str | None, limit: int) -> str | None:
    """The text without NUL, which PostgreSQL cannot hold, and cut at `limit`."""
    return text.replace("\0", "")[:limit] or None if text else None


def batches(pile: Pile) -> Iterator[Batch]:
    """The pile as records of bounded size. Those of accepted messages share none with others: the
    version before does not know the kind, and drops a record of which it cannot read everything.
    """
    of_accepted, of_others = _Groups(), _Groups()
    for key, group in pile.groups.items():
        (of_accepted if key[0] is Kind.ACCEPTED else of_others)[key] = group
    for reported in filter(None, (of_others, of_accepted)):
        yield from _batches(pile, reported)


def _batches(pile: Pile, reported: _Groups) -> Iterator[Batch]:
    base = min(min(seconds) for _, seconds in reported.values())
    groups: list[Group] = []
    events = size = 0
    for (kind, detail), (ordinals, seconds) in reported.items():
        for start in range(0, len(ordinals), _BATCH_EVENTS):
            piece = slice(start, start + _BATCH_EVENTS)
            groups.append(
                Group(
                    kind,
                    pack(ordinals[piece]),
                    pack(second - base for second in seconds[piece]),
                    None,
                    detail,
                )
            )
            events += len(groups[-1].ordinals) // 4
            size += 2 * len(groups[-1].ordinals) + 4 * len(detail or "") + 20
            if events >= _BATCH_EVENTS or size >= _BATCH_BYTES:
                yield Batch(pile.tenant_id, pile.number, pile.shard, base, tuple(groups))
                groups, events, size = [], 0, 0
    if groups:
        yield Batch(pile.tenant_id, pile.number, pile.shard, base, tuple(groups))
