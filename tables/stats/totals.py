"""Stats of whole campaigns: the sum of their shards, and the rates the specification asks for."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streams.records.stats import Counts, ShardStats

_COUNTS = Counts.__struct_fields__


class Rates(msgspec.Struct, frozen=True):
    """Percent with two decimals, half up; 0 when there is nothing to divide by. Never above 100."""

    open_rate: float
    click_rate: float
    bounce_rate: float


def rates(counts: Counts) -> Rates:
    """openRate and clickRate are of the delivered, bounceRate is of the sent (specification,
    section 4).
    """
    return Rates(
        percent(counts.opened, counts.delivered),
        percent(counts.clicked, counts.delivered),
        percent(counts.bounced, counts.sent),
    )


def percent(part: int, whole: int) -> float:
    """Integers until the last step, so that half is exactly half."""
    return (part * 20_000 + whole) // (2 * whole) / 100 if whole else 0.0


class CampaignStats(msgspec.Struct, frozen=True):
    """The sum of a campaign's shards, or of several campaigns'. `version` grows with every change
    of any of them.
    """

    total: Counts = Counts()
    variants: dict[str, Counts] = {}
    hours: dict[int, tuple[int, int]] = {}  # Unix hour -> first opens, first clicks of people
    skipped: dict[str, int] = {}
    version: int = 0
    updated_at: str | None = None


def summed(counts: Iterable[Counts]) -> Counts:
    """Shards hold different recipients, so their counts add up."""
    rows = list(counts)
    return Counts(**{name: sum(getattr(row, name) for row in rows) for name in _COUNTS})


def merged(shards: Iterable[ShardStats]) -> CampaignStats:
    """The stats of a campaign (or several) from those of its shards."""
    rows = list(shards)
    hours: dict[int, tuple[int, int]] = {}
    skipped: dict[str, int] = {}
    for row in rows:
        for hour, (opened, clicked) in row.hours.items():
            before = hours.get(int(hour), (0, 0))
            hours[int(hour)] = (before[0] + opened, before[1] + clicked)
        for reason, recipients in row.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + recipients
    variants = sorted({variant for row in rows for variant in row.variants})
    return CampaignStats(
        total=summed(row.total for row in rows),
        variants={
            variant: summed(row.variants[variant] for row in rows if variant in row.variants)
            for variant in variants
        },
        hours=dict(sorted(hours.items())),
        skipped=dict(sorted(skipped.items())),
        version=sum(row.version for row in rows),
        updated_at=max((row.updated_at for row in rows), default=None),
    )
