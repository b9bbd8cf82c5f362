"""docs/operate/erasure.md has every topic, with the time after which the last record is gone as the
topic's own settings make it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.nats.stream import RETENTION
from streams.topics import TOPICS, Name
from tables.models import Base
from tables.tenants.audit import Action

_OPERATE = Path(__file__).parents[2] / "docs" / "operate"
_PAGE = (_OPERATE / "erasure.md").read_text()
_ROWS = dict(re.findall(r"^\| `([\w.-]+)` \| .+ \| (.+) \|$", _PAGE, re.MULTILINE))


def _spelled(longest: timedelta) -> str:
    hours = longest.seconds // 3600
    return f"{longest.days} days" + (f" {hours} hours" if hours else "")


@pytest.mark.parametrize("name", Name)
def test_a_topic_is_gone_when_the_page_says(name: Name) -> None:
    config = TOPICS[name].config
    if "retention.ms" in config:
        kept = timedelta(milliseconds=int(config["retention.ms"]) + int(config["segment.ms"]))
        assert _ROWS[name] == _spelled(kept)
    else:
        assert _ROWS[name].startswith(f"{config['cleanup.policy']}ed: ")


def test_the_page_has_no_other_topic_and_names_tables_that_there_are() -> None:
    tables = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", _PAGE.partition("## Kafka")[0]))
    assert tables <= set(Base.metadata.tables)
    assert set(_ROWS) - set(Base.metadata.tables) == set(TOPICS)


def test_the_stream_is_kept_as_long_as_the_page_says() -> None:
    said = " ".join(_PAGE.partition("## NATS")[2].split())
    assert f"for {_spelled(RETENTION)}" in said


def test_the_page_for_production_has_every_action_of_the_audit_log() -> None:
    page = (_OPERATE / "production.md").read_text().partition("## The audit log")[2]
    assert set(re.findall(r"`([a-z]+\.[a-z-]+)`", page)) == set(Action)
