"""Files of suppressions: the lists of people who must get nothing more, as other systems export
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from uuid import UUID

from streams.contracts.values.one_line import folded
from streams.errors import FieldError, MalformedError, broken
from tables.channels import CHANNELS
from tables.contacts.synonyms import field_of, folded_heading
from tables.contacts.usable_rows import spelled
from tables.database.connection import Database
from tables.directory.suppressions_in_bulk import Wanted, suppress_all
from tables.files.cells import plain
from tables.files.lines import Lines
from tables.files.records import Record, Records
from tables.files.rows import Blank, Rejected

CHUNK = 1_000  # rows a transaction
Item = Wanted | Rejected | Blank
_LONGEST_REASON = 100
_REASON = "imported"
_OWN = {"channel": "channel", "reason": "reason", "suppressionreason": "reason"}
_OWN |= {"contactid": "contact", "address": "address"}
# Of Mailchimp's files of unsubscribed and of cleaned (bounced) members; the reasons are ours.
_FILES: Mapping[str, str] = MappingProxyType(
    {"unsubtime": "unsubscribed", "cleantime": "hard-bounce"}
)
_DEFAULTS = {"email": "email", "phone": "sms", "push_token": "push"}  # column -> channel


@dataclass(frozen=True, slots=True)
class SuppressionProgress:
    """The rows so far: new suppressions, those that existed, rows that suppress nobody, and rows
    without any content.
    """

    added: int = 0
    existing: int = 0
    rejected: int = 0
    blank: int = 0

    @property
    def rows(self) -> int:
        return self.added + self.existing + self.rejected + self.blank


@dataclass(frozen=True, slots=True)
class SuppressionFile:
    """A CSV of suppressions that is read once. Its columns are `channel`, `address` or `contactId`,
    and `reason`, or an export's columns of email addresses and phone numbers. `channel` and
    `reason`, if given, hold for every row; `country` is that of national phone numbers.

    Without a channel an address is of the channel email, and in a file that has numbers only, sms.
    """

    lines: Lines
    channel: str | None = None
    reason: str | None = None
    country: str | None = None

    def __post_init__(self) -> None:
        """Raises CampaignError for a channel that does not exist or a reason that is too long."""
        if self.channel is not None and self.channel not in CHANNELS:
            raise broken(FieldError("channel", f"one of {', '.join(CHANNELS)}"))
        if len(self.reason or "") > _LONGEST_REASON:
            raise broken(FieldError("reason", f"at most {_LONGEST_REASON} characters"))

    def __iter__(self) -> Iterator[Item]:
        """Every row, in order. Raises MalformedError for a file that is something else, or has no
        column of addresses.
        """
        records = Records(self.lines, _is_heading)
        columns = _columns(records.header)
        channel = self.channel or self._channel(columns)
        addresses = [*columns.get("address", ()), *columns.get(CHANNELS[channel].column, ())]
        if not addresses and "contact" not in columns:
            raise _nobody(records.header, channel)
        records.looks_like_row = lambda cells: any("@" in cells[place] for place in addresses)
        reason = self.reason or next(
            (why for mark, why in _FILES.items() if mark in columns), _REASON
        )
        for record in records:
            if isinstance(record, Record):
                yield self._wanted(record, columns, channel, reason)
            else:
                yield record

    def _channel(self, columns: Mapping[str, Sequence[int]]) -> str:
        return next((name for column, name in _DEFAULTS.items() if column in columns), "email")

    def _wanted(
        self, record: Record, columns: Mapping[str, Sequence[int]], channel: str, reason: str
    ) -> Wanted | Rejected:
        def cells(name: str) -> Iterator[str]:
            for place in columns.get(name, ()):
                if place < len(record.cells) and (text := plain(record.cells[place]).strip()):
                    yield text

        if self.channel is None:
            channel = next(cells("channel"), channel).lower()
        if channel not in CHANNELS:
            return Rejected(record.line, f"channel: one of {', '.join(CHANNELS)}")
        if self.reason is None:
            reason = folded(next(cells("reason"), reason))[:_LONGEST_REASON].strip()
        column, why = CHANNELS[channel].column, f"address: none for the channel {channel}"
        for text in (*cells("address"), *cells(column)):
            try:
                address = self._address(channel, text)
            except ValueError as error:
                why = f"address: {error}"
            else:
                return Wanted(record.line, channel, address, None, reason)
        for text in cells("contact"):
            try:
                return Wanted(record.line, channel, None, UUID(text), reason)
            except ValueError:
                why = "contactId: not a UUID"
        return Rejected(record.line, why)

    def _address(self, channel: str, text: str) -> str:
        """An address of the channel; of a number also as people of the country write it. Raises
        ValueError.
        """
        rules = CHANNELS[channel]
        try:
            return rules.normalise(text)
        except ValueError:
            return str(spelled(rules.column, text, self.country))


def _is_heading(cell: str) -> bool:
    return field_of(cell) is not None or folded_heading(cell) in _OWN


def _columns(header: Sequence[str]) -> dict[str, list[int]]:
    """Places by column, those of other systems' headings in the order of their rank."""
    found = dict[str, list[tuple[int, int]]]()
    for place, cell in enumerate(header):
        fold = folded_heading(plain(cell))
        if fold in _FILES:
            found.setdefault(fold, []).append((0, place))
        column, rank = (_OWN[fold], 0) if fold in _OWN else field_of(plain(cell)) or (None, 0)
        if column is not None:
            found.setdefault(column, []).append((rank, place))
    return {column: [place for _, place in sorted(places)] for column, places in found.items()}


def _nobody(header: Sequence[str], channel: str) -> MalformedError:
    if any("@" in cell for cell in header):
        return MalformedError(
            "The file has no header: its first line holds an address. Put the names of the columns "
            "above it."
        )
    wanted = {"email": "email", "phone": "phone", "push_token": "pushToken"}
    column = wanted[CHANNELS[channel].column]
    return MalformedError(f"The header needs one of address, {column} and contactId.")


async def import_suppressions(
    database: Database,
    tenant: str,
    items: Iterable[Item],
    *,
    on_rejected: Callable[[Rejected], None],
    on_progress: Callable[[SuppressionProgress], None] = lambda progress: None,
) -> SuppressionProgress:
    """Suppress whom the rows name, `CHUNK` rows a transaction; the file is read in a thread. Raises
    DependencyDownError; what was written before stays, and repeating the file changes nothing.
    """
    progress, rows = SuppressionProgress(), iter(items)
    while chunk := await asyncio.to_thread(_next, rows):
        wanted = [item for item in chunk if isinstance(item, Wanted)]
        rejected = [item for item in chunk if isinstance(item, Rejected)]
        async with database.transaction() as session:
            done = await suppress_all(session, tenant, wanted)
        rejected += [Rejected(line, reason) for line, reason in done.refused]
        for each in sorted(rejected, key=lambda one: one.line):
            on_rejected(each)
        progress = SuppressionProgress(
            progress.added + done.added,
            progress.existing + done.existing,
            progress.rejected + len(rejected),
            progress.blank + sum(isinstance(item, Blank) for item in chunk),
        )
        on_progress(progress)
    return progress


def _next(rows: Iterator[Item]) -> list[Item]:
    return list(islice(rows, CHUNK))
