"""A network that is cut between one part and everybody else, while a campaign is sent and all parts
live: nobody is lost, repeated or miscounted. It takes minutes, so it is a part of `make faults`
alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.faults.cut_off import CUTS

_SEEDS = int(os.environ.get("SEEDS", "0"))
# a network and mounts of its own, which end with the process; names of networks are files in /run
_APART = ("unshare", "--net", "--mount", "sh", "-c")
_INSIDE = 'mount -t tmpfs none /run && ip link set lo up && exec "$@"'


def _may_make_networks() -> bool:
    made = "ip link add one type veth peer name two && ip link add three type bridge"
    try:
        tried = subprocess.run([*_APART, made], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


@pytest.mark.skipif(not _SEEDS, reason="a part of `make faults`")
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("seed", range(1, max(_SEEDS, 1) + 1))
@pytest.mark.parametrize("part", CUTS)
def test_is_cut_off_from_everybody_and_back(
    tmp_path: Path, part: str, seed: int, record_property: Callable[[str, object], None]
) -> None:
    if not _may_make_networks():
        pytest.skip("this user may not make network namespaces, or `ip` is missing")
    command = [sys.executable, "-m", "tests.faults.cut_off", str(tmp_path), str(seed), part]
    ended = subprocess.run(
        [*_APART, _INSIDE, "sh", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    record_property("seed", seed)
    record_property("recipients", found["recipients"])
    record_property("events", found["events"])
    record_property("still", found["still"])
    record_property("violations", len(found["violations"]))
    assert found["violations"] == []
