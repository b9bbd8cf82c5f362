"""The table of `campaigns watch` on a terminal: counts, and why something waits in words."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from tests.api.command_line.recorded_api import Answer, serving
from tests.api.command_line.test_client import campaign, seen

CAMPAIGNS = Path(sys.executable).with_name("campaigns")
LATER = "2026-01-28T09:30:05.000Z"


def clock(instant: str) -> str:
    """The local time of an instant, as a person reads it off the wall."""
    return datetime.fromisoformat(instant).astimezone().strftime("%H:%M:%S")


def watched(overview: bytes, folder: Path) -> str:
    """What a terminal of 160 columns shows at last; colours and the moves of the cursor removed."""
    with serving({("GET", "/events"): Answer(200, overview, "text/event-stream")}) as api:
        variables = {
            **os.environ,
            "CAMPAIGNS_HOME": str(folder),
            "CAMPAIGNS_API_URL": api.url,
            "CAMPAIGNS_API_KEY": "k",
            "COLUMNS": "160",
            "FORCE_COLOR": "1",
            "TERM": "xterm-256color",
        }
        command = [str(CAMPAIGNS), "watch", "--until-done"]
        ran = subprocess.run(command, env=variables, capture_output=True, check=True, timeout=120)
    text = ran.stdout.decode()
    while (start := text.find("\x1b[")) >= 0:
        end = next(at for at in range(start + 2, len(text)) if text[at].isalpha())
        text = text[:start] + text[end + 1 :]
    return text


def test_a_terminal_shows_each_campaign_with_its_counts_and_why_it_waits(tmp_path: Path) -> None:
    waits = {
        "quota": {"reason": "quota", "until": LATER},
        "winner": {"reason": "ab-test", "until": None},
        "rows": {"reason": "audience", "until": None},
        "something new": {"reason": "something-new", "until": None},
    }
    overview = seen(
        *(campaign("paused", name=name, waiting=waiting) for name, waiting in waits.items()),
        campaign("completed", name="going", progress={"rate": 0.4, "eta": LATER}),
        campaign("cancelled", name="[bold]over[/]"),
    )
    shown = watched(overview, tmp_path)
    lines = {line.split("  ")[0].strip(): line for line in shown.splitlines()}
    assert lines["quota"].rstrip().endswith(f"quota until {clock(LATER)}")
    assert lines["winner"].rstrip().endswith("held for the A/B winner")
    assert lines["rows"].rstrip().endswith("preparing the audience")
    assert lines["something new"].rstrip().endswith("something-new")
    assert lines["going"].rstrip().endswith(f"done about {clock(LATER)}")
    assert lines["[bold]over[/]"].rstrip().endswith("7")  # waits for nothing: clicks are the last
    for column in ("1,500 of 2,000", "1,234", "1,400", "70", "7"):
        assert column in lines["quota"]
    assert "1,500 sent, 1,234/s, 70 opened" in shown
    assert "accepted" not in shown  # no provider has said so


def test_a_terminal_shows_what_providers_took_once_one_says_so(tmp_path: Path) -> None:
    said = campaign("completed", name="said")
    said["stats"]["acceptedCount"] = 1_480
    shown = watched(seen(campaign("completed", name="unsaid"), said), tmp_path)
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()}
    names = lines["campaign"]
    assert names[names.index("accepted") + 1] == "delivered"
    assert lines["said"][-4:] == ["1,480", "1,400", "70", "7"]
    assert lines["unsaid"][-4:] == ["0", "1,400", "70", "7"]
