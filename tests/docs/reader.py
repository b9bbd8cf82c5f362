"""A reader at a terminal: runs the `sh` blocks of a page as they are, and copies their output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from connectors.local.stack.home import DEFAULT_PORT_BASE
from tests.docs.pages import ROOT, blocks
from tests.e2e.conftest import Running

# A line `export NAME=…` is where a reader copies what was printed before; by its name:
_ID = r"([0-9a-f]{8}-[0-9a-f-]{27})"
_PRINTED = {
    "CAMPAIGNS_API_KEY": r"(ce_live_\w+)",
    "SEGMENT": rf'"segmentId": ?"{_ID}"',
    "TEMPLATE": rf"^id +{_ID}",
    "CAMPAIGN": rf'"id": ?"{_ID}"',
    "CONTACT": rf'"id": ?"{_ID}"',
}
_COPIED = re.compile(r"(\w+)=(?:\w*_)?…")
_VERBS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
_LOCAL = f"http://127.0.0.1:{DEFAULT_PORT_BASE}"
_KEPT = "variables.env"
# A refusal of the API ends the block, as a failing command does.
_SHELL = f"""
set -e
curl() {{ command curl --fail-with-body "$@"; }}
%s
env -0 > {_KEPT}
"""


class Reader:
    """Goes through pages one after the other; variables and files stay from page to page."""

    def __init__(self, installation: Running, folder: Path) -> None:
        self._url, self._folder = installation.url, folder
        self._environment = {
            **os.environ,
            **installation.settings.environment(),
            "CAMPAIGNS_API_URL": installation.url,
            "CAMPAIGNS_HOME": str(folder / "home"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def follow(self, page: Path) -> str:
        """Runs every `sh` block of the page and returns what they print. Raises AssertionError with
        the script that failed.
        """
        printed = ""
        for block in blocks(page, "sh"):
            script: list[str] = []
            for line in block.text.splitlines():
                if line.startswith("export ") and "…" in line:
                    printed += self.run("\n".join(script))
                    script = []
                    self._copy(line, printed)
                elif line.startswith("make "):
                    assert line.split()[1] in _VERBS, f"{page}: {line}"
                elif not line.startswith("source .venv/"):  # the test stands in that environment
                    script.append(line)
            printed += self.run("\n".join(script))
        return printed

    def run(self, script: str) -> str:
        """What the script prints. Its exported variables stay."""
        if not script.strip():
            return ""
        ran = subprocess.run(
            ["bash", "-c", _SHELL % script.replace(_LOCAL, self._url)],
            env=self._environment,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert ran.returncode == 0, f"{script}\n{ran.stdout}\n{ran.stderr}"
        kept = (self._folder / _KEPT).read_text().split("\0")
        self._environment = dict(entry.split("=", 1) for entry in kept if entry)
        return ran.stdout

    def _copy(self, line: str, printed: str) -> None:
        names = _COPIED.findall(line)
        assert names, line
        for name in names:
            found = re.findall(_PRINTED[name], printed, re.MULTILINE)
            assert found, f"nothing printed looks like {name}: {printed}"
            self._environment[name] = found[-1]
