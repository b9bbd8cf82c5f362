"""Events as a pipeline would report them, and their truth by plain sets, read back from the raw log
by another client.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from streams.records.facts import Batch, Group, Kind, encode_batch, pack
from streams.records.message_id import MessageIds
from tests.faults.raw_kafka import Raw

KEY = bytes(32)
IDS = MessageIds([KEY])
CHANCES = {
    "accepted": 0.8,
    "delivered": 0.7,
    "opened": 0.3,
    "clicked": 0.1,
    "bounced": 0.05,
    "failed": 0.03,
    "unsubscribed": 0.02,
    "complained": 0.01,
}
_DATA: dict[str, list[dict[str, object] | None]] = {
    "opened": [{"isMachine": True}, {}, None],
    "clicked": [
        {"url": "https://a.example/1"},
        {"url": "https://a.example/2", "isMachine": True},
        None,
    ],
    "bounced": [
        {"bounceType": "hard", "reason": "no such user"},
        {"bounceType": "soft", "reason": "full"},
    ],
}
_UNUSABLE = [b"", b"{not json", b"\xff\xfe", b'{"type":"opened"}', b"[" * 5000]


@dataclass(frozen=True)
class Sent:
    """A campaign whose messages to `size` recipients from ordinal `start` went out; odd ones got
    variant B if there are variants.
    """

    tenant: str
    number: int
    size: int
    has_variants: bool = False
    start: int = 0

    @property
    def ordinals(self) -> range:
        return range(self.start, self.start + self.size)

    def facts(self) -> Iterator[tuple[int, bytes]]:
        """(shard, record) as emission writes them: chunks of 1,000, one in 20 recipients
        skipped.
        """
        for start in range(0, self.size, 1000):
            by_shard = defaultdict(list)
            for ordinal in self.ordinals[start : start + 1000]:
                by_shard[ordinal >> 16].append(ordinal)
            for shard, ordinals in by_shard.items():
                groups = tuple(self._groups(ordinals))
                yield (
                    shard,
                    encode_batch(
                        Batch(
                            self.tenant,
                            self.number,
                            shard,
                            1_795_000_000,
                            groups,
                            f"id-{self.number}",
                        )
                    ),
                )

    def _groups(self, ordinals: list[int]) -> Iterator[Group]:
        for kind, detail in ((Kind.SENT, None), (Kind.SKIPPED, "suppressed")):
            for variant in ("A", "B") if self.has_variants else (None,):
                mine = [
                    o & 0xFFFF
                    for o in ordinals
                    if is_skipped(o) == (kind is Kind.SKIPPED) and variant in (None, "AB"[o % 2])
                ]
                if mine:
                    yield Group(kind, pack(mine), pack([0] * len(mine)), variant, detail)


def is_skipped(ordinal: int) -> bool:
    return ordinal % 20 == 7


def reports(campaigns: Iterable[Sent], chance: random.Random, *, unusable: int = 0) -> list[bytes]:
    """Shuffled, every event one to five times, with as many unusable ones as asked for."""
    made = []
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for campaign in campaigns:
        for ordinal in campaign.ordinals:
            for kind, probability in CHANCES.items():
                if not is_skipped(ordinal) and chance.random() < probability:
                    event = {
                        "type": kind,
                        "messageId": IDS.make(campaign.number, ordinal, campaign.tenant, 0),
                        "tenantId": campaign.tenant,
                    }
                    data = chance.choice(_DATA.get(kind, [None]))
                    value = json.dumps(
                        event | {"timestamp": now} | ({} if data is None else {"data": data})
                    ).encode()
                    made += [value] * chance.randint(1, 5)
    made += [
        chance.choice([*_UNUSABLE, made[0].replace(b'"tenantId": "', b'"tenantId": "x')])
        for _ in range(unusable)
    ]
    chance.shuffle(made)
    return made


@dataclass
class Truth:
    """Unique recipients per (campaign number, variant or None, name of a count), and the
    (partition, offset) of what cannot be used.
    """

    counts: dict[tuple[int, str | None, str], int]
    firsts: set[tuple[int, int, str]]  # number, ordinal, kind as reported
    unusable: set[tuple[int, int]]


def truth(campaigns: Iterable[Sent], log: Iterable[Raw]) -> Truth:
    """Recomputed from the raw log of events; shares no code with ingest and fold."""
    who: defaultdict[tuple[int, str], set[int]] = defaultdict(set)
    unusable = set()
    plans = {campaign.number: campaign for campaign in campaigns}
    for record in log:
        if (found := _reported(record.value)) is None:
            unusable.add((record.partition, record.offset))
        else:
            who[found[0], found[2]].add(found[1])
    counts: dict[tuple[int, str | None, str], int] = {}
    firsts = {
        (number, ordinal, kind) for (number, kind), ordinals in who.items() for ordinal in ordinals
    }
    for number, plan in plans.items():
        skipped = {o for o in plan.ordinals if is_skipped(o)}
        who[number, "skipped"], who[number, "sent"] = skipped, set(plan.ordinals) - skipped
        firsts |= {(number, o, kind) for kind in ("skipped", "sent") for o in who[number, kind]}
        opened = who[number, "opened"] | who[number, "clicked"]
        machines = who[number, "machine_opened"], who[number, "machine_clicked"]
        closed = {kind: who[number, kind] for kind in (*CHANCES, "sent", "skipped", "replied")}
        closed |= {"opened": opened, "delivered": who[number, "delivered"].union(opened, *machines)}
        closed |= {
            "machine_opened": machines[0] - opened,
            "machine_clicked": machines[1] - who[number, "clicked"],
        }
        for kind, ordinals in closed.items():
            counts[number, None, kind] = len(ordinals)
            if plan.has_variants:
                counts |= {
                    (number, variant, kind): sum("AB"[o % 2] == variant for o in ordinals)
                    for variant in "AB"
                }
    return Truth(counts, firsts, unusable)


def _reported(value: bytes | None) -> tuple[int, int, str] | None:
    try:
        event = json.loads(value or b"")
        text, tenant, kind = event["messageId"], event["tenantId"], event["type"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    mac = blake2b((text[:23] + tenant).encode(), digest_size=6, key=KEY).hexdigest()
    if mac != text[24:]:
        return None
    is_machine = kind in ("opened", "clicked") and (event.get("data") or {}).get("isMachine", False)
    return (
        int(text[:13].replace("-", ""), 16),
        int(text[15:18] + text[20:23], 16),
        f"machine_{kind}" if is_machine else kind,
    )
