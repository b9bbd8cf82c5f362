"""The documentation says what the code does: settings, topics, routes, and every page that is
linked.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr, TypeAdapter
from pydantic_core import PydanticUndefined

from agents.topology import ROLES
from api.app import create_app
from streams.settings import Settings
from streams.topics import TOPICS
from tests.docs.pages import DOCS, pages

_ROOT = Path(__file__).parents[2]
_DAY = 24 * 3600 * 1000


def _page(name: str) -> str:
    return (_ROOT / "docs" / name).read_text()


def settings_table() -> str:
    """As docs/operate/operations.md shows it."""
    lines = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = (
            ""
            if field.default is PydanticUndefined
            else f"`{_spelled(field.default)}`"
            if field.default != ""
            else "empty"
        )
        lines.append(f"| `CAMPAIGNS_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _spelled(default: object) -> str:
    return (
        str(TypeAdapter(timedelta).dump_python(default, mode="json"))
        if isinstance(default, timedelta)
        else str(default)
    )


def test_every_setting_is_documented_with_its_default() -> None:
    assert settings_table() in _page("operate/operations.md"), (
        f"docs/operate/operations.md needs this table:\n{settings_table()}"
    )


def test_every_topic_is_documented_with_key_and_retention() -> None:
    rows = [
        [cell.strip() for cell in row.strip("|\n").split("|")]
        for row in _page("connect/pipeline.md").splitlines()
        if row.startswith("| `")
    ]
    found = {name.strip("`"): (key, kept, public) for name, key, kept, public, _ in rows}
    expected = {}
    for name, topic in TOPICS.items():
        days = int(topic.config.get("retention.ms", 0)) // _DAY
        expected[str(name)] = (
            topic.key,
            f"{days} days" if days else "compacted",
            "yes" if topic.is_public else "",
        )
    assert found == {
        name: (key.replace("\\\\", "\\"), kept, public)
        for name, (key, kept, public) in expected.items()
    }


def test_every_route_is_documented_and_no_other() -> None:
    app = create_app(Settings(kafka="", postgres="", nats="", message_keys=(SecretStr("00" * 32),)))
    routes = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path.startswith("/api/v1")
    }
    documented = re.findall(r"^\| `([A-Z]+ [^`]+)` \|", _page("connect/api.md"), re.MULTILINE)
    assert set(documented) == routes


def test_every_worker_is_documented() -> None:
    for role in ROLES:
        assert re.search(rf"`campaigns (worker )?{role}`", _page("operate/operations.md")), role


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (
                f"{page.name}: {target}"
            )


def test_every_test_that_proves_the_specification_exists() -> None:
    page = _page("reference/specification.md")
    named = re.findall(r"^\| .+ \| `([^`]+)` \|$", page, re.MULTILINE)
    assert len(named) > 100
    missing = []
    for each in named:
        file, _, test = each.partition("::")
        text = (_ROOT / file).read_text() if (_ROOT / file).exists() else ""
        if not text or (test and f"def {test}(" not in text):
            missing.append(each)
    assert not missing


def test_the_map_names_every_page() -> None:
    map_ = DOCS / "README.md"
    named = {
        (map_.parent / target).resolve()
        for target in re.findall(r"\]\(([^)#]+)\)", map_.read_text())
    }
    assert {page for page in DOCS.rglob("*.md") if page != map_} <= named


def test_the_glossary_has_each_word_once_in_order() -> None:
    glossary = _page("README.md").partition("## Glossary")[2]
    words = [word.lower() for word in re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE)]
    assert words[0] == "word" and words[2:] == sorted(set(words[2:]))
