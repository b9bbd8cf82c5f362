"""Every documented command runs as it stands on its page, page after page, in one installation."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.demo.content import TENANTS
from tests.docs.pages import CONTRIBUTING, DOCS, README, pages
from tests.docs.reader import Reader
from tests.e2e.checker import sent_messages
from tests.e2e.conftest import Running

# The other pages use the variables that this one leaves.
_FIRST_CAMPAIGN = DOCS / "guide" / "first-campaign.md"


@pytest.mark.timeout(1200)  # some forty commands, each a process that imports everything
def test_every_documented_command_works(running: Running, tmp_path: Path) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    reader = Reader(running, folder)
    for tenant in TENANTS:  # as `make up` leaves it: a page must not take the demo's names
        reader.run(f"campaigns tenant create {tenant.id}")

    reader.follow(README)
    assert [message.tenant_id for message in sent_messages(running.settings)] == ["bakery"] * 2
    printed = reader.follow(_FIRST_CAMPAIGN)
    assert '"imported": 3' in printed and '"rejected": 1' in printed
    wrong = {}
    for page in pages():
        if page in (README, CONTRIBUTING, _FIRST_CAMPAIGN):
            continue
        try:
            reader.follow(page)
        except AssertionError as failure:
            wrong[page.name] = str(failure)
    assert wrong == {}
