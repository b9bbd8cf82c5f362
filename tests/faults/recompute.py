"""What the two roles of `counting_app` must have written, recomputed from their raw input; shares
no code with them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.faults import raw_kafka
from tests.faults.counting_app import ACKS, COMMANDS, FEEDBACK, GRANTS, LIMIT, MESSAGES
from tests.faults.raw_kafka import Raw

Pair = tuple[bytes, bytes]


@dataclass
class Expected:
    """Records per topic and partition, in order, and the sums that the tables must hold."""

    records: dict[str, dict[int, list[Pair]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    granted: Counter[str] = field(default_factory=Counter)
    windows: Counter[tuple[str, float]] = field(default_factory=Counter)


def expected(commands: Iterable[Raw]) -> Expected:
    """Follows every command through the loop; `commands` is what is committed, each partition in
    order.
    """
    result = Expected()
    for raw in commands:
        assert raw.key is not None and raw.value is not None
        command, partition = json.loads(raw.value), raw.partition
        tenant, window = command["tenant"], (command["tenant"], command["at"] // 60)
        granted = max(0, min(command["n"], LIMIT - result.windows[window]))
        result.windows[window] += granted
        result.granted[tenant] += granted
        total, number = result.granted[tenant], command["id"]
        grant = b"%d:%d:%d:%d" % (number, granted, result.windows[window], total)
        result.records[GRANTS][partition].append((raw.key, grant))
        result.records[MESSAGES][partition] += [
            (raw.key, b"%d:%d:%d" % (number, i, total)) for i in range(granted)
        ]
        result.records[FEEDBACK][partition].append((raw.key, b"%d:%d" % (number, granted)))
        result.records[ACKS][partition].append((raw.key, b"%d:%d" % (number, total)))
    return result


def differences(servers: str, prefix: str, partitions: int) -> list[str]:
    """One sentence per way in which the logs differ from the recomputation; empty when everything
    happened exactly once, in order.
    """
    logs = {
        topic: raw_kafka.read_all(servers, prefix + topic, partitions)
        for topic in (COMMANDS, GRANTS, MESSAGES, FEEDBACK, ACKS)
    }
    want = expected(raw for partition in logs[COMMANDS] for raw in partition)
    found = []
    for topic, per_partition in want.records.items():
        for partition in range(partitions):
            got = [(raw.key, raw.value) for raw in logs[topic][partition]]
            if got != (should := per_partition[partition]):
                first = next(
                    (i for i, (a, b) in enumerate(zip(got, should, strict=False)) if a != b),
                    min(len(got), len(should)),
                )
                found.append(
                    f"{topic}-{partition}: {len(got)} records instead of {len(should)},"
                    f" differing from the {first}th on"
                )
    for role, table, key in (
        ("limit", b"total", b'"%s"'),
        ("limit", b"fed_back", b"%s"),
        ("count", b"progress", b'"%s"'),
    ):
        state = {
            raw.key: raw.value
            for part in raw_kafka.read_all(servers, f"{prefix}campaigns-{role}-state", partitions)
            for raw in part
        }
        for tenant, total in want.granted.items():
            held = state.get(table + b"\0" + key % tenant.encode())
            if int(held or 0) != total:
                found.append(f"table {table.decode()}: {tenant} has {held!r} instead of {total}")
    if not any(count == LIMIT for count in want.windows.values()):
        found.append("no window reached its limit: the run shows nothing about windows")
    return found
