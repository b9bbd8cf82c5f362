"""The progress of each campaign in one lane: the second lock against a range that is granted twice.
Pure.

A lane has every L-th chunk of a campaign. Within it positions are counted without the gaps, `chunk
// L * 1000 + offset`, so that ranges sent in order merge into one, however long the campaign is.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streams.exactly_once.state_rows import strictly
from streams.records.sending import CHUNK, lane

Ranges = tuple[tuple[int, int], ...]  # [start, stop), ascending, neither touching nor empty


class Progress(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The lane-local positions that are done, and how they ended: `sent` + `skipped` positions in
    `batches` transactions.
    """

    done: Ranges = ()
    sent: int = 0
    skipped: int = 0
    batches: int = 0

    def missing(self, start: int, stop: int, lanes: int) -> tuple[tuple[int, int], ...]:
        """The parts of [start, stop) that are not done, ascending. All are ordinals of one chunk,
        see `is_grantable`.
        """
        shift = start - _local(start, lanes)
        return tuple(
            (a + shift, b + shift) for a, b in _gaps(self.done, start - shift, stop - shift)
        )

    def with_done(self, start: int, stop: int, lanes: int) -> Progress:
        """[start, stop) is done, too; the counts are not changed."""
        local = _local(start, lanes)
        return msgspec.structs.replace(self, done=_union(self.done, local, local + stop - start))

    def counted(self, sent: int, skipped: int) -> Progress:
        """One more transaction with so many messages and skips."""
        return msgspec.structs.replace(
            self, sent=self.sent + sent, skipped=self.skipped + skipped, batches=self.batches + 1
        )


def is_grantable(start: int, stop: int, partition: int, lanes: int) -> bool:
    """A grant is not empty, lies within one chunk, and is in that chunk's lane; the arithmetic of
    progress relies on it.
    """
    return (
        0 <= start < stop <= 1 << 24
        and start // CHUNK == (stop - 1) // CHUNK
        and lane(start, lanes) == partition
    )


encode_progress = msgspec.json.Encoder().encode
decode_progress = strictly(msgspec.json.Decoder(Progress).decode, "the progress of a lane")


def progress_key(number: int) -> bytes:
    """The key of a campaign's row; the lane is the partition that the row lives in."""
    return b"%d" % number


def _local(ordinal: int, lanes: int) -> int:
    return ordinal // CHUNK // lanes * CHUNK + ordinal % CHUNK


def _gaps(done: Ranges, start: int, stop: int) -> Iterator[tuple[int, int]]:
    for a, b in done:
        if b <= start:
            continue
        if a >= stop:
            break
        if start < a:
            yield start, a
        start = b
    if start < stop:
        yield start, stop


def _union(done: Ranges, start: int, stop: int) -> Ranges:
    before = tuple(r for r in done if r[1] < start)
    after = tuple(r for r in done if r[0] > stop)
    touching = done[len(before) : len(done) - len(after)]
    if touching:
        start, stop = min(start, touching[0][0]), max(stop, touching[-1][1])
    return (*before, (start, stop), *after)
