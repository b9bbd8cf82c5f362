"""docs/operate/retention.md says how long everything is kept, as the code does."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from streams.topics import TOPICS
from tables.database.retention import RULES
from tables.models import Base

_PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "retention.md").read_text()
_DAY = 86_400_000
_UNITS = (("day", timedelta(days=1)), ("hour", timedelta(hours=1)))


def _rows() -> dict[str, str]:
    """Name of a table or topic -> what its row says."""
    found = {}
    for row in re.findall(r"^\| (`.+) \|$", _PAGE, re.MULTILINE):
        names, kept = row.split(" | ")[:2]
        found.update(dict.fromkeys(re.findall(r"`([\w.…-]+)`", names), kept))
    return found


def _spelled(kept: timedelta) -> str:
    unit, length = next(each for each in _UNITS if kept >= each[1])
    count = kept // length
    return f"{count} {unit}{'s' if count > 1 else ''}"


def test_every_table_has_a_row() -> None:
    assert set(_rows()) == {*Base.metadata.tables, "stage_…", *map(str, TOPICS)}


def test_what_the_housekeeping_removes_is_kept_as_long_as_the_page_says() -> None:
    rows = _rows()
    for rule in RULES:
        said = rows[rule.table]
        if rule.kept:
            assert _spelled(rule.kept) in said, rule.table
        else:
            assert said.startswith("until each expires"), rule.table


def test_a_topic_is_kept_as_long_as_the_page_says() -> None:
    rows = _rows()
    for name, topic in TOPICS.items():
        if "retention.ms" in topic.config:
            assert rows[str(name)] == f"{int(topic.config['retention.ms']) // _DAY} days"
        else:
            assert rows[str(name)] == topic.config["cleanup.policy"] + "ed"
