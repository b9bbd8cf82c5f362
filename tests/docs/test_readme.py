"""The README's quick start runs, command by command, against a running installation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.e2e.checker import sent_messages
from tests.e2e.conftest import Running

README = Path(__file__).parents[2] / "README.md"


def _quick_start() -> list[str]:
    """The commands of the first block under “The first campaign of your own”; a here-document
    belongs to its command.
    """
    section = README.read_text().partition("## The first campaign of your own")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    return [
        found[0].rstrip()
        for found in re.finditer(r"^.*<<'END'\n(?:.*\n)*?END\n|^.+\n", block, re.MULTILINE)
    ]


def test_the_quick_start_sends_the_first_campaign(running: Running, tmp_path: Path) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    environment = {
        **os.environ,
        **running.settings.environment(),
        "CAMPAIGNS_API_URL": running.url,
        "CAMPAIGNS_HOME": str(folder / "home"),
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    values: dict[str, str] = {}

    def run(command: str) -> str:
        for placeholder, value in values.items():
            command = command.replace(placeholder, value)
        ran = subprocess.run(
            ["bash", "-ec", command],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    commands = _quick_start()
    assert len(commands) == 10
    for command in commands:
        if command.startswith("source "):
            continue  # the environment of this test is that one
        if command.startswith("export CAMPAIGNS_API_KEY="):
            environment["CAMPAIGNS_API_KEY"] = values["ce_live_…"]
            continue
        printed = run(f"{command} --until-done" if command == "campaigns watch" else command)
        if command.startswith("campaigns tenant create"):
            values["ce_live_…"] = re.findall(r"ce_live_\w+", printed)[0]
        elif command.startswith("campaigns import"):
            values["SEGMENT_ID"] = json.loads(printed.splitlines()[-1])["segmentId"]
        elif command.startswith("campaigns template"):
            values["TEMPLATE_ID"] = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", printed)[0]

    assert sorted(message.tenant_id for message in sent_messages(running.settings)) == [
        "acme",
        "acme",
    ]
