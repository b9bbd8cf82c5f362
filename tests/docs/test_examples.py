"""Every JSON example of a page is a document that the engine takes or makes, and every command,
setting and file that a page names exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.core import TyperGroup

from api.command_line import app
from api.tenant.delivery_route_schemas import RoutePut
from connectors.simulator.behaviour import Behaviour
from connectors.webhooks import standard
from connectors.webhooks.delivery import Delivery
from streams.contracts.bodies import CampaignCreate, validated
from streams.contracts.envelope import Envelope
from streams.contracts.triggers import Reentry
from streams.errors import CampaignError
from streams.records.analytics import Performance
from streams.settings import Settings, secret_files
from tests.docs.pages import DOCS, ROOT, blocks, pages, spans

# Read elsewhere than in Settings.
_MORE_SETTINGS = {
    "CAMPAIGNS_API_KEY",
    "CAMPAIGNS_API_URL",
    "CAMPAIGNS_CACHE",
    "CAMPAIGNS_HOME",
    "CAMPAIGNS_PORT_BASE",
}


def _refusal(example: Mapping[str, Any]) -> None:
    """The problem of a campaign with too low a limit."""
    body = {"name": "x", "channel": "email", "throttleConfig": {"messagesPerHour": 99}}
    with pytest.raises(CampaignError) as refused:
        validated(CampaignCreate, body, "forbid")
    assert example["detail"] == refused.value.detail
    assert example["errors"] == [
        {"field": error.field, "message": error.message} for error in refused.value.errors
    ]


def _webhook(example: Mapping[str, Any]) -> None:
    found = standard.read(Delivery({}, json.dumps(example).encode()), datetime.now(UTC))
    assert len(found.reported) + len(found.said) == 1 and not found.unusable and not found.ignored


def _fact(example: Mapping[str, Any]) -> None:
    envelope = msgspec.convert(example, Envelope, strict=True)
    names = {field.encode_name for field in msgspec.structs.fields(Performance)}
    assert envelope.data.keys() <= names
    msgspec.convert(envelope.data, Performance, strict=True)


def _trigger(example: Mapping[str, Any]) -> None:
    if example.keys() != {"accepted", "refused"}:
        validated(Reentry, example, "forbid")


def _route(example: Mapping[str, Any]) -> None:
    """Settings without the password, which a file holds; the others are parts of a body."""
    RoutePut.model_validate(example)


_CHECKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "connect/api.md": _refusal,
    "connect/webhooks.md": _webhook,
    "guide/sending.md": _route,
    "guide/triggered.md": _trigger,
    "operate/jobs.md": _fact,
}


def _examples(page: Path) -> Iterator[dict[str, Any]]:
    """The JSON blocks, and the code spans that are whole JSON objects."""
    for block in blocks(page, "json"):
        yield json.loads(block.text)
    for span in spans(page):
        try:
            found = json.loads(span)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_json_example_is_one_that_the_engine_takes_or_makes(page: Path) -> None:
    for example in _examples(page):
        _CHECKS[str(page.relative_to(DOCS))](example)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= {"sh", "json", "text", "mermaid"}


def test_every_command_that_a_page_names_exists_with_its_options() -> None:
    root = typer.main.get_command(app)
    wrong = {
        f"{page.name}: {span}"
        for page in pages()
        for span in spans(page)
        if span.startswith("campaigns ") and not _is_command(root, span.split()[1:])
    }
    assert wrong == set()


def _is_command(command: Any, words: list[str]) -> bool:
    """Whether the words before the first argument name a command that has these options."""
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    options = {name for parameter in command.params for name in parameter.opts}
    given = {word for word in words if word.startswith("-")}
    return not isinstance(command, TyperGroup) and given <= options


def test_every_setting_that_a_page_names_exists() -> None:
    settings = {f"CAMPAIGNS_{name.upper()}" for name in Settings.model_fields} | _MORE_SETTINGS
    settings |= {
        f"{secret_files.variable_of(name)}_FILE" for name in secret_files.secrets(Settings)
    }
    settings |= {f"CAMPAIGNS_SIMULATE_{name.upper()}" for name in Behaviour.model_fields}
    named = {
        found
        for page in pages()
        for found in re.findall(r"CAMPAIGNS_[A-Z_]*[A-Z]\b", page.read_text())
    }
    assert named - settings == set()


def test_every_file_that_a_page_names_exists() -> None:
    made = {"build"}  # by `make check` and `make faults`, when they run
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - made
    missing = {
        f"{page.name}: {span}"
        for page in pages()
        for span in spans(page)
        if span.partition("/")[0] in folders and re.fullmatch(r"[\w/.-]+", span)
        if not (ROOT / span).exists()
    }
    assert missing == set()


def test_every_test_that_contributing_runs_exists() -> None:
    for file in re.findall(r"pytest -n 0 (\S+)", (ROOT / "CONTRIBUTING.md").read_text()):
        assert (ROOT / file).is_file(), file
