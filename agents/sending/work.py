"""A transaction's work of emission: the granted ordinals that are left to send, by campaign, and
the facts about them. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.messages.composing import Composed
from connectors.messages.content import Content
from streams.records.facts import Batch, Group, Kind, pack
from streams.records.message_id import MAX_NUMBER, SHARD_BITS, SHARD_SIZE
from streams.records.sending import Grant
from tables.throttle.progress import Progress, is_grantable


@dataclass(frozen=True)
class Piece:
    """Granted ordinals [start, stop) that are not done; `variant` holds for all of them unless it
    is None.
    """

    start: int
    stop: int
    variant: str | None


@dataclass
class Work:
    """One campaign's part of a transaction: its pieces, and its progress once they are done."""

    content: Content
    progress: Progress
    pieces: list[Piece] = field(default_factory=list)

    def add(self, grant: Grant, lanes: int) -> None:
        """Add the ordinals of a grant that are not done. A neighbour of the piece before it is read
        together with it.
        """
        for start, stop in self.progress.missing(grant.start, grant.stop, lanes):
            self.progress = self.progress.with_done(start, stop, lanes)
            last = self.pieces[-1] if self.pieces else None
            if last is not None and last.stop == start and last.variant == grant.variant_id:
                self.pieces[-1] = Piece(last.start, stop, last.variant)
            else:
                self.pieces.append(Piece(start, stop, grant.variant_id))

    def missing(self, chunks: Iterable[Sequence[object]]) -> int:
        """How many of the recipients have no row. `chunks`: the rows of each piece."""
        return sum(piece.stop - piece.start for piece in self.pieces) - sum(map(len, chunks))


def is_usable(grant: Grant, partition: int, lanes: int) -> bool:
    """Whether the grant is of this lane, and PostgreSQL can take its number and tenant: one that it
    cannot take would end the worker again and again.
    """
    return (
        is_grantable(grant.start, grant.stop, partition, lanes)
        and 0 < grant.number <= MAX_NUMBER
        and "\0" not in grant.tenant_id
    )


def facts(content: Content, composed: Composed, seconds: int) -> Iterator[Batch]:
    """The facts about the ordinals of one transaction, all at one time (Unix seconds): one batch
    per shard.
    """
    shards: dict[int, list[Group]] = {}
    parts: list[tuple[Kind, str | None, str | None, list[int]]] = [
        *(
            (Kind.SENT, variant, version, some)
            for variant, ordinals in composed.sent.items()
            for version, some in _by_version(ordinals, composed.readdressed).items()
        ),
        *((Kind.SKIPPED, None, reason, ordinals) for reason, ordinals in composed.skipped.items()),
    ]
    for kind, variant, detail, ordinals in parts:
        for shard, within in _by_shard(ordinals):
            group = Group(kind, pack(within), bytes(4 * len(within)), variant, detail)
            shards.setdefault(shard, []).append(group)
    campaign = content.tenant_id, content.number
    for shard, groups in shards.items():
        yield Batch(*campaign, shard, seconds, tuple(groups), str(content.id))


def _by_version(
    ordinals: list[int], readdressed: Mapping[int, int]
) -> Mapping[str | None, list[int]]:
    """The ordinals by the detail that a fact about their sending has."""
    if not readdressed:
        return {None: ordinals}
    found: dict[str | None, list[int]] = {}
    for ordinal in ordinals:
        version = readdressed.get(ordinal)
        detail = None if version is None else str(version)
        found.setdefault(detail, []).append(ordinal)
    return found


def _by_shard(ordinals: list[int]) -> Iterator[tuple[int, list[int]]]:
    if not ordinals:
        return
    first, last = min(ordinals) >> SHARD_BITS, max(ordinals) >> SHARD_BITS
    for shard in range(first, last + 1):
        low = shard << SHARD_BITS
        if within := [ordinal - low for ordinal in ordinals if 0 <= ordinal - low < SHARD_SIZE]:
            yield shard, within
