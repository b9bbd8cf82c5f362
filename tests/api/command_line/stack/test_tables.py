"""The table of addresses: nothing in it is cut, because people copy from it."""

from __future__ import annotations

import pytest

from api.command_line.stack.tables import show_addresses
from connectors.local.stack.status import StackStatus

_KEY = f"ce_test_{'0' * 16}_{'f' * 64}"
_NAMES = ("api", "kafka", "postgres", "nats", "metrics")


@pytest.mark.parametrize("link", ["", f"http://127.0.0.1:19090/#code={'x' * 43}"])
def test_key_and_link_are_printed_whole_and_apart(
    link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = StackStatus(True, {name: f"http://{name}" for name in _NAMES}, _KEY)
    show_addresses(status, link)
    printed = capsys.readouterr()
    rows = [line.strip("│ ") for line in printed.out.splitlines() if "│" in line]
    dashboard = next(row for row in rows if row.startswith("Dashboard"))
    assert dashboard.endswith(link or "http://api") and _KEY not in dashboard
    assert any(row.startswith("Demo API key") and row.endswith(_KEY) for row in rows)
    assert ("campaigns sign-in" in printed.err) is bool(link)
